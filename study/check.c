/* SPDX-License-Identifier: Apache-2.0 */
#include "study/check.h"

#include <assert.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "aggregate/accumulate.h"
#include "aggregate/moments.h"
#include "content/digest_map.h"
#include "model/delta.h"
#include "study/parts.h"
#include "study/update_index.h"

/* How a shard's part ended, beside the codes of refusal. */
enum {
    MARK_FINE = REFUSAL_NONE,
    MARK_DAMAGED = REFUSAL_CODE_COUNT, /* by our disk: to be sent again */
    MARK_FAILED
};

struct checking {
    const struct check_expected *e;
    struct pack *pack;
    struct check_result *out;
    bool decided;           /* refused or failed: the outcome stands */
    struct digest_map seen; /* blocks counted already */
    struct update_index index;
    uint8_t *marks;  /* (shards) each written by its own part only */
    double *squares; /* (shards) so are these; NULL if the plan bounds no norm */
};

/* --- outcomes --- */

/* A sentence may quote what a peer sent, goes to terminals, and into a record that holds no control
 * characters. */
static void make_plain(char *text)
{
    for (; *text != '\0'; text++)
        if (*text < 0x20 || *text > 0x7e)
            *text = '?';
}

PRINTF_LIKE(3, 4)
static bool refuse(struct checking *c, enum refusal_code code, const char *format, ...)
{
    struct check_result *out = c->out;
    int used = snprintf(out->sentence, sizeof out->sentence, "%.64s: ", c->e->site_name);
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(out->sentence + used, sizeof out->sentence - (size_t)used, format, arguments);
    va_end(arguments);
    make_plain(out->sentence);
    out->outcome = CHECK_REFUSED;
    out->code = code;
    c->decided = true;
    return false;
}

static bool failed(struct checking *c, const struct err *err)
{
    c->out->outcome = CHECK_FAILED;
    c->out->err = *err;
    c->decided = true;
    return false;
}

static bool refuse_cids(struct checking *c, enum refusal_code code, const char *what,
                        const struct cid *found, const struct cid *expected)
{
    char a[CID_TEXT_MAX], b[CID_TEXT_MAX];
    return refuse(c, code, "%s %s, expected %s", what, cid_format(found, a),
                  cid_format(expected, b));
}

static bool add_missing(struct checking *c, const struct cid *cid)
{
    struct check_result *out = c->out;
    if (out->missing == NULL)
        out->missing = calloc(CHECK_MISSING_MAX, sizeof *out->missing);
    if (out->missing == NULL) {
        struct err err;
        (void)err_set(&err, ERR_NOMEM, "out of memory");
        return failed(c, &err);
    }
    if (out->missing_count < CHECK_MISSING_MAX)
        out->missing[out->missing_count++] = *cid;
    return true;
}

/* --- blocks --- */

/* Is this the first time that the block is met? A failure is decided here. */
static bool meet(struct checking *c, const struct cid *cid, bool *first)
{
    struct digest_place place = {0};
    struct err err;
    *first = !digest_map_get(&c->seen, cid_digest(cid), &place);
    if (*first && digest_map_put(&c->seen, cid_digest(cid), &place, &err) != 0)
        return failed(c, &err);
    return true;
}

/* As pack_get, but what our disk damaged is missing, and a block over the limit is the peer's
 * fault. */
static int get_block(struct checking *c, const struct cid *cid, struct buf *out, struct err *err)
{
    int rc = pack_get(c->pack, cid, out, err);
    if (rc == ERR_CORRUPT) {
        pack_forget(c->pack, cid);
        return ERR_NOTFOUND;
    }
    if (rc == ERR_LIMIT)
        return err_set(err, ERR_MALFORMED, "a block that is too large");
    bool first = false;
    if (rc == 0 && !meet(c, cid, &first))
        return err_set(err, ERR_NOMEM, "out of memory");
    if (first)
        c->out->bytes += out->size;
    return rc;
}

static bool is_ours(int code)
{
    return code == ERR_NOMEM || code == ERR_IO;
}

/* --- the record --- */

