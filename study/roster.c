/* SPDX-License-Identifier: Apache-2.0 */
#include "study/roster.h"

#include <stdlib.h>

#include "study/plan.h"
#include "study/study.h"

#define KIND "colmeia/roster/1"

/* --- what must be true of the sites as a set --- */

static int by_name(const void *a, const void *b)
{
    const struct roster_site *x = *(const struct roster_site *const *)a;
    const struct roster_site *y = *(const struct roster_site *const *)b;
    return strcmp(x->site.name, y->site.name);
}

static int by_ed25519(const void *a, const void *b)
{
    const struct roster_site *x = *(const struct roster_site *const *)a;
    const struct roster_site *y = *(const struct roster_site *const *)b;
    return memcmp(x->site.ed25519.bytes, y->site.ed25519.bytes, KEY_BYTES);
}

static int by_curve(const void *a, const void *b)
{
    const struct roster_site *x = *(const struct roster_site *const *)a;
    const struct roster_site *y = *(const struct roster_site *const *)b;
    return memcmp(x->site.curve.bytes, y->site.curve.bytes, KEY_BYTES);
}

/* A name or key that two sites share would let one speak for the other. */
static int check_unique(const struct roster_site *sites, size_t count, struct err *err)
{
    static const struct {
        int (*compare)(const void *a, const void *b);
        const char *what;
    } aspects[] = {{by_name, "the same name"},
                   {by_ed25519, "the same Ed25519 key"},
                   {by_curve, "one CURVE key"}};
    const struct roster_site **order = calloc(count + 1, sizeof(struct roster_site *));
    if (order == NULL)
        return err_set(err, ERR_NOMEM, "out of memory");
    int rc = 0;
    for (size_t k = 0; rc == 0 && k < sizeof aspects / sizeof aspects[0]; k++) {
        for (size_t i = 0; i < count; i++)
            order[i] = &sites[i];
        qsort(order, count, sizeof(struct roster_site *), aspects[k].compare);
        for (size_t i = 1; rc == 0 && i < count; i++)
            if (aspects[k].compare(&order[i - 1], &order[i]) == 0)
                rc = err_set(err, ERR_EXISTS, KIND ": sites %s and %s have %s",
                             order[i - 1]->site.name, order[i]->site.name, aspects[k].what);
    }
    free(order);
    return rc;
}

static int check_sites(const struct roster_site *sites, size_t count, struct err *err)
{
    for (size_t i = 0; i < count; i++) {
        const struct roster_site *s = &sites[i];
        if (!cid_is_none(&s->site.prev) || !cid_equal(&s->id, &s->site.cid))
            return err_set(err, ERR_MALFORMED, KIND ": site %zu is not named by its first record",
                           i);
    }
    return check_unique(sites, count, err);
}

/* --- writing --- */

static void put_sites(const struct roster_site *sites, size_t count, struct buf *out)
{
    cbor_put_array(out, count);
    for (size_t i = 0; i < count; i++) {
        cbor_put_map(out, 3);
        cbor_put_text(out, "from");
        cbor_put_uint(out, sites[i].from);
        cbor_put_text(out, "site");
        cbor_put_link(out, &sites[i].id);
        cbor_put_text(out, "until");
        if (sites[i].until == ROSTER_FOREVER)
            cbor_put_null(out);
        else
            cbor_put_uint(out, sites[i].until);
    }
}

static int decode(struct bytes in, const struct cid *study, const struct key_public *founder,
                  struct roster *out, struct err *err);

int roster_make(const struct roster *r, const struct cid *study, const struct key *founder,
                struct buf *out, struct cid *out_cid, struct err *err)
{
    struct record_writer w;
    struct roster check;
    struct key_public by = key_public(founder);
    uint8_t key[KEY_MULTICODEC_BYTES];
    if (r->count > ROSTER_SITES_MAX)
        return err_set(err, ERR_LIMIT, "a roster of %zu sites; at most %d", r->count,
                       ROSTER_SITES_MAX);
    int rc = check_sites(r->sites, r->count, err);
    if (rc != 0)
        return rc;
    key_encode(&r->coordinator, key);
    record_begin(&w);
    cbor_put_link_or_null(record_field(&w, "prev"), &r->prev);
    cbor_put_bytes(record_field(&w, "coordinator"), bytes_of(key, sizeof key));
    put_sites(r->sites, r->count, record_field(&w, "sites"));
    rc = record_sign(&w, KIND, study, founder, out, &check.cid, err);
    if (rc == 0)
        rc = decode(buf_bytes(out), study, &by, &check, err);
    if (rc != 0) {
        buf_clear(out);
        return rc;
    }
    *out_cid = check.cid;
    roster_fini(&check);
    return 0;
}

/* --- reading --- */

