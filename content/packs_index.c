/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>

#include "content/packs_internal.h"

#define MAGIC         "colmeia-index-1\n"
#define MAGIC_BYTES   16
#define HEAD_BYTES    24 /* magic and count */
#define ENTRY_BYTES   48
#define WINDOW        85 /* entries looked at together: a page */
#define GUESSES_MAX   4  /* by interpolation; a list that is not evenly spread is halved then */
#define PIECE_ENTRIES 1024
#define FILTER_BITS   8 /* a block, at least */
#define FILTER_HASHES 5

int packs_index_save(const struct files *f, const char *path, struct packs_entries *list,
                     struct err *err)
{
    packs_entries_sort(list);
    size_t size = HEAD_BYTES + list->count * ENTRY_BYTES;
    uint8_t *data = malloc(size + HASH_BYTES);
    if (data == NULL)
        return err_set(err, ERR_NOMEM, "out of memory");
    memcpy(data, MAGIC, MAGIC_BYTES);
    bytes_put_u64(data + MAGIC_BYTES, list->count);
    uint8_t *at = data + HEAD_BYTES;
    for (size_t i = 0; i < list->count; i++, at += ENTRY_BYTES) {
        const struct packs_entry *e = &list->entries[i];
        memcpy(at, e->digest, HASH_BYTES);
        bytes_put_u64(at + 32, e->offset);
        bytes_put_u32(at + 40, e->size);
        bytes_put_u32(at + 44, e->codec);
    }
    hash_sha256(bytes_of(data, size), data + size);
    int rc = files_save_unsynced(f, path, bytes_of(data, size + HASH_BYTES), err);
    free(data);
    return rc;
}

/* --- filters --- */

int packs_index_filter_new(uint64_t count, struct packs_filter *out, struct err *err)
{
    uint32_t bits = 64;
    while (bits < count * FILTER_BITS)
        bits *= 2;
    *out = (struct packs_filter){.bits = bits, .set = calloc(bits / 8, 1)};
    return out->set != NULL ? 0 : err_set(err, ERR_NOMEM, "out of memory");
}

/* Digests are evenly spread: their own words serve as hashes. */
static uint32_t filter_bit(const struct packs_filter *filter, const uint8_t *digest, size_t i)
{
    return bytes_get_u32(digest + HASH_BYTES - 4 - 4 * i) & (filter->bits - 1);
}

void packs_index_filter_add(struct packs_filter *filter, const uint8_t digest[HASH_BYTES])
{
    for (size_t i = 0; i < FILTER_HASHES; i++) {
        uint32_t bit = filter_bit(filter, digest, i);
        filter->set[bit / 8] |= (uint8_t)(1u << bit % 8);
    }
}

bool packs_index_filter_may_have(const struct packs_filter *filter,
                                 const uint8_t digest[HASH_BYTES])
{
    for (size_t i = 0; filter->set != NULL && i < FILTER_HASHES; i++) {
        uint32_t bit = filter_bit(filter, digest, i);
        if ((filter->set[bit / 8] >> bit % 8 & 1) == 0)
            return false;
    }
    return true;
}

/* --- looking at a file --- */

static int check_entries(const struct files *f, int fd, uint64_t count, struct hash *hash,
                         struct packs_filter *filter)
{
    uint8_t *piece = malloc(PIECE_ENTRIES * ENTRY_BYTES);
    int rc = piece == NULL ? ERR_NOMEM : 0;
    for (uint64_t i = 0; rc == 0 && i < count;) {
        size_t part = count - i < PIECE_ENTRIES ? (size_t)(count - i) : PIECE_ENTRIES;
        rc = f->read(f->self, fd, HEAD_BYTES + i * ENTRY_BYTES, piece, part * ENTRY_BYTES, NULL);
        for (size_t k = 0; rc == 0 && k < part; k++)
            packs_index_filter_add(filter, piece + k * ENTRY_BYTES);
        if (rc == 0)
            hash_add(hash, bytes_of(piece, part * ENTRY_BYTES));
        i += part;
    }
    free(piece);
    return rc;
}

/* The checksum of what begins with `head`. */
static int check_hash(const struct files *f, int fd, const uint8_t head[HEAD_BYTES], uint64_t count,
                      struct packs_filter *filter, struct err *err)
{
    uint8_t digest[HASH_BYTES], said[HASH_BYTES];
    struct hash *hash = NULL;
    int rc = hash_new(&hash, err);
    if (rc != 0)
        return rc;
    hash_add(hash, bytes_of(head, HEAD_BYTES));
    rc = check_entries(f, fd, count, hash, filter);
    if (rc == 0)
        rc = f->read(f->self, fd, HEAD_BYTES + count * ENTRY_BYTES, said, HASH_BYTES, NULL);
    if (rc == 0)
        hash_finish(hash, digest);
    hash_free(hash);
    if (rc != 0)
        return err_set(err, rc, "the index cannot be read");
    return memcmp(digest, said, HASH_BYTES) == 0
               ? 0
               : err_set(err, ERR_CORRUPT, "the index is damaged: its checksum is another");
}

