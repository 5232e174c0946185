/* SPDX-License-Identifier: Apache-2.0 */
/*
 * msg -- control messages (transport/msg.proto) as plain structs. The door to <protobuf-c>.
 *
 * Decoding: size checked first, then a scan that counts fields and refuses unknown ones, repeated
 * singles, deep nesting and wrong wire types, then protobuf-c, then every value is checked into its
 * type here, so that a decoded struct cannot be invalid: CIDs are CIDs, texts are UTF-8 and short.
 */
#ifndef COLMEIA_TRANSPORT_MSG_H
#define COLMEIA_TRANSPORT_MSG_H

#include "base/cid.h"

#define MSG_VERSION      1
#define MSG_BYTES_MAX    (64u << 10)
#define MSG_BOOT_BYTES   16
#define MSG_LIST_MAX     1400
#define MSG_EVIDENCE_MAX 1024 /* bytes of a head statement or receipt */
#define MSG_REFUSAL_MAX  4096 /* bytes of a refusal record */
#define MSG_TEXT_MAX     512
#define MSG_CODE_MAX     32
#define MSG_RULE_MAX     16
#define MSG_TOKEN_MAX    128

enum msg_type {
    MSG_HELLO = 10,
    MSG_WELCOME,
    MSG_WANT,
    MSG_WAIT,
    MSG_TASK,
    MSG_DONE,
    MSG_MISSING,
    MSG_LIST,
    MSG_SUBMIT,
    MSG_ACCEPTED,
    MSG_REFUSED,
    MSG_HEAD,
    MSG_GREET,
    MSG_DENIED,
    MSG_DECLINE
};

/* One flat struct for all types: which members mean something is said at each. Strings are
 * NUL-terminated. */
struct msg {
    enum msg_type type;
    uint32_t version;
    struct cid study;
    uint64_t sequence;
    uint8_t boot[MSG_BOOT_BYTES];
    bool has_boot;

    uint64_t round;            /* want, task, missing, list, submit, accepted, refused, head,
                                  decline */
    struct cid record;         /* missing, list, submit, accepted, refused (none: what is refused is
                                  a decline), head */
    struct cid plan;           /* welcome, task */
    struct cid roster;         /* task */
    struct cid prev;           /* task */
    struct cid base;           /* task */
    struct cid site_record;    /* hello; none if empty */
    uint32_t site;             /* welcome, task */
    uint32_t exchange;         /* task */
    uint32_t least, most;      /* hello */
    uint32_t agreed;           /* welcome: version */
    uint32_t retry_ms;         /* wait */
    uint64_t token_ms;         /* welcome */
    char rule[MSG_RULE_MAX];   /* task */
    char token[MSG_TOKEN_MAX]; /* welcome */
    char code[MSG_CODE_MAX];   /* refused, denied, decline */
    char text[MSG_TEXT_MAX];   /* wait.why, refused.sentence, denied.sentence */
    uint8_t welcome_boot[MSG_BOOT_BYTES]; /* welcome */
    struct buf head;    /* hello, welcome, task, done: signed head statement, may be empty; owned */
    struct buf receipt; /* hello, accepted; owned */
    struct buf refusal; /* refused; owned */
    struct cid *cids;   /* list; owned */
    size_t cid_count;
};

/* Empty, of version MSG_VERSION. */
void msg_init(struct msg *m, enum msg_type type);
void msg_fini(struct msg *m);
/* Replaces `out`. ERR_LIMIT if the result is over MSG_BYTES_MAX. */
int msg_encode(const struct msg *m, struct buf *out, struct err *err) MUST_USE;
/* `out` is not looked at before, and is the caller's to fini after success. ERR_UNSUPPORTED for
 * another version. */
int msg_decode(struct bytes in, struct msg *out, struct err *err) MUST_USE;
const char *msg_type_name(enum msg_type t); /* "hello"; "unknown" */

#endif
