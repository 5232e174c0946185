/* SPDX-License-Identifier: Apache-2.0 */
#include "content/digest_map.h"

#include <stdlib.h>

/* The entry of `digest`, or the place where it would go. */
static struct digest_entry *seek(const struct digest_map *m, const uint8_t digest[HASH_BYTES])
{
    struct digest_entry *grave = NULL;
    for (size_t i = (size_t)bytes_get_u64(digest);; i++) {
        struct digest_entry *e = &m->entries[i & (m->capacity - 1)];
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
    bigger.entries = calloc(capacity, sizeof *bigger.entries);
    if (bigger.entries == NULL)
        return err_set(err, ERR_NOMEM, "out of memory");
    for (size_t i = 0; i < m->capacity; i++)
        if (m->entries[i].state == DIGEST_USED)
            *seek(&bigger, m->entries[i].digest) = m->entries[i];
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
    struct digest_entry *e = seek(m, digest);
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
    const struct digest_entry *e = seek(m, digest);
    if (e->state != DIGEST_USED)
        return false;
    *out = e->place;
    return true;
}

void digest_map_remove(struct digest_map *m, const uint8_t digest[HASH_BYTES])
{
    if (m->count == 0)
        return;
    struct digest_entry *e = seek(m, digest);
    if (e->state != DIGEST_USED)
        return;
    e->state = DIGEST_REMOVED;
    m->count--;
}

void digest_map_fini(struct digest_map *m)
{
    free(m->entries);
    *m = (struct digest_map){0};
}
