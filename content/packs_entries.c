/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>

#include "content/packs_internal.h"

struct cid packs_entries_cid(const struct packs_entry *e)
{
    struct cid cid = cid_from_digest(e->codec & ~PACKS_ENTRY_V0, e->digest);
    return (e->codec & PACKS_ENTRY_V0) != 0 ? cid_as_v0(&cid) : cid;
}

int packs_entries_add(struct packs_entries *list, const struct packs_entry *e, struct err *err)
{
    if (list->count == list->capacity) {
        size_t capacity = list->capacity * 2 + 64;
        struct packs_entry *entries = realloc(list->entries, capacity * sizeof *entries);
        if (entries == NULL)
            return err_set(err, ERR_NOMEM, "out of memory");
        list->entries = entries;
        list->capacity = capacity;
    }
    list->entries[list->count++] = *e;
    return 0;
}

void packs_entries_fini(struct packs_entries *list)
{
    free(list->entries);
    *list = (struct packs_entries){0};
}

static int by_digest(const void *a, const void *b)
{
    const struct packs_entry *x = a, *y = b;
    int order = memcmp(x->digest, y->digest, HASH_BYTES);
    if (order == 0) /* the later one counts: it stands first */
        order = x->offset > y->offset ? -1 : x->offset < y->offset;
    return order;
}

static int by_offset(const void *a, const void *b)
{
    const struct packs_entry *x = a, *y = b;
    return x->offset < y->offset ? -1 : x->offset > y->offset;
}

void packs_entries_by_offset(struct packs_entries *list)
{
    if (list->count > 0)
        qsort(list->entries, list->count, sizeof *list->entries, by_offset);
}

bool packs_entries_find(const struct packs_entry *entries, size_t count,
                        const uint8_t digest[HASH_BYTES], struct packs_entry *out)
{
    size_t low = 0, high = count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        int order = memcmp(entries[middle].digest, digest, HASH_BYTES);
        if (order == 0) {
            *out = entries[middle];
            return true;
        }
        if (order < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return false;
}

void packs_entries_sort(struct packs_entries *list)
{
    size_t kept = 0;
    if (list->count > 0)
        qsort(list->entries, list->count, sizeof *list->entries, by_digest);
    for (size_t i = 0; i < list->count; i++)
        if (kept == 0 ||
            memcmp(list->entries[kept - 1].digest, list->entries[i].digest, HASH_BYTES) != 0)
            list->entries[kept++] = list->entries[i];
    list->count = kept;
}
