/* SPDX-License-Identifier: Apache-2.0 */
/*
 * verify_chain -- a study played to its end through the library, round by round, in the test's
 * folder: what a coordinator leaves behind. A test may bend a round's record before it is signed.
 */
#ifndef COLMEIA_TESTS_STUDY_VERIFY_CHAIN_H
#define COLMEIA_TESTS_STUDY_VERIFY_CHAIN_H

#include "aggregate/moments.h"
#include "study/check.h"
#include "study/combine.h"
#include "study/round_record.h"
#include "study/verify.h"
#include "tests/study/fixture.h"

struct chain {
    struct fixture f;
    size_t answering;  /* sites 0..answering-1 send updates; the others are only selected */
    long refused_site; /* whose update of `refused_round` has weight 0; -1: nobody's */
    uint64_t refused_round;
    uint64_t round; /* the next to be played */
    struct cid prev, base, state, roster;
    /* of the round just played */
    struct cid records[FIXTURE_SITES_MAX];
    uint64_t bytes[FIXTURE_SITES_MAX];
};

typedef void lie_function(struct chain *c, struct round_record *r);

UNUSED static void chain_init(struct chain *c, const struct fixture_options *o)
{
    memset(c, 0, sizeof *c);
    fixture_init(&c->f, o);
    c->answering = o->sites;
    c->refused_site = -1;
    c->round = 1;
    c->prev = c->f.study_id;
    c->base = c->f.model;
    c->roster = c->f.roster_id;
}

UNUSED static void chain_fini(struct chain *c)
{
    fixture_fini(&c->f);
}

UNUSED static struct cid chain_values(struct pack *pack, size_t site, size_t features,
                                      uint64_t count)
{
    struct moments m;
    struct buf block = buf_new(RECORD_BYTES_MAX);
    MUST(moments_new(features, &m, err));
    m.count = count;
    for (size_t i = 0; i < features; i++) {
        m.sum[i] = (double)(count * (i + site + 1));
        m.squares[i] = 3.25 * m.sum[i] * (double)(i + site + 1);
    }
    MUST(moments_encode(&m, &block, err));
    struct cid cid = fixture_pack_put(pack, CID_DAG_CBOR, buf_bytes(&block));
    buf_fini(&block);
    moments_fini(&m);
    return cid;
}

/* What the site answers to the round; a weight of 0 makes the door refuse it. */
UNUSED static struct cid chain_answer(struct chain *c, struct pack *pack, size_t site,
                                      uint64_t examples)
{
    const struct plan *plan = &c->f.study.plan;
    struct update u = fixture_update(&c->f, c->round, &c->base, examples);
    switch (plan_rule(plan, c->round)->asks[0]) {
    case RULE_DELTA:
        u.delta = fixture_index(&c->f, pack, 0.25f * (float)(site + 1));
        break;
    case RULE_VALUES:
        u.values = chain_values(pack, site, (size_t)plan->features, examples);
        break;
    case RULE_METRICS:
        break;
    }
    return fixture_sign(&c->f, pack, site, &u);
}

UNUSED static struct cid chain_refuse(struct chain *c, size_t site, const struct cid *record,
                                      const struct check_result *found)
{
    struct buf block = buf_new(RECORD_BYTES_MAX);
    struct cid cid;
    struct refusal r = {.study = c->f.study_id,
                        .plan = c->f.plan_id,
                        .round = c->round,
                        .site = c->f.sites[site].site.cid,
                        .record = *record,
                        .code = found->code};
    snprintf(r.sentence, sizeof r.sentence, "%s", found->sentence);
    MUST(refusal_sign(&r, c->f.coordinator, &block, &cid, err));
    fixture_put(&c->f, &block);
    buf_fini(&block);
    return cid;
}

/* Signs `r`, stores it and makes it the head. */
UNUSED static struct cid chain_sign(struct chain *c, const struct round_record *r,
                                    const struct key *key)
{
    struct buf block = buf_new(RECORD_BYTES_MAX);
    struct cid cid;
    char text[CID_TEXT_MAX + 1];
    MUST(round_record_sign(r, key, &block, &cid, err));
    fixture_put(&c->f, &block);
    buf_fini(&block);
    cid_format(&cid, text);
    strcat(text, "\n");
    write_file(in_scratch("head"), bytes_of_text(text));
    return cid;
}

/* A round under way; the record's lists are here. */
struct playing {
    const struct rule *rule;
    struct round_record record;
    struct pack *packs[FIXTURE_SITES_MAX];
    struct combine_update updates[FIXTURE_SITES_MAX];
    uint32_t selected[FIXTURE_SITES_MAX];
    struct cid accepted[FIXTURE_SITES_MAX], refused[FIXTURE_SITES_MAX];
};

