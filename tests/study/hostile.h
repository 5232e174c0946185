/* SPDX-License-Identifier: Apache-2.0 */
/*
 * hostile -- records as an attacker or a broken peer would make them: flipped, cut, of another
 * kind, and well signed with one field changed.
 */
#ifndef COLMEIA_TESTS_STUDY_HOSTILE_H
#define COLMEIA_TESTS_STUDY_HOSTILE_H

#include "tests/scratch.h"

#include "study/record.h"

/* The test's decoder: its code, and nothing kept. */
typedef int hostile_decode(struct bytes in, struct err *err);

/* Bytes in memory of their own size, so that a sanitizer sees a read past them. */
UNUSED static int hostile_try(struct bytes in, hostile_decode *decode, struct err *err)
{
    uint8_t *copy = malloc(in.size + (in.size == 0));
    assert_non_null(copy);
    memcpy(copy, in.data, in.size);
    int rc = decode(bytes_of(copy, in.size), err);
    free(copy);
    return rc;
}

UNUSED static void assert_damage_is_refused(struct bytes in, hostile_decode *decode)
{
    struct err err = {0};
    if (hostile_try(in, decode, &err) != 0)
        fail_msg("the record itself: %s", err.text);
    uint8_t *copy = malloc(in.size + 1);
    assert_non_null(copy);
    memcpy(copy, in.data, in.size);
    for (size_t bit = 0; bit < 8 * in.size; bit++) {
        copy[bit / 8] ^= (uint8_t)(1u << (bit % 8));
        if (decode(bytes_of(copy, in.size), NULL) == 0)
            fail_msg("bit %zu of byte %zu flipped is accepted", bit % 8, bit / 8);
        copy[bit / 8] ^= (uint8_t)(1u << (bit % 8));
    }
    for (size_t size = 0; size < in.size; size++)
        if (hostile_try(bytes_of(copy, size), decode, NULL) == 0)
            fail_msg("the first %zu bytes are accepted", size);
    copy[in.size] = 0;
    assert_int_not_equal(hostile_try(bytes_of(copy, in.size + 1), decode, NULL), 0);
    free(copy);
}

/* The record `in` with the value of `field` replaced by the dag-cbor in `hex` (added if it has
 * none;
 * "" drops it), signed by `key`. */
UNUSED static void hostile_remake(struct bytes in, const char *kind, const struct key *key,
                                  const char *field, const char *hex, struct buf *out)
{
    static char names[RECORD_FIELDS_MAX][64];
    static uint8_t value[4096];
    struct record r;
    struct record_writer w;
    struct err err = {0};
    struct cid cid;
    size_t size = from_hex(hex, value, sizeof value);
    bool study = strcmp(field, "study") == 0, placed = study || size == 0;
    assert_int_equal(record_open(in, NULL, &r, &err), 0);
    record_begin(&w);
    for (size_t i = 0; i < r.count; i++) {
        snprintf(names[i], sizeof names[i], "%.*s", (int)r.fields[i].key.size,
                 (const char *)r.fields[i].key.data);
        if (r.fields[i].taken) /* kind, by, sig, study */
            continue;
        bool this = strcmp(names[i], field) == 0;
        struct bytes old = r.fields[i].value;
        if (!this)
            buf_append(record_field(&w, names[i]), old.data, old.size);
        else if (size > 0)
            buf_append(record_field(&w, names[i]), value, size);
        placed = placed || this;
    }
    if (!placed)
        buf_append(record_field(&w, field), value, size);
    struct cid other = cid_of(CID_DAG_CBOR, bytes_of(value, size));
    const struct cid *of = study && size > 0       ? &other
                           : study                 ? NULL
                           : cid_is_none(&r.study) ? NULL
                                                   : &r.study;
    if (record_sign(&w, kind != NULL ? kind : r.kind, of, key, out, &cid, &err) != 0)
        fail_msg("remake %s: %s", field, err.text);
}

struct hostile_row {
    const char *field, *hex; /* see hostile_remake */
    int code;
    const char *why;
};

UNUSED static void assert_rows_are_refused(struct bytes in, const struct key *key,
                                           hostile_decode *decode, const struct hostile_row *rows,
                                           size_t count)
{
    struct buf changed = buf_new(RECORD_BYTES_MAX);
    for (size_t i = 0; i < count; i++) {
        struct err err = {0};
        hostile_remake(in, NULL, key, rows[i].field, rows[i].hex, &changed);
        int rc = hostile_try(buf_bytes(&changed), decode, &err);
        if (rc != rows[i].code)
            fail_msg("%s = %s (%s): code %d, %s", rows[i].field, rows[i].hex, rows[i].why, rc,
                     err.text);
    }
    buf_fini(&changed);
}

/* Another kind or version with the same fields is ERR_UNSUPPORTED; another signer or study is not
 * believed (`stranger` may be NULL where the signer is not the decoder's question). */
UNUSED static void assert_others_are_refused(struct bytes in, const struct key *key,
                                             const struct key *stranger, hostile_decode *decode)
{
    struct buf changed = buf_new(RECORD_BYTES_MAX);
    struct record r;
    char kind[RECORD_KIND_MAX];
    assert_int_equal(record_open(in, NULL, &r, NULL), 0);
    memcpy(kind, r.kind, sizeof kind);
    kind[strlen(kind) - 1] = '9';
    hostile_remake(in, kind, key, "kind", "", &changed);
    assert_int_equal(decode(buf_bytes(&changed), NULL), ERR_UNSUPPORTED);
    hostile_remake(in, "colmeia/other/1", key, "kind", "", &changed);
    assert_int_equal(decode(buf_bytes(&changed), NULL), ERR_UNSUPPORTED);
    hostile_remake(in, NULL, key, "surplus", "f6", &changed);
    struct err err = {0};
    assert_int_equal(decode(buf_bytes(&changed), &err), ERR_MALFORMED);
    assert_non_null(strstr(err.text, "unknown field surplus"));
    if (stranger != NULL) {
        hostile_remake(in, NULL, stranger, "kind", "", &changed);
        assert_int_equal(decode(buf_bytes(&changed), NULL), ERR_DENIED);
    }
    buf_fini(&changed);
}

#endif
