/* SPDX-License-Identifier: Apache-2.0 */
/*
 * home -- a site's folder for one study: making it, opening it, and what its people decide there.
 *
 *     DIR/config.toml    the approved plan, the data and the trainer: what a person may change
 *     DIR/invitation     the invitation string       DIR/site       the site string
 *     DIR/keys/          site.key, curve.key: 0600   DIR/journal/   the worker's events
 *     DIR/shared/        store: records, models      DIR/updates/ID/ROUND.car   own updates
 *     DIR/work/          models being trained        DIR/head, DIR/roster       one CID each
 *     DIR/log.jsonl      the event log               DIR/status.json   rewritten by run
 */
#ifndef COLMEIA_WORKER_HOME_H
#define COLMEIA_WORKER_HOME_H

#include "base/files.h"
#include "study/invitation.h"
#include "study/site.h"
#include "worker/program.h"

#define HOME_DATA_MAX 1024 /* bytes of the data's path, NUL included */

/* What config.toml says. */
struct home_policy {
    struct cid plan;               /* the one plan that this site has approved */
    char data[HOME_DATA_MAX];      /* absolute path; "" if the site named none */
    struct program_config trainer; /* of the plan's trainer `program` */
};

struct home {
    char dir[FILES_PATH_MAX];
    struct invitation invitation;
    struct site site;
    struct home_policy policy; /* as it was when last read */
    struct key *ed25519, *curve;
};

/* Makes DIR: keys, site record, configuration; giving the invitation approves exactly its plan.
 * `data` NULL: none. Appends the site string. ERR_EXISTS if DIR is a site's folder already,
 * ERR_USAGE for a bad name, invitation, data file or folder; nothing is made then. What an init
 * that was interrupted made is taken up. */
int home_init(const char *dir, const char *name, const char *data, const char *invitation,
              struct buf *site_string, struct err *err) MUST_USE;

/* ERR_USAGE if DIR is no site's folder. */
int home_open(const char *dir, struct home *out, struct err *err) MUST_USE;
void home_close(struct home *f); /* harmless on a zeroed one */

/* Reads config.toml again into `out`. */
int home_read_policy(const char *dir, struct home_policy *out, struct err *err) MUST_USE;

/* The site string of an existing folder, appended. */
int home_site_string(const char *dir, struct buf *out, struct err *err) MUST_USE;

#endif
