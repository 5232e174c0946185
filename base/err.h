/* SPDX-License-Identifier: Apache-2.0 */
/*
 * err -- a code for the program and a sentence for the person.
 *
 * A function that can fail returns 0 or one of the negative codes below and takes `struct err *err`
 * last, which may be NULL. The sentence is built from the inside out: err_set where the failure is
 * seen, err_wrap on the way up, so that a person reads `round 7: update of hospital-b: index: block
 * missing`. A code exists only if some caller behaves differently for it.
 */
#ifndef COLMEIA_BASE_ERR_H
#define COLMEIA_BASE_ERR_H

#include <stdarg.h>

#define MUST_USE               __attribute__((warn_unused_result))
#define PRINTF_LIKE(at, first) __attribute__((format(printf, at, first)))

#define ERR_TEXT_MAX 768

/*      name         value  what the caller may do about it */
#define ERR_CODES(X)                                                                               \
    X(NOMEM, -1)        /* out of memory: give up this request */                                  \
    X(USAGE, -2)        /* the operator's arguments or configuration are wrong */                  \
    X(MALFORMED, -3)    /* bytes from outside are not what they claim: the peer's fault */         \
    X(CORRUPT, -4)      /* bytes we stored are not what we stored: our disk's fault */             \
    X(LIMIT, -5)        /* larger than a named limit allows */                                     \
    X(NOTFOUND, -6)     /* not here */                                                             \
    X(EXISTS, -7)       /* already here */                                                         \
    X(DENIED, -8)       /* signature, token or policy says no */                                   \
    X(IO, -9)           /* the operating system failed us */                                       \
    X(NET, -10)         /* the other side or the way to it failed; try again later */              \
    X(TIMEOUT, -11)     /* nothing moved for too long */                                           \
    X(UNSUPPORTED, -12) /* valid, but of a kind or version this program does not know */

enum err_code {
    ERR_OK = 0,
#define ERR_AS_ENUM(name, value) ERR_##name = value,
    ERR_CODES(ERR_AS_ENUM)
#undef ERR_AS_ENUM
};

struct err {
    int code;                /* ERR_OK until something failed */
    char text[ERR_TEXT_MAX]; /* one sentence or clause, no newline, no final period */
};

/* Records `code` and the sentence, forgetting what `err` held; returns `code`, so that `return
 * err_set(...)` works. */
int err_set(struct err *err, int code, const char *format, ...) PRINTF_LIKE(3, 4);

/* Puts `prefix: ` before the sentence of `err`; returns `code`, the one that is being handed
 * upwards. */
int err_wrap(struct err *err, int code, const char *format, ...) PRINTF_LIKE(3, 4);

/* As err_set with ERR_IO (ERR_NOTFOUND for ENOENT, ERR_EXISTS for EEXIST, ERR_NOMEM for ENOMEM) and
 * the words of errno. */
int err_errno(struct err *err, const char *format, ...) PRINTF_LIKE(2, 3);

/* "malformed" for ERR_MALFORMED and so on, for logs and --json. */
const char *err_name(int code);

/* The process exit status for a failure: 2 for USAGE, 1 for MALFORMED, CORRUPT, DENIED and
 * NOTFOUND, else 3; 0 for ERR_OK. */
int err_exit(int code);

#endif
