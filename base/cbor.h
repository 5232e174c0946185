/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cbor -- the strict dag-cbor subset: one encoding for one value.
 *
 * Source: IPLD dag-cbor specification. Map keys are text, sorted by length and then bytes, never
 * twice; integers and lengths in their shortest form; definite lengths; tag 42 only, on a byte
 * string 00|CID; 64-bit floats only, finite only.
 *
 * Writing appends to a sticky buf; the writer puts map keys in order itself (cbor_key asserts
 * nothing; every record is read back by its own decoder before it is signed). Reading is a pull
 * reader that is sticky too: after the first failure every take returns zero or an empty value, and
 * cbor_finish says what was wrong and at which offset. Nothing is allocated.
 */
#ifndef COLMEIA_BASE_CBOR_H
#define COLMEIA_BASE_CBOR_H

#include "base/cid.h"

#define CBOR_DEPTH_MAX 128

/* --- writing
 * ------------------------------------------------------------------------------------------------------
 */

void cbor_put_uint(struct buf *b, uint64_t value);
void cbor_put_int(struct buf *b, int64_t value);
void cbor_put_bytes(struct buf *b, struct bytes value);
void cbor_put_text(struct buf *b, const char *value);
void cbor_put_text_bytes(struct buf *b, struct bytes utf8);
void cbor_put_array(struct buf *b, uint64_t items); /* the items follow */
void cbor_put_map(struct buf *b,
                  uint64_t pairs); /* key, value, key, value... follow, keys in order */
void cbor_put_link(struct buf *b, const struct cid *value);
void cbor_put_link_or_null(struct buf *b, const struct cid *value); /* null if `value` is none */
void cbor_put_bool(struct buf *b, bool value);
void cbor_put_null(struct buf *b);
void cbor_put_double(struct buf *b, double value); /* a non-finite value is written as null */

/* --- reading
 * ------------------------------------------------------------------------------------------------------
 */

enum cbor_type {
    CBOR_UINT,
    CBOR_NEGATIVE,
    CBOR_BYTES,
    CBOR_TEXT,
    CBOR_ARRAY,
    CBOR_MAP,
    CBOR_LINK,
    CBOR_BOOL,
    CBOR_NULL,
    CBOR_DOUBLE,
    CBOR_END
};

struct cbor {
    struct bytes in;
    size_t at;       /* offset of the next item */
    int failed;      /* 0 or ERR_MALFORMED, ERR_LIMIT; sticky */
    size_t bad_at;   /* offset of the failure */
    const char *why; /* static text */
};

/* A reader over `in`, which must outlive it. */
struct cbor cbor_reader(struct bytes in);

/* The type of the next item without taking it; CBOR_END at the end or once failed. */
enum cbor_type cbor_peek(struct cbor *r);

uint64_t cbor_take_uint(struct cbor *r, uint64_t max); /* larger: failed */
int64_t cbor_take_int(struct cbor *r);
struct bytes cbor_take_bytes(struct cbor *r, size_t max); /* borrowed from the input */
struct bytes cbor_take_text(struct cbor *r,
                            size_t max); /* borrowed, valid UTF-8, perhaps with NUL inside */
/* Copies a text of at most `size` - 1 bytes without NUL inside into `out` and terminates it. */
void cbor_take_string(struct cbor *r, char *out, size_t size);
uint64_t cbor_take_array(struct cbor *r, uint64_t max); /* number of items */
uint64_t cbor_take_map(struct cbor *r, uint64_t max);   /* number of pairs */
struct cid cbor_take_link(struct cbor *r);
struct cid cbor_take_link_or_null(struct cbor *r); /* none for null */
bool cbor_take_bool(struct cbor *r);
void cbor_take_null(struct cbor *r);
double cbor_take_double(struct cbor *r);         /* an integer is refused */
double cbor_take_double_or_null(struct cbor *r); /* NAN for null */

/* The next item must be the text `key`: how a map with a fixed schema is read, its keys being in
 * canonical order. */
void cbor_expect_key(struct cbor *r, const char *key);
/* Takes the key if it is the next item; false, and nothing taken, if not. */
bool cbor_try_key(struct cbor *r, const char *key);
/* Marks the reader failed at the present offset, for a value that the schema does not allow. `why`
 * is static text. */
void cbor_fail(struct cbor *r, const char *why);
/* Takes one whole item of any kind, checked as strictly, and returns its bytes. */
struct bytes cbor_take_item(struct cbor *r);

/* All input taken and nothing failed: 0. Else ERR_MALFORMED or ERR_LIMIT: `dag-cbor at offset 17:
 * map keys not in order`. */
int cbor_finish(struct cbor *r, struct err *err) MUST_USE;

/* Is `in` exactly one item in strict form? Calls `link` (may be NULL) for every link in order;
 * stops if it returns not 0. */
int cbor_check(struct bytes in, int (*link)(void *self, const struct cid *c, struct err *err),
               void *self, struct err *err) MUST_USE;

#endif