static bool find_record(struct checking *c, const struct cid *record)
{
    struct buf block = buf_new(RECORD_BYTES_MAX);
    struct err err;
    bool good = true;
    if (cid_codec(record) != CID_DAG_CBOR || cid_digest(record) == NULL)
        return refuse(c, REFUSAL_MALFORMED, "the record is not named by a dag-cbor sha2-256 CID");
    int rc = get_block(c, record, &block, &err);
    if (rc == ERR_NOTFOUND) {
        good = add_missing(c, record);
    } else {
        if (rc == 0)
            rc = update_decode(buf_bytes(&block), &c->out->update, &err);
        if (is_ours(rc))
            good = failed(c, &err);
        else if (rc == ERR_DENIED)
            good = refuse(c, REFUSAL_BAD_SIGNATURE, "%s", refusal_sentence(REFUSAL_BAD_SIGNATURE));
        else if (rc != 0)
            good = refuse(c, REFUSAL_MALFORMED, "the record: %s", err.text);
    }
    buf_fini(&block);
    return good && rc == 0;
}

static bool judge_place(struct checking *c)
{
    const struct check_expected *e = c->e;
    const struct update *u = &c->out->update;
    const struct study *s = e->study;
    if (!key_equal(&u->by, &e->site))
        return refuse(c, REFUSAL_UNKNOWN_SITE,
                      "the record is signed by a key that is not this site's");
    if (!cid_equal(&u->study, &s->charter.cid))
        return refuse_cids(c, REFUSAL_WRONG_STUDY, "the record is of study", &u->study,
                           &s->charter.cid);
    if (u->round != e->round || u->exchange != e->exchange)
        return refuse(c, REFUSAL_WRONG_ROUND,
                      "the record is of round %llu, exchange %llu, expected round %llu, exchange "
                      "%llu",
                      (unsigned long long)u->round, (unsigned long long)u->exchange,
                      (unsigned long long)e->round, (unsigned long long)e->exchange);
    if (!cid_equal(&u->plan, &s->plan.cid))
        return refuse_cids(c, REFUSAL_WRONG_PLAN, "the record is of plan", &u->plan, &s->plan.cid);
    if (!cid_equal(&u->base, &e->base))
        return refuse_cids(c, REFUSAL_WRONG_BASE, "the update's base is", &u->base, &e->base);
    return true;
}

static enum rule_answer asked(const struct checking *c)
{
    assert(c->e->exchange < c->e->rule->exchange_count);
    return c->e->rule->asks[c->e->exchange];
}

static bool judge_record(struct checking *c)
{
    static const char *const wanted[] = {[RULE_DELTA] = "a delta",
                                         [RULE_VALUES] = "values",
                                         [RULE_METRICS] = "metrics and nothing else"};
    const struct update *u = &c->out->update;
    if (!judge_place(c))
        return false;
    if (u->examples == 0 || u->examples > ACCUMULATE_WEIGHT_MAX)
        return refuse(c, REFUSAL_BAD_WEIGHT, "%llu examples, expected 1 to %u",
                      (unsigned long long)u->examples, ACCUMULATE_WEIGHT_MAX);
    bool delta = !cid_is_none(&u->delta), values = !cid_is_none(&u->values);
    if (delta != (asked(c) == RULE_DELTA) || values != (asked(c) == RULE_VALUES))
        return refuse(c, REFUSAL_MALFORMED, "the record holds %s, expected %s",
                      delta && values ? "delta and values"
                      : delta         ? "a delta"
                      : values        ? "values"
                                      : "neither delta nor values",
                      wanted[asked(c)]);
    c->out->examples = u->examples;
    return true;
}

/* --- the index --- */

static int index_get(void *self, const struct cid *cid, struct buf *out, struct err *err)
{
    return get_block(self, cid, out, err);
}

static void index_missing(void *self, const struct cid *cid)
{
    (void)add_missing(self, cid);
}

static bool find_index(struct checking *c)
{
    const struct study *s = c->e->study;
    const struct update_index_source source = {.self = c, .get = index_get};
    struct err err;
    int rc = update_index_read(&source, &c->out->update.delta, s->layout->shard_count,
                               index_missing, &c->index, &err);
    if (c->decided || rc == ERR_NOTFOUND)
        return false;
    if (is_ours(rc))
        return failed(c, &err);
    if (rc == ERR_LIMIT)
        return refuse(c, REFUSAL_LAYOUT_MISMATCH, "%s", err.text);
    if (rc != 0)
        return refuse(c, REFUSAL_MALFORMED, "%s", err.text);
    if (!cid_equal(&c->index.layout, &s->plan.layout))
        return refuse_cids(c, REFUSAL_LAYOUT_MISMATCH, "the update's layout is", &c->index.layout,
                           &s->plan.layout);
    if (strcmp(c->index.codec, s->plan.codec) != 0)
        return refuse(c, REFUSAL_MALFORMED, "the update's codec is %s, expected %s", c->index.codec,
                      s->plan.codec);
    return true;
}

