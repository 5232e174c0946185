/* SPDX-License-Identifier: Apache-2.0 */
/*
 * folder -- a coordinator's study folder: what lies where, and opening it.
 *
 *     DIR/config.toml    study, plan, addresses
 *     DIR/keys/          founder.key, coordinator.key, curve.key, tls.key, tls.crt
 *     DIR/roster, head   one CID each
 *     DIR/journal/       the coordinator's events
 *     DIR/shared/        store: models and records
 *     DIR/updates/ID/    one pack a site and round
 *     DIR/log.jsonl      what happened, for scripts
 *     DIR/status.json    rewritten by run
 *     DIR/roster.lock    held by an admission
 */
#ifndef COLMEIA_COORDINATOR_FOLDER_H
#define COLMEIA_COORDINATOR_FOLDER_H

#include "study/invitation.h"
#include "study/roster.h"
#include "study/study.h"

#define FOLDER_HOST_MAX 128

struct folder {
    char dir[FILES_PATH_MAX];
    struct cid study_id, plan_id;
    char host[FOLDER_HOST_MAX]; /* what sites are told */
    char bind[FOLDER_HOST_MAX]; /* the address that is bound */
    uint64_t control_port, hints_port, https_port;
    char control[256], hints[256];   /* endpoints to bind */
    struct key *coordinator, *curve; /* the founder's key is loaded by an admission alone */
    struct buf certificate_pem, key_pem;
};

/* ERR_NOTFOUND if DIR has no study. On failure nothing stays open. */
int folder_open(const char *dir, struct folder *out, struct err *err) MUST_USE;
void folder_close(struct folder *f); /* harmless twice */

/* An empty folder struct for DIR, nothing read or made yet. */
int folder_begin(const char *dir, struct folder *out, struct err *err) MUST_USE;
int folder_path(const struct folder *f, const char *name, char out[FILES_PATH_MAX],
                struct err *err) MUST_USE;
int folder_load_key(const struct folder *f, enum key_kind kind, const char *name, struct key **out,
                    struct err *err) MUST_USE;
/* DIR/shared. */
int folder_open_store(const struct folder *f, enum store_mode mode, struct store **out,
                      struct err *err) MUST_USE;

/* What sites must know, from an open folder and the founder's key, and from DIR alone. */
int folder_make_invitation(const struct folder *f, const struct key_public *founder,
                           struct invitation *out, struct err *err) MUST_USE;
int folder_invitation(const char *dir, struct invitation *out, struct err *err) MUST_USE;

/* DIR/roster's or DIR/head's CID; ERR_NOTFOUND if there is none. */
int folder_read_cid(const struct files *f, const char *dir, const char *name, struct cid *out,
                    struct err *err) MUST_USE;
/* `sync` false: for what can be made again, such as the head while the program runs. */
int folder_write_cid(const struct files *f, const char *dir, const char *name,
                     const struct cid *cid, bool sync, struct err *err) MUST_USE;

#endif
