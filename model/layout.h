/* SPDX-License-Identifier: Apache-2.0 */
/*
 * layout -- the names, shapes, dtypes, uses and order of a model's tensors, and how they are cut
 * into shards.
 *
 * Order: element size descending, then dtype name, then name bytes. In that order the tensors lie
 * in the model's file without gaps, so an offset below is an offset into the safetensors data
 * section (which begins at a multiple of 64). All `mean` elements in layout order, then all
 * `largest` ones, are cut into shards of LAYOUT_SHARD_ELEMENTS; a shard never spans two dtypes, the
 * last of each run is short. `fixed` tensors are in no shard. A shard's elements may lie in several
 * pieces of the file, where fixed tensors stand between.
 *
 * Immutable once made; any thread may read it.
 */
#ifndef COLMEIA_MODEL_LAYOUT_H
#define COLMEIA_MODEL_LAYOUT_H

#include "base/buf.h"
#include "model/dtype.h"

#define LAYOUT_TENSORS_MAX    16384
#define LAYOUT_RANK_MAX       8
#define LAYOUT_NAME_MAX       512          /* bytes of a tensor's name */
#define LAYOUT_BYTES_MAX      (1ull << 42) /* of all tensors together */
#define LAYOUT_SHARD_ELEMENTS (1u << 17)

enum use {
    USE_MEAN,    /* floats: averaged */
    USE_LARGEST, /* integers named by the plan: the largest value wins */
    USE_FIXED    /* must equal the base, never uploaded */
};

struct tensor {
    char *name; /* NUL-terminated, UTF-8 */
    enum dtype dtype;
    enum use use;
    uint8_t rank; /* 0: a scalar */
    uint64_t shape[LAYOUT_RANK_MAX];
    uint64_t elements; /* filled by layout_new */
    uint64_t offset;   /* bytes into the data section; filled by layout_new */
};

struct shard {
    enum use use; /* USE_MEAN or USE_LARGEST */
    enum dtype dtype;
    uint32_t elements;
    uint32_t bytes;   /* as stored: F64 8 an element, other mean dtypes 4 (f32 deltas), largest: the
                         dtype's own */
    uint32_t tensor;  /* where it begins: index of a tensor ... */
    uint64_t element; /* ... and element in it */
};

struct piece {
    uint64_t offset;   /* bytes into the data section */
    uint32_t elements; /* in one run there */
    uint32_t at;       /* first element's place in the shard */
};

struct layout {
    size_t tensor_count;
    struct tensor *tensors; /* in layout order */
    uint64_t data_bytes;
    size_t shard_count;
    struct shard *shards;
};

/* Sorts copies of `tensors` (elements and offset ignored) into layout order, computes elements,
 * offsets and shards. ERR_MALFORMED for a name that is empty, not UTF-8, with a control character,
 * "__metadata__" (which safetensors keeps to itself) or twice; ERR_LIMIT past a limit above or if a
 * product of dimensions overflows; ERR_USAGE for a use that does not fit the dtype (mean of an
 * integer, largest of a float). */
int layout_new(const struct tensor *tensors, size_t count, struct layout **out,
               struct err *err) MUST_USE;
void layout_free(struct layout *l);

/* Layout order of two struct tensor, for qsort; 0 only if dtype and name are the same. */
int layout_order(const void *a, const void *b);

/* dag-cbor {count, tensors: [[name, dtype, shape, use]]}, use one of "mean", "largest", "fixed".
 * `decode` insists on layout order; what layout_new calls ERR_USAGE is ERR_MALFORMED here. */
int layout_encode(const struct layout *l, struct buf *out, struct err *err) MUST_USE;
int layout_decode(struct bytes in, struct layout **out, struct err *err) MUST_USE;

/* Same tensors (name, dtype, shape, use)? If not, `err` says the first difference with the tensor's
 * name (ERR_MALFORMED). */
int layout_compare(const struct layout *expected, const struct layout *found,
                   struct err *err) MUST_USE;

/* NULL if there is none of that name. */
const struct tensor *layout_find(const struct layout *l, const char *name);

/* The pieces of shard `i`, in order and as long as can be: start with *cursor = 0; false after the
 * last. */
bool layout_next_piece(const struct layout *l, size_t i, uint64_t *cursor, struct piece *out);

/* Total bytes of all shards as stored, for quotas. */
uint64_t layout_update_bytes(const struct layout *l);

#endif
