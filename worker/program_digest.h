/* SPDX-License-Identifier: Apache-2.0 */
/*
 * program_digest -- what names a trainer program, whatever folder it lies in.
 *
 * SHA-256 over "colmeia-trainer-1:" || dag-cbor [[word...], [[file name, sha256]...]]. A word of
 * the command that names a file is replaced by its base name, and the file is listed with those of
 * `files`: by base name, sorted by it, then by hash, each pair once. A first word without "/" is
 * found through PATH and stands for itself: an interpreter's bytes, and its libraries', are not
 * covered.
 */
#ifndef COLMEIA_WORKER_PROGRAM_DIGEST_H
#define COLMEIA_WORKER_PROGRAM_DIGEST_H

#include "base/hash.h"
#include "worker/program.h"

/* Relative names are relative to `folder`. ERR_USAGE if one of `files` cannot be read. */
int program_digest(const struct program_config *c, const char *folder, uint8_t out[HASH_BYTES],
                   struct err *err) MUST_USE;

#endif
