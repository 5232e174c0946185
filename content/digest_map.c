/* SPDX-License-Identifier: Apache-2.0 */
#include "content/digest_map.h"

#include <stdlib.h>

#include "base/random.h"

__extension__ typedef unsigned __int128 product;

/* NH (Black and others, "UMAC", 1999) of the four words under the map's key: whoever does not know
 * that finds no two digests for which it is the same but by chance, once in 2^64. What is left of
 * order in it, as where digests count upwards, goes by multiplying and folding. */
static uint64_t place_of(const struct digest_map *m, const uint8_t digest[HASH_BYTES])
{
    uint64_t w[HASH_BYTES / 8];
    memcpy(w, digest, HASH_BYTES); /* in this machine's order: it never leaves memory */
    product nh = (product)(w[0] + m->key[0]) * (w[1] + m->key[1]) +
                 (product)(w[2] + m->key[2]) * (w[3] + m->key[3]);
    uint64_t h = (uint64_t)nh ^ (uint64_t)(nh >> 64) * (m->key[4] | 1);
    h = (h ^ h >> 32) * (m->key[5] | 1);
    h = (h ^ h >> 29) * 0x9e3779b97f4a7c15u;
    return h ^ h >> 32;
}

/* The entry of `digest`, or the place where it would go. `probes` counts the entries looked at. */
static struct digest_entry *seek(const struct digest_map *m, const uint8_t digest[HASH_BYTES],
                                 size_t *probes)
{
    struct digest_entry *grave = NULL;
    for (size_t i = (size_t)place_of(m, digest);; i++) {
        struct digest_entry *e = &m->entries[i & (m->capacity - 1)];
        ++*probes;
        if (e->state == DIGEST_FREE)
            return grave != NULL ? grave : e;
        if (e->state == DIGEST_REMOVED && grave == NULL)
            grave = e;
        if (e->state == DIGEST_USED && memcmp(e->digest, digest, HASH_BYTES) == 0)
            return e;
    }
}

static int grow(struct digest_map *m, struct err *err)
{
    size_t capacity = m->capacity == 0                 ? 16
                      : m->count * 2 > m->capacity / 2 ? m->capacity * 2
                                                       : m->capacity;
    struct digest_map bigger = {.count = m->count, .filled = m->count, .capacity = capacity};
    size_t probes = 0;
    bigger.entries = calloc(capacity, sizeof *bigger.entries);
    if (bigger.entries == NULL)
        return err_set(err, ERR_NOMEM, "out of memory");
    memcpy(bigger.key, m->key, sizeof m->key); /* so entries move in order, which is fast */
    if (m->capacity == 0)
        random_bytes(bigger.key, sizeof bigger.key);
    for (size_t i = 0; i < m->capacity; i++)
        if (m->entries[i].state == DIGEST_USED)
            *seek(&bigger, m->entries[i].digest, &probes) = m->entries[i];
    free(m->entries);
    *m = bigger;
    return 0;
}

int digest_map_put(struct digest_map *m, const uint8_t digest[HASH_BYTES],
                   const struct digest_place *place, struct err *err)
{
    if ((m->filled + 1) * 4 > m->capacity * 3) {
        int rc = grow(m, err);
        if (rc != 0)
            return rc;
    }
    size_t probes = 0;
    struct digest_entry *e = seek(m, digest, &probes);
    if (e->state != DIGEST_USED)
        m->count++;
    if (e->state == DIGEST_FREE)
        m->filled++;
    e->state = DIGEST_USED;
    memcpy(e->digest, digest, HASH_BYTES);
    e->place = *place;
    return 0;
}

bool digest_map_get(const struct digest_map *m, const uint8_t digest[HASH_BYTES],
                    struct digest_place *out)
{
    if (m->count == 0)
        return false;
    size_t probes = 0;
    const struct digest_entry *e = seek(m, digest, &probes);
    if (e->state != DIGEST_USED)
        return false;
    *out = e->place;
    return true;
}

void digest_map_remove(struct digest_map *m, const uint8_t digest[HASH_BYTES])
{
    if (m->count == 0)
        return;
    size_t probes = 0;
    struct digest_entry *e = seek(m, digest, &probes);
    if (e->state != DIGEST_USED)
        return;
    e->state = DIGEST_REMOVED;
    m->count--;
}

size_t digest_map_probes(const struct digest_map *m, const uint8_t digest[HASH_BYTES])
{
    size_t probes = 0;
    if (m->capacity > 0)
        (void)seek(m, digest, &probes);
    return probes;
}

void digest_map_fini(struct digest_map *m)
{
    free(m->entries);
    *m = (struct digest_map){0};
}