/* Which shards are there? Their bytes count by the layout; the length is checked as each is read.
 */
static bool find_shards(struct checking *c)
{
    const struct layout *l = c->e->study->layout;
    for (size_t i = 0; i < c->index.count && c->out->missing_count < CHECK_MISSING_MAX; i++) {
        const struct cid *cid = &c->index.shards[i];
        bool first;
        if (cid_is_none(cid))
            continue;
        if (!meet(c, cid, &first))
            return false;
        if (!first)
            continue;
        if (pack_has(c->pack, cid))
            c->out->bytes += l->shards[i].bytes;
        else if (!add_missing(c, cid))
            return false;
    }
    return true;
}

/* --- the shards --- */

static int refuse_shard(struct checking *c, size_t i, enum refusal_code code, struct err *err)
{
    const struct layout *l = c->e->study->layout;
    const struct shard *s = &l->shards[i];
    c->marks[i] = (uint8_t)code;
    return err_wrap(err, ERR_MALFORMED, "shard %zu (from element %llu of tensor %.64s)", i,
                    (unsigned long long)s->element, l->tensors[s->tensor].name);
}

static int check_shard(void *self, size_t i, struct err *err)
{
    struct checking *c = self;
    const struct shard *s = &c->e->study->layout->shards[i];
    const struct cid *cid = &c->index.shards[i];
    if (cid_is_none(cid))
        return 0;
    void *data = malloc(s->bytes);
    int rc = data == NULL ? err_set(err, ERR_NOMEM, "out of memory")
                          : pack_reread_into(c->pack, cid, data, s->bytes, err);
    if (rc == ERR_CORRUPT || rc == ERR_NOTFOUND) {
        pack_forget(c->pack, cid);
        c->marks[i] = MARK_DAMAGED;
        rc = 0;
    } else if (rc == ERR_MALFORMED) {
        rc = refuse_shard(c, i, REFUSAL_LAYOUT_MISMATCH, err);
    } else if (rc != 0) {
        c->marks[i] = MARK_FAILED;
    } else if (delta_check(s, bytes_of(data, s->bytes), err) != 0) {
        rc = refuse_shard(c, i, s->use == USE_MEAN ? REFUSAL_NOT_FINITE : REFUSAL_MALFORMED, err);
    } else if (c->squares != NULL && s->use == USE_MEAN) {
        c->squares[i] = delta_squares(s, data);
    }
    free(data);
    return rc;
}

/* Two shards may be one block. Few are ever damaged: the list is short. */
static bool is_listed(const struct checking *c, const struct cid *cid)
{
    for (size_t i = 0; i < c->out->missing_count; i++)
        if (cid_equal(&c->out->missing[i], cid))
            return true;
    return false;
}

/* A sum that overflowed is above any bound. */
static bool judge_norm(struct checking *c)
{
    double bound = c->e->study->plan.update_norm_max, sum = 0;
    for (size_t i = 0; i < c->index.count; i++)
        sum += c->squares[i];
    double norm = sqrt(sum);
    return norm <= bound ||
           refuse(c, REFUSAL_NORM_BOUND, "the update's norm is %.12g, the plan's bound %.12g", norm,
                  bound);
}

static bool judge_shards(struct checking *c, struct jobs *jobs)
{
    struct err err;
    bool bounded = c->e->study->plan.update_norm_max > 0;
    c->marks = calloc(c->index.count + 1, 1);
    if (bounded)
        c->squares = calloc(c->index.count + 1, sizeof *c->squares);
    if (c->marks == NULL || (bounded && c->squares == NULL)) {
        (void)err_set(&err, ERR_NOMEM, "out of memory");
        return failed(c, &err);
    }
    int rc = parts_run(jobs, c->index.count, check_shard, c, &err);
    for (size_t i = 0; i < c->index.count; i++) {
        if (c->marks[i] == MARK_FINE)
            continue;
        if (c->marks[i] != MARK_DAMAGED) /* the first of these is the one that `err` is about */
            return c->marks[i] == MARK_FAILED
                       ? failed(c, &err)
                       : refuse(c, (enum refusal_code)c->marks[i], "%s", err.text);
        if (rc == 0 && !is_listed(c, &c->index.shards[i]) && !add_missing(c, &c->index.shards[i]))
            return false;
    }
    if (rc != 0)
        return failed(c, &err);
    return !bounded || c->out->missing_count > 0 || judge_norm(c);
}

