/* SPDX-License-Identifier: Apache-2.0 */
/*
 * record -- a signed dag-cbor map: what every statement of a study is made of.
 *
 * Each has `kind` ("colmeia/plan/1"), `by` (multicodec key bytes), `sig`, and, but for charter and
 * site, `study`. The signature is over "colmeia-record-v1:" and the map without `sig`. Writing:
 * fields in any order, sorted here; the finished record is opened again by this module before it is
 * returned. Reading: shape, order, kind and signature are checked by record_open; a field that
 * nobody took is an unknown field and refused by record_close. That study and signer are the right
 * ones is record_expect's question.
 */
#ifndef COLMEIA_STUDY_RECORD_H
#define COLMEIA_STUDY_RECORD_H

#include "base/cbor.h"
#include "base/key.h"

#define RECORD_BYTES_MAX  (1u << 20)
#define RECORD_FIELDS_MAX 32
#define RECORD_KIND_MAX   40

/* --- writing
 * ------------------------------------------------------------------------------------------------------
 */

struct record_writer {
    size_t count;
    struct {
        const char *key;
        size_t start; /* of its value in `values` */
    } fields[RECORD_FIELDS_MAX];
    struct buf values;
};

void record_begin(struct record_writer *w);
/* Adds a field: append exactly one dag-cbor item to the buffer returned. `key` is static text. */
struct buf *record_field(struct record_writer *w, const char *key);
/* Signs and appends the record's block to `out` (cleared first); frees the writer whatever happens.
 * `study` NULL: no such field. */
int record_sign(struct record_writer *w, const char *kind, const struct cid *study,
                const struct key *key, struct buf *out, struct cid *cid, struct err *err) MUST_USE;

/* --- reading
 * ------------------------------------------------------------------------------------------------------
 */

struct record {
    char kind[RECORD_KIND_MAX];
    struct cid cid;       /* of the whole */
    struct cid study;     /* none if the record has no such field */
    struct key_public by; /* whose signature was checked */
    size_t count;
    struct {
        struct bytes key, value; /* borrowed from the input */
        bool taken;
    } fields[RECORD_FIELDS_MAX];
    struct err err; /* the first failure of a take; sticky */
};

/* Checks form and signature. ERR_MALFORMED, ERR_LIMIT, ERR_UNSUPPORTED (another kind or version
 * than `kind`; NULL: any), ERR_DENIED (the signature). `in` must outlive `out`. */
int record_open(struct bytes in, const char *kind, struct record *out, struct err *err) MUST_USE;
/* Is it of `study` (NULL: a kind without that field), and signed by `by` (NULL: by anybody)? `who`
 * is that party in words. ERR_DENIED. */
int record_expect(const struct record *r, const struct cid *study, const struct key_public *by,
                  const char *who, struct err *err) MUST_USE;

/* Takes: sticky, each its field's only value; after a failure they return zero. A field that is
 * absent or not in the form and range asked for is a failure. */
uint64_t record_uint(struct record *r, const char *key, uint64_t least, uint64_t most);
struct cid record_link(struct record *r, const char *key); /* to a dag-cbor block, v1, sha2-256 */
struct cid record_link_or_null(struct record *r, const char *key);
struct cid record_model(struct record *r, const char *key); /* to a UnixFS root: raw or dag-pb */
struct cid record_model_or_null(struct record *r, const char *key);
void record_text(struct record *r, const char *key, char *out, size_t size);  /* see below */
void record_bytes(struct record *r, const char *key, void *out, size_t size); /* exactly `size` */
struct key_public record_key(struct record *r, const char *key);              /* multicodec */
bool record_has(const struct record *r, const char *key);
/* A reader on any other value (a failed one if the field is absent), handed back to record_end. */
struct cbor record_take(struct record *r, const char *key);
void record_end(struct record *r, struct cbor *field, const char *key);
/* Items inside such a value: a link as record_link's; a text of 1 to size - 1 bytes without control
 * characters. */
struct cid record_item_link(struct cbor *c);
void record_item_text(struct cbor *c, char *out, size_t size);

/* 0 if nothing failed and every field was taken; else the first failure, or ERR_MALFORMED naming a
 * field that was not. */
int record_close(const struct record *r, struct err *err) MUST_USE;

#endif
