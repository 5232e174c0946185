/* SPDX-License-Identifier: Apache-2.0 */
#include "study/round_record.h"

#include <stdlib.h>

#include "study/roster.h"

#define KIND "colmeia/round/1"

static void put_links(const struct cid *links, size_t count, struct buf *out)
{
    cbor_put_array(out, count);
    for (size_t i = 0; i < count; i++)
        cbor_put_link(out, &links[i]);
}

static void put_failure(const char *failure, struct buf *out)
{
    if (failure[0] == '\0')
        cbor_put_null(out);
    else
        cbor_put_text(out, failure);
}

static void put_fields(struct record_writer *w, const struct round_record *r)
{
    cbor_put_link(record_field(w, "plan"), &r->plan);
    cbor_put_link(record_field(w, "roster"), &r->roster);
    cbor_put_uint(record_field(w, "round"), r->round);
    cbor_put_text(record_field(w, "rule"), r->rule);
    cbor_put_link(record_field(w, "prev"), &r->prev);
    cbor_put_link(record_field(w, "base"), &r->base);
    cbor_put_link(record_field(w, "next"), &r->next);
    put_failure(r->failure, record_field(w, "failure"));
    struct buf *selected = record_field(w, "selected");
    cbor_put_array(selected, r->selected_count);
    for (size_t i = 0; i < r->selected_count; i++)
        cbor_put_uint(selected, r->selected[i]);
    put_links(r->updates, r->update_count, record_field(w, "updates"));
    put_links(r->refused, r->refused_count, record_field(w, "refused"));
    cbor_put_link_or_null(record_field(w, "state"), &r->state);
    cbor_put_uint(record_field(w, "deleted"), r->deleted);
    struct buf *metering = record_field(w, "metering");
    cbor_put_map(metering, 1);
    cbor_put_text(metering, "received");
    cbor_put_uint(metering, r->received);
}

int round_record_sign(const struct round_record *r, const struct key *coordinator, struct buf *out,
                      struct cid *cid, struct err *err)
{
    struct record_writer w;
    struct round_record check;
    struct key_public by = key_public(coordinator);
    record_begin(&w);
    put_fields(&w, r);
    int rc = record_sign(&w, KIND, &r->study, coordinator, out, &check.cid, err);
    if (rc == 0)
        rc = round_record_decode(buf_bytes(out), &r->study, &by, &check, err);
    if (rc != 0) {
        buf_clear(out);
        return rc;
    }
    *cid = check.cid;
    round_record_fini(&check);
    return 0;
}

static int take_links(struct record *r, const char *key, struct cid **links, size_t *count,
                      struct err *err)
{
    struct cbor c = record_take(r, key);
    *count = (size_t)cbor_take_array(&c, PLAN_SELECTED_MAX);
    *links = calloc(*count + 1, sizeof **links);
    if (*links == NULL)
        return err_set(err, ERR_NOMEM, "out of memory");
    for (size_t i = 0; i < *count && !c.failed; i++)
        (*links)[i] = record_item_link(&c);
    record_end(r, &c, key);
    return 0;
}

static int take_selected(struct record *r, struct round_record *out, struct err *err)
{
    uint8_t seen[ROSTER_SITES_MAX] = {0};
    struct cbor c = record_take(r, "selected");
    out->selected_count = (size_t)cbor_take_array(&c, PLAN_SELECTED_MAX);
    out->selected = calloc(out->selected_count + 1, sizeof *out->selected);
    if (out->selected == NULL)
        return err_set(err, ERR_NOMEM, "out of memory");
    for (size_t i = 0; i < out->selected_count && !c.failed; i++) {
        uint32_t site = (uint32_t)cbor_take_uint(&c, ROSTER_SITES_MAX - 1);
        if (!c.failed && seen[site]++ != 0)
            cbor_fail(&c, "a site selected twice");
        out->selected[i] = site;
    }
    record_end(r, &c, "selected");
    return 0;
}

static void take_failure(struct record *r, struct round_record *out)
{
    struct cbor c = record_take(r, "failure");
    if (cbor_peek(&c) == CBOR_NULL)
        cbor_take_null(&c);
    else
        record_item_text(&c, out->failure, sizeof out->failure);
    record_end(r, &c, "failure");
}

static void take_metering(struct record *r, struct round_record *out)
{
    struct cbor c = record_take(r, "metering");
    if (cbor_take_map(&c, 1) != 1)
        cbor_fail(&c, "metering has received and nothing else");
    cbor_expect_key(&c, "received");
    out->received = cbor_take_uint(&c, UINT64_MAX);
    record_end(r, &c, "metering");
}

static int take_fields(struct record *r, struct round_record *out, struct err *err)
{
    out->cid = r->cid;
    out->study = r->study;
    out->plan = record_link(r, "plan");
    out->roster = record_link(r, "roster");
    out->round = record_uint(r, "round", 1, PLAN_ROUNDS_MAX);
    record_text(r, "rule", out->rule, sizeof out->rule);
    out->prev = record_link(r, "prev");
    out->base = record_model(r, "base");
    out->next = record_model(r, "next");
    take_failure(r, out);
    out->state = record_model_or_null(r, "state");
    out->deleted = record_uint(r, "deleted", 1, PLAN_ROUNDS_MAX);
    take_metering(r, out);
    int rc = take_selected(r, out, err);
    if (rc == 0)
        rc = take_links(r, "updates", &out->updates, &out->update_count, err);
    if (rc == 0)
        rc = take_links(r, "refused", &out->refused, &out->refused_count, err);
    return rc != 0 ? rc : record_close(r, err);
}

static int check_sense(const struct round_record *r, struct err *err)
{
    static const char *const failures[] = {"", "not-finite", "no-quorum"};
    size_t i = 0;
    while (i < 3 && strcmp(r->failure, failures[i]) != 0)
        i++;
    if (i == 3)
        return err_set(err, ERR_MALFORMED, KIND ": \"%s\" is not a way for a round to fail",
                       r->failure);
    if (i > 0 && !cid_equal(&r->base, &r->next))
        return err_set(err, ERR_MALFORMED,
                       KIND ": a failed round with another model than its base");
    /* A site may be listed twice: its update, and the proof of another one. */
    if (r->update_count > r->selected_count || r->refused_count > r->selected_count)
        return err_set(err, ERR_MALFORMED, KIND ": more answers than sites selected");
    if (r->deleted > r->round)
        return err_set(err, ERR_MALFORMED, KIND ": the round's own updates deleted");
    return 0;
}

int round_record_decode(struct bytes in, const struct cid *study,
                        const struct key_public *coordinator, struct round_record *out,
                        struct err *err)
{
    struct record r;
    struct round_record x = {.round = 0};
    int rc = record_open(in, KIND, &r, err);
    if (rc == 0)
        rc = record_expect(&r, study, coordinator, "the coordinator", err);
    if (rc == 0)
        rc = take_fields(&r, &x, err);
    if (rc == 0)
        rc = check_sense(&x, err);
    if (rc == 0)
        *out = x;
    else
        round_record_fini(&x);
    return rc;
}

void round_record_fini(struct round_record *r)
{
    free(r->selected);
    free(r->updates);
    free(r->refused);
    r->selected = NULL;
    r->updates = NULL;
    r->refused = NULL;
    r->selected_count = r->update_count = r->refused_count = 0;
}
