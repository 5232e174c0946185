/* SPDX-License-Identifier: Apache-2.0 */
#include "study/refusal.h"

#define KIND "colmeia/refusal/1"

static const struct {
    const char *name, *sentence;
} codes[REFUSAL_CODE_COUNT] = {{"none", "not refused"},
#define REFUSAL_AS_ROW(name, text, sentence) {text, sentence},
                               REFUSAL_CODES(REFUSAL_AS_ROW)
#undef REFUSAL_AS_ROW
};

const char *refusal_name(enum refusal_code c)
{
    return codes[c].name;
}

const char *refusal_sentence(enum refusal_code c)
{
    return codes[c].sentence;
}

enum refusal_code refusal_parse(const char *name)
{
    for (enum refusal_code c = REFUSAL_NONE + 1; c < REFUSAL_CODE_COUNT; c++)
        if (strcmp(name, codes[c].name) == 0)
            return c;
    return REFUSAL_NONE;
}

bool refusal_is_decline(enum refusal_code c)
{
    return c >= REFUSAL_TRAINER_HUNG && c <= REFUSAL_TRAINER_DIGEST;
}

/* What a site submitted as its record may be named by a CID that no record has. */
static struct cid record_or_none(const struct cid *c)
{
    bool fits = c->size == CID_BYTES_V1 && cid_codec(c) == CID_DAG_CBOR && cid_digest(c) != NULL;
    return fits ? *c : (struct cid){0};
}

int refusal_sign(const struct refusal *r, const struct key *coordinator, struct buf *out,
                 struct cid *cid, struct err *err)
{
    struct cid record = record_or_none(&r->record);
    struct record_writer w;
    struct refusal check;
    struct key_public by = key_public(coordinator);
    record_begin(&w);
    cbor_put_link(record_field(&w, "plan"), &r->plan);
    cbor_put_uint(record_field(&w, "round"), r->round);
    cbor_put_link(record_field(&w, "site"), &r->site);
    cbor_put_link_or_null(record_field(&w, "record"), &record);
    cbor_put_text(record_field(&w, "code"), refusal_name(r->code));
    cbor_put_text(record_field(&w, "sentence"), r->sentence);
    int rc = record_sign(&w, KIND, &r->study, coordinator, out, &check.cid, err);
    if (rc == 0)
        rc = refusal_decode(buf_bytes(out), &r->study, &by, &check, err);
    if (rc == 0)
        *cid = check.cid;
    else
        buf_clear(out);
    return rc;
}

int refusal_decode(struct bytes in, const struct cid *study, const struct key_public *coordinator,
                   struct refusal *out, struct err *err)
{
    struct record r;
    struct refusal f = {.code = REFUSAL_NONE};
    char code[32];
    int rc = record_open(in, KIND, &r, err);
    if (rc == 0)
        rc = record_expect(&r, study, coordinator, "the coordinator", err);
    if (rc != 0)
        return rc;
    f.cid = r.cid;
    f.study = r.study;
    f.plan = record_link(&r, "plan");
    f.round = record_uint(&r, "round", 1, UINT64_MAX);
    f.site = record_link(&r, "site");
    f.record = record_link_or_null(&r, "record");
    record_text(&r, "code", code, sizeof code);
    record_text(&r, "sentence", f.sentence, sizeof f.sentence);
    rc = record_close(&r, err);
    if (rc != 0)
        return rc;
    f.code = refusal_parse(code);
    if (f.code == REFUSAL_NONE)
        return err_set(err, ERR_MALFORMED, KIND ": \"%s\" is not a refusal's code", code);
    *out = f;
    return 0;
}