/* --- values --- */

static bool judge_values(struct checking *c)
{
    struct buf block = buf_new(RECORD_BYTES_MAX);
    struct moments m = {0};
    struct err err;
    const struct update *u = &c->out->update;
    int rc = get_block(c, &u->values, &block, &err);
    bool found = rc != ERR_NOTFOUND;
    if (rc == 0)
        rc = moments_decode(buf_bytes(&block), (size_t)c->e->study->plan.features, &m, &err);
    bool good = true;
    if (!found)
        good = add_missing(c, &u->values);
    else if (is_ours(rc))
        good = failed(c, &err);
    else if (rc != 0)
        good = refuse(c, REFUSAL_MALFORMED, "%s", err.text);
    else if (m.count != u->examples)
        good = refuse(c, REFUSAL_MALFORMED, "the values count %llu examples, the record %llu",
                      (unsigned long long)m.count, (unsigned long long)u->examples);
    moments_fini(&m);
    buf_fini(&block);
    return good;
}

/* --- the whole --- */

static bool find_answer(struct checking *c)
{
    const struct update *u = &c->out->update;
    if (asked(c) == RULE_DELTA)
        return find_index(c) && find_shards(c);
    if (asked(c) == RULE_VALUES && !pack_has(c->pack, &u->values))
        return add_missing(c, &u->values);
    return true;
}

static bool judge_answer(struct checking *c, struct jobs *jobs)
{
    if (asked(c) == RULE_DELTA)
        return judge_shards(c, jobs);
    return asked(c) != RULE_VALUES || judge_values(c);
}

/* What is missing is asked for, unless the transfer was spoiled: then it is refused for that. */
static void settle_missing(struct checking *c)
{
    struct check_result *out = c->out;
    char text[CID_TEXT_MAX];
    if (out->missing_count > 0 && c->e->spoiled != REFUSAL_NONE)
        (void)refuse(c, c->e->spoiled, "%s; still missing: block %s",
                     refusal_sentence(c->e->spoiled), cid_format(&out->missing[0], text));
    else
        out->outcome = CHECK_MISSING;
}

static void finish(struct checking *c)
{
    if (c->out->outcome != CHECK_MISSING) {
        free(c->out->missing);
        c->out->missing = NULL;
        c->out->missing_count = 0;
    }
    free(c->marks);
    free(c->squares);
    update_index_fini(&c->index);
    digest_map_fini(&c->seen);
}

void check_update(const struct check_expected *e, struct pack *pack, const struct cid *record,
                  struct jobs *jobs, struct check_result *out)
{
    struct checking c = {.e = e, .pack = pack, .out = out};
    struct err err;
    memset(out, 0, sizeof *out);
    if (find_record(&c, record) && judge_record(&c) && find_answer(&c) && out->missing_count == 0)
        (void)judge_answer(&c, jobs);
    if (!c.decided && out->missing_count > 0)
        settle_missing(&c);
    else if (!c.decided && pack_sync(pack, &err) != 0)
        (void)failed(&c, &err);
    else if (!c.decided)
        out->outcome = CHECK_ACCEPTED;
    finish(&c);
}

void check_missing(const struct check_expected *e, struct pack *pack, const struct cid *record,
                   struct check_result *out)
{
    struct checking c = {.e = e, .pack = pack, .out = out};
    memset(out, 0, sizeof *out);
    if (find_record(&c, record) && judge_record(&c))
        (void)find_answer(&c);
    if (!c.decided) {
        settle_missing(&c);
    } else if (out->outcome == CHECK_REFUSED) { /* nothing to send: submitting brings the refusal */
        out->outcome = CHECK_MISSING;
        out->code = REFUSAL_NONE;
        out->sentence[0] = '\0';
        out->missing_count = 0;
    }
    finish(&c);
}

void check_result_fini(struct check_result *r)
{
    free(r->missing);
    r->missing = NULL;
    r->missing_count = 0;
}
