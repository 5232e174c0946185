/* SPDX-License-Identifier: Apache-2.0 */
#include "study/update.h"

#include <math.h>

#define KIND "colmeia/update/1"

/* Canonical order of map keys: by length, then bytes. */
static bool goes_before(const struct update_metric *a, const struct update_metric *b)
{
    size_t na = strlen(a->name), nb = strlen(b->name);
    return na != nb ? na < nb : strcmp(a->name, b->name) < 0;
}

static void put_metrics(const struct update *u, struct buf *out)
{
    const struct update_metric *order[UPDATE_METRICS_MAX];
    size_t count = u->metric_count < UPDATE_METRICS_MAX ? u->metric_count : UPDATE_METRICS_MAX;
    for (size_t i = 0; i < count; i++) {
        size_t at = i;
        for (; at > 0 && goes_before(&u->metrics[i], order[at - 1]); at--)
            order[at] = order[at - 1];
        order[at] = &u->metrics[i];
    }
    cbor_put_map(out, count);
    for (size_t i = 0; i < count; i++) {
        cbor_put_text(out, order[i]->name);
        cbor_put_double(out, order[i]->value);
    }
}

static void put_fields(struct record_writer *w, const struct update *u)
{
    cbor_put_link(record_field(w, "plan"), &u->plan);
    cbor_put_uint(record_field(w, "round"), u->round);
    cbor_put_uint(record_field(w, "exchange"), u->exchange);
    cbor_put_link(record_field(w, "base"), &u->base);
    if (!cid_is_none(&u->delta))
        cbor_put_link(record_field(w, "delta"), &u->delta);
    if (!cid_is_none(&u->values))
        cbor_put_link(record_field(w, "values"), &u->values);
    cbor_put_uint(record_field(w, "examples"), u->examples);
    put_metrics(u, record_field(w, "metrics"));
    cbor_put_bytes(record_field(w, "trainer"), bytes_of(u->trainer, sizeof u->trainer));
    cbor_put_uint(record_field(w, "seconds"), u->seconds);
}

int update_sign(const struct update *u, const struct key *site, struct buf *out, struct cid *cid,
                struct err *err)
{
    struct record_writer w;
    struct update check;
    if (u->metric_count > UPDATE_METRICS_MAX)
        return err_set(err, ERR_LIMIT, "more than %d metrics", UPDATE_METRICS_MAX);
    record_begin(&w);
    put_fields(&w, u);
    int rc = record_sign(&w, KIND, &u->study, site, out, &check.cid, err);
    if (rc == 0)
        rc = update_decode(buf_bytes(out), &check, err);
    if (rc == 0)
        *cid = check.cid;
    else
        buf_clear(out);
    return rc;
}

static bool is_metric_name(const char *name)
{
    for (const char *c = name; *c != '\0'; c++)
        if (!((*c >= 'a' && *c <= 'z') || (*c >= '0' && *c <= '9') || *c == '_' || *c == '.'))
            return false;
    return name[0] != '\0';
}

static void take_metrics(struct record *r, struct update *u)
{
    struct cbor c = record_take(r, "metrics");
    u->metric_count = (size_t)cbor_take_map(&c, UPDATE_METRICS_MAX);
    for (size_t i = 0; i < u->metric_count && !c.failed; i++) {
        struct update_metric *m = &u->metrics[i];
        record_item_text(&c, m->name, sizeof m->name);
        if (!c.failed && !is_metric_name(m->name))
            cbor_fail(&c, "a metric's name is of a-z 0-9 _ . only");
        m->value = cbor_take_double_or_null(&c);
    }
    record_end(r, &c, "metrics");
}

int update_decode(struct bytes in, struct update *out, struct err *err)
{
    struct record r;
    struct update u = {.metric_count = 0};
    int rc = record_open(in, KIND, &r, err);
    if (rc != 0)
        return rc;
    if (cid_is_none(&r.study))
        return err_set(err, ERR_MALFORMED, KIND ": field study missing");
    u.cid = r.cid;
    u.study = r.study;
    u.by = r.by;
    u.plan = record_link(&r, "plan");
    u.base = record_model(&r, "base");
    u.round = record_uint(&r, "round", 0, UINT64_MAX);
    u.exchange = record_uint(&r, "exchange", 0, UINT64_MAX);
    if (record_has(&r, "delta"))
        u.delta = record_link(&r, "delta");
    if (record_has(&r, "values"))
        u.values = record_link(&r, "values");
    u.examples = record_uint(&r, "examples", 0, UINT64_MAX);
    take_metrics(&r, &u);
    record_bytes(&r, "trainer", u.trainer, sizeof u.trainer);
    u.seconds = record_uint(&r, "seconds", 0, UINT64_MAX);
    rc = record_close(&r, err);
    if (rc == 0)
        *out = u;
    return rc;
}

double update_metric(const struct update *u, const char *name)
{
    for (size_t i = 0; i < u->metric_count; i++)
        if (strcmp(u->metrics[i].name, name) == 0)
            return u->metrics[i].value;
    return NAN;
}