/* The site's update, checked at the door and written down. */
UNUSED static void chain_submit(struct chain *c, struct playing *p, size_t site)
{
    const struct fixture_site *s = &c->f.sites[site];
    bool refuse = (long)site == c->refused_site && c->round == c->refused_round;
    p->packs[site] = fixture_pack(&c->f, site, c->round);
    c->records[site] = chain_answer(c, p->packs[site], site, refuse ? 0 : 10 * (site + 1));
    struct check_expected expected = {.study = &c->f.study,
                                      .site = key_public(s->ed25519),
                                      .site_name = s->site.name,
                                      .round = c->round,
                                      .rule = p->rule,
                                      .base = c->base};
    struct check_result found;
    check_update(&expected, p->packs[site], &c->records[site], NULL, &found);
    assert_int_equal(found.outcome, refuse ? CHECK_REFUSED : CHECK_ACCEPTED);
    c->bytes[site] = found.bytes;
    p->record.received += found.bytes;
    if (refuse) {
        p->refused[p->record.refused_count++] = chain_refuse(c, site, &c->records[site], &found);
    } else {
        const struct update *u = &found.update;
        p->updates[p->record.update_count] =
            (struct combine_update){.weight = (uint32_t)found.examples,
                                    .answer = cid_is_none(&u->delta) ? u->values : u->delta,
                                    .pack = p->packs[site],
                                    .site_name = s->site.name};
        p->accepted[p->record.update_count++] = c->records[site];
    }
    check_result_fini(&found);
}

UNUSED static void chain_combine(struct chain *c, struct playing *p)
{
    struct combine combine = {.study = &c->f.study,
                              .rule = p->rule,
                              .store = c->f.store,
                              .base = c->base,
                              .state = c->state,
                              .t = plan_training_rounds(&c->f.study.plan, c->round),
                              .updates = p->updates,
                              .update_count = p->record.update_count,
                              .part = "round"};
    struct combine_result made = {.failure = ""};
    MUST(combine_round(&combine, &made, err));
    p->record.next = made.next;
    p->record.state = made.state;
    memcpy(p->record.failure, made.failure, sizeof p->record.failure);
}

/* Plays one round: updates, checks, average, record. `lie` (may be NULL) bends the record. */
UNUSED static struct cid chain_play(struct chain *c, lie_function *lie)
{
    const struct plan *plan = &c->f.study.plan;
    struct playing p = {.rule = plan_rule(plan, c->round)};
    p.record = (struct round_record){.study = c->f.study_id,
                                     .plan = c->f.plan_id,
                                     .roster = c->roster,
                                     .round = c->round,
                                     .prev = c->prev,
                                     .base = c->base,
                                     .selected_count = c->f.site_count,
                                     .selected = p.selected,
                                     .updates = p.accepted,
                                     .refused = p.refused,
                                     .deleted = plan_updates_held_from(plan, c->round)};
    snprintf(p.record.rule, sizeof p.record.rule, "%s", p.rule->name);
    for (size_t i = 0; i < c->f.site_count; i++)
        p.selected[i] = (uint32_t)(c->f.site_count - 1 - i); /* drawn in any order */
    for (size_t i = 0; i < c->answering; i++)
        chain_submit(c, &p, i);
    chain_combine(c, &p);
    for (size_t i = 0; i < c->answering; i++)
        pack_close(p.packs[i]);
    if (lie != NULL)
        lie(c, &p.record);
    c->prev = chain_sign(c, &p.record, c->f.coordinator);
    c->base = p.record.next;
    c->state = p.record.state;
    c->round++;
    return c->prev;
}

/* The code of verify_study on the test's folder; `err` may be NULL. */
UNUSED static int chain_verify(const struct verify_options *more, struct verify_result *out,
                               struct err *err)
{
    struct verify_options o = more == NULL ? (struct verify_options){.worker = false} : *more;
    struct verify_result ignored;
    o.dir = scratch;
    return verify_study(&o, out == NULL ? &ignored : out, err);
}

UNUSED static void chain_expect_no(const char *sentence, int code)
{
    struct err err = {0};
    int rc = chain_verify(NULL, NULL, &err);
    if (rc == 0)
        fail_msg("verified, though: %s", sentence);
    if (strstr(err.text, sentence) == NULL)
        fail_msg("expected \"%s\", got: %s", sentence, err.text);
    assert_int_equal(rc, code);
}

#endif
