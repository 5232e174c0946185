/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sources -- whom a command asks for blocks that the store has not: those that --from names;
 * without --from those in $IPFS_GATEWAY; without that the lines of $IPFS_PATH/gateway
 * (~/.ipfs/gateway), as other IPFS tools read them.
 *
 * Trustless gateways, http or https; every block is hashed. One that lies is named on stderr and
 * asked no more.
 */
#ifndef COLMEIA_CLI_SOURCES_H
#define COLMEIA_CLI_SOURCES_H

#include "base/progress.h"
#include "cli/options.h"
#include "content/store.h"

struct sources;
struct extract_part;

/* `from` may be NULL. `*out` is NULL if nobody is named anywhere. ERR_USAGE quotes what is no URL
 * of a gateway and says where it stands. */
int sources_open(const struct options_list *from, struct sources **out, struct err *err) MUST_USE;
void sources_close(struct sources *s); /* NULL is fine */

size_t sources_count(const struct sources *s);
const char *sources_url(const struct sources *s, size_t i);
/* Bytes of bodies received so far, for a rate; any thread may ask. */
uint64_t sources_received(const struct sources *s);

/* A source over the store that fetches what is missing there, block by block, into the store
 * (STORE_WRITE, STORE_SHARE or STORE_ADD). `s` NULL: the store alone. Both must outlive it. */
struct block_source sources_block_source(struct sources *s, struct store *store);
/* Everything below `root`, from all at once, into the store (STORE_WRITE or STORE_SHARE): see
 * fetch_dag.h. */
int sources_fetch(struct sources *s, struct store *store, const struct cid *root, bool sync,
                  struct progress_count *progress, struct err *err) MUST_USE;

/* The file `root` into `to`, which it begins, and its blocks into the store: the leaves too if
 * `keep`. See fetch_file.h, above all for ERR_UNSUPPORTED. */
int sources_fetch_file(struct sources *s, struct store *store, const struct cid *root,
                       struct extract_part *to, bool keep, struct progress_count *progress,
                       struct err *err) MUST_USE;

#endif
