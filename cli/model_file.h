/* SPDX-License-Identifier: Apache-2.0 */
/*
 * model_file -- a small model whole in memory, for the native trainers: tensors in layout order,
 * whatever order the safetensors file has them in.
 */
#ifndef COLMEIA_CLI_MODEL_FILE_H
#define COLMEIA_CLI_MODEL_FILE_H

#include "model/network.h"

#define MODEL_FILE_BYTES_MAX NETWORK_BYTES_MAX

struct model_file {
    struct layout *layout;
    uint8_t *data; /* (layout->data_bytes) */
};

/* Reads a network's model; its scaling tensors are fixed ones. */
int model_file_load(const char *path, struct model_file *out, struct err *err) MUST_USE;
/* A new one, as the coordinator makes it. */
int model_file_new(const struct network *n, const uint8_t seed[HASH_BYTES], struct model_file *out,
                   struct err *err) MUST_USE;
/* Writes it in canonical form, whole or not at all. */
int model_file_save(const struct model_file *m, const char *path, struct err *err) MUST_USE;
void model_file_fini(struct model_file *m);

#endif
