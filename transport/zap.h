/* SPDX-License-Identifier: Apache-2.0 */
/*
 * zap -- who may complete a CURVE handshake: ZeroMQ's authentication protocol (RFC 27) against a
 * list of keys.
 *
 * A thread answers requests on inproc://zeromq.zap.01 of one ZeroMQ context; the list is replaced
 * whole, under a mutex. The User-Id of an accepted connection is its public key in Z85.
 *
 * ZeroMQ by itself lets everybody in when nobody answers there, and does not even ask for a socket
 * without a domain. So each bound socket goes through zap_guard first: from then on no answer is a
 * refusal.
 */
#ifndef COLMEIA_TRANSPORT_ZAP_H
#define COLMEIA_TRANSPORT_ZAP_H

#include "base/key.h"

#define ZAP_DOMAIN   "colmeia"
#define ZAP_KEYS_MAX 10000

struct zap;

/* `context` is a ZeroMQ context; call before any socket binds. Nobody is allowed yet. */
int zap_open(void *context, struct zap **out, struct err *err) MUST_USE;
void zap_close(struct zap *z); /* before the context is terminated; NULL is fine */

/* Makes `socket`, not yet bound, ask this list and take no answer for a no. */
int zap_guard(void *socket, struct err *err) MUST_USE;

/* From now on exactly these keys. ERR_LIMIT for more than ZAP_KEYS_MAX; the old list stays. */
int zap_allow(struct zap *z, const struct key_public *keys, size_t count, struct err *err) MUST_USE;
bool zap_is_allowed(struct zap *z, const struct key_public *key);
uint64_t zap_denied_count(struct zap *z);

#endif