static void take_site(struct cbor *c, struct roster_site *s)
{
    if (cbor_take_map(c, 3) != 3)
        cbor_fail(c, "a site has from, site and until");
    cbor_expect_key(c, "from");
    s->from = cbor_take_uint(c, PLAN_ROUNDS_MAX);
    if (s->from == 0)
        cbor_fail(c, "rounds are counted from 1");
    cbor_expect_key(c, "site");
    s->id = record_item_link(c);
    cbor_expect_key(c, "until");
    s->until = ROSTER_FOREVER;
    if (cbor_peek(c) == CBOR_NULL)
        cbor_take_null(c);
    else
        s->until = cbor_take_uint(c, PLAN_ROUNDS_MAX);
    if (s->until < s->from)
        cbor_fail(c, "until is before from");
}

static int take_sites(struct record *r, struct roster *out, struct err *err)
{
    struct cbor c = record_take(r, "sites");
    out->count = (size_t)cbor_take_array(&c, ROSTER_SITES_MAX);
    out->sites = calloc(out->count + 1, sizeof *out->sites);
    if (out->sites == NULL)
        return err_set(err, ERR_NOMEM, "out of memory");
    for (size_t i = 0; i < out->count && !c.failed; i++)
        take_site(&c, &out->sites[i]);
    record_end(r, &c, "sites");
    return 0;
}

/* The record alone: names and keys of the sites are in other blocks. */
static int decode(struct bytes in, const struct cid *study, const struct key_public *founder,
                  struct roster *out, struct err *err)
{
    struct record r;
    struct roster x = {.count = 0};
    int rc = record_open(in, KIND, &r, err);
    if (rc == 0)
        rc = record_expect(&r, study, founder, "the founder", err);
    if (rc != 0)
        return rc;
    x.cid = r.cid;
    x.prev = record_link_or_null(&r, "prev");
    x.coordinator = record_key(&r, "coordinator");
    rc = take_sites(&r, &x, err);
    if (rc == 0)
        rc = record_close(&r, err);
    if (rc == 0)
        *out = x;
    else
        roster_fini(&x);
    return rc;
}

static int load_sites(struct store *store, struct roster *r, struct buf *block, struct err *err)
{
    for (size_t i = 0; i < r->count; i++) {
        int rc = study_get(store, &r->sites[i].id, block, err);
        if (rc == 0)
            rc = site_decode(buf_bytes(block), &r->sites[i].site, NULL, err);
        if (rc != 0)
            return err_wrap(err, rc, "site %zu", i);
    }
    return check_sites(r->sites, r->count, err);
}

int roster_load(struct store *store, const struct cid *study, const struct key_public *founder,
                const struct cid *cid, struct roster *out, struct err *err)
{
    char text[CID_TEXT_MAX];
    struct buf block = buf_new(RECORD_BYTES_MAX);
    struct roster r = {.count = 0};
    int rc = study_get(store, cid, &block, err);
    if (rc == 0)
        rc = decode(buf_bytes(&block), study, founder, &r, err);
    if (rc == 0)
        rc = load_sites(store, &r, &block, err);
    buf_fini(&block);
    if (rc != 0) {
        roster_fini(&r);
        return err_wrap(err, rc, "roster %s", cid_format(cid, text));
    }
    *out = r;
    return 0;
}

void roster_fini(struct roster *r)
{
    free(r->sites);
    r->sites = NULL;
    r->count = 0;
}

/* --- asking --- */

int roster_check_append(const struct roster *earlier, const struct roster *later, struct err *err)
{
    if (later->count < earlier->count)
        return err_set(err, ERR_DENIED, "the later roster has %zu sites, the earlier one %zu",
                       later->count, earlier->count);
    for (size_t i = 0; i < earlier->count; i++) {
        const struct roster_site *a = &earlier->sites[i], *b = &later->sites[i];
        if (!cid_equal(&a->id, &b->id))
            return err_set(err, ERR_DENIED, "site %zu was %s and is now %s", i, a->site.name,
                           b->site.name);
        if (a->from != b->from)
            return err_set(err, ERR_DENIED, "site %s: `from` was %llu and is now %llu",
                           a->site.name, (unsigned long long)a->from, (unsigned long long)b->from);
        if (a->until != b->until && a->until != ROSTER_FOREVER)
            return err_set(err, ERR_DENIED, "site %s: `until` was set already, to %llu",
                           a->site.name, (unsigned long long)a->until);
    }
    return 0;
}

long roster_find_curve(const struct roster *r, const struct key_public *curve)
{
    for (size_t i = 0; i < r->count; i++)
        if (key_equal(&r->sites[i].site.curve, curve))
            return (long)i;
    return -1;
}

long roster_find_name(const struct roster *r, const char *name)
{
    for (size_t i = 0; i < r->count; i++)
        if (strcmp(r->sites[i].site.name, name) == 0)
            return (long)i;
    return -1;
}

bool roster_is_active(const struct roster *r, size_t index, uint64_t round)
{
    return index < r->count && r->sites[index].from <= round && round < r->sites[index].until;
}
