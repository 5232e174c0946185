/* SPDX-License-Identifier: Apache-2.0 */
/*
 * config -- a TOML subset, read against a schema.
 *
 * Tables [a.b], bare keys, basic strings with escapes, integers (with _), floats, booleans, and
 * one-line or many-line arrays of strings or of whole numbers; comments. Everything else of TOML is
 * refused by name. A file is read against a list of the keys that are allowed: an unknown key, a
 * wrong type, a value out of range, a key twice or a required key that is absent ends in ERR_USAGE
 * with file, line, key and what is allowed.
 */
#ifndef COLMEIA_BASE_CONFIG_H
#define COLMEIA_BASE_CONFIG_H

#include "base/buf.h"

#define CONFIG_BYTES_MAX (256u << 10)
#define CONFIG_LIST_MAX  1024 /* items of an array */
#define CONFIG_UINTS_MAX 64   /* numbers of an array */
#define CONFIG_TEXT_MAX  1024 /* bytes of one string, NUL included */

enum config_type {
    CONFIG_TEXT,
    CONFIG_UINT,
    CONFIG_DOUBLE,
    CONFIG_BOOL,
    CONFIG_TEXT_LIST,
    CONFIG_UINT_LIST
};

struct config_list {
    size_t count;
    char (*items)[CONFIG_TEXT_MAX]; /* owned; config_list_fini */
};

struct config_uint_list {
    size_t count;
    uint64_t items[CONFIG_UINTS_MAX];
};

struct config_key {
    const char *table; /* "" for the top */
    const char *name;
    enum config_type type;
    bool required;
    void *target; /* char[size], uint64_t, double, bool, struct config_list or config_uint_list;
                     untouched if the key is absent */
    size_t size;  /* of a CONFIG_TEXT target, NUL included */
    double least, most;  /* of each number, inclusive; both 0: any (a UINT is never negative) */
    const char *allowed; /* for people: "a number from 1 to 1024", or for texts a list "a | b | c"
                            that is enforced */
};

/* Reads `text`; `path` is for messages only. On failure targets may be half filled. */
int config_parse(const char *path, struct bytes text, const struct config_key *keys, size_t count,
                 struct err *err) MUST_USE;
int config_load(const char *path, const struct config_key *keys, size_t count,
                struct err *err) MUST_USE;
void config_list_fini(struct config_list *l);

/* A quoted TOML string, escaped, appended to `out`. */
void config_put_text(struct buf *out, const char *text);

#endif