int packs_index_check(const struct files *f, int fd, uint64_t *count, struct packs_filter *filter,
                      struct err *err)
{
    uint8_t head[HEAD_BYTES];
    struct files_stat st;
    int rc = f->stat_fd(f->self, fd, &st, err);
    if (rc == 0 && st.size < HEAD_BYTES + HASH_BYTES)
        rc = err_set(err, ERR_CORRUPT, "the index is damaged: it is cut");
    if (rc == 0)
        rc = f->read(f->self, fd, 0, head, sizeof head, err);
    if (rc != 0)
        return rc;
    uint64_t said = bytes_get_u64(head + MAGIC_BYTES);
    if (memcmp(head, MAGIC, MAGIC_BYTES) != 0 || said > PACKS_BLOCKS_MAX ||
        st.size != HEAD_BYTES + said * ENTRY_BYTES + HASH_BYTES)
        return err_set(err, ERR_CORRUPT, "the index is damaged: its head or length is wrong");
    struct packs_filter made;
    rc = packs_index_filter_new(said, &made, err);
    if (rc == 0)
        rc = check_hash(f, fd, head, said, &made, err);
    if (rc != 0) {
        free(made.set);
        return rc;
    }
    *count = said;
    *filter = made;
    return 0;
}

static struct packs_entry entry_at(const uint8_t *at)
{
    struct packs_entry e = {.offset = bytes_get_u64(at + 32),
                            .size = bytes_get_u32(at + 40),
                            .codec = bytes_get_u32(at + 44)};
    memcpy(e.digest, at, HASH_BYTES);
    return e;
}

int packs_index_load(const struct files *f, int fd, uint64_t count, struct packs_entries *out,
                     struct err *err)
{
    uint8_t page[WINDOW * ENTRY_BYTES];
    int rc = 0;
    for (uint64_t i = 0; rc == 0 && i < count;) {
        size_t part = count - i < WINDOW ? (size_t)(count - i) : WINDOW;
        rc = f->read(f->self, fd, HEAD_BYTES + i * ENTRY_BYTES, page, part * ENTRY_BYTES, err);
        for (size_t k = 0; rc == 0 && k < part; k++) {
            struct packs_entry e = entry_at(page + k * ENTRY_BYTES);
            rc = packs_entries_add(out, &e, err);
        }
        i += part;
    }
    return rc;
}

/* The first eight bytes as a number: digests in order are numbers in order. */
static double key_of(const uint8_t digest[HASH_BYTES])
{
    double key = 0;
    for (size_t i = 0; i < 8; i++)
        key = key * 256 + digest[i];
    return key;
}

/* Where to look among low..high - 1, whose keys lie between the two given. */
static uint64_t guess(uint64_t low, uint64_t high, const double keys[2], double key, bool halve)
{
    double width = keys[1] - keys[0], share = halve || width <= 0 ? 0.5 : (key - keys[0]) / width;
    uint64_t at = low + (uint64_t)(share * (double)(high - low));
    uint64_t first = at > low + WINDOW / 2 ? at - WINDOW / 2 : low;
    uint64_t last = high - low > WINDOW ? high - WINDOW : low;
    return first < last ? first : last;
}

int packs_index_find(const struct files *f, int fd, uint64_t count,
                     const uint8_t digest[HASH_BYTES], struct packs_entry *out, struct err *err)
{
    uint8_t page[WINDOW * ENTRY_BYTES];
    uint64_t low = 0, high = count;
    double keys[2] = {0, 18446744073709551616.0};
    for (unsigned n = 0; low < high; n++) {
        uint64_t first = guess(low, high, keys, key_of(digest), n >= GUESSES_MAX);
        size_t size = high - first < WINDOW ? (size_t)(high - first) : WINDOW;
        int rc =
            f->read(f->self, fd, HEAD_BYTES + first * ENTRY_BYTES, page, size * ENTRY_BYTES, err);
        if (rc != 0)
            return rc;
        const uint8_t *end = page + (size - 1) * ENTRY_BYTES;
        if (memcmp(digest, page, HASH_BYTES) < 0) {
            high = first;
            keys[1] = key_of(page);
        } else if (memcmp(digest, end, HASH_BYTES) > 0) {
            low = first + size;
            keys[0] = key_of(end);
        } else {
            for (const uint8_t *at = page; at <= end; at += ENTRY_BYTES)
                if (memcmp(at, digest, HASH_BYTES) == 0) {
                    *out = entry_at(at);
                    return 0;
                }
            return ERR_NOTFOUND;
        }
    }
    return ERR_NOTFOUND;
}
