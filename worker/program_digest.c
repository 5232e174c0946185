/* SPDX-License-Identifier: Apache-2.0 */
#include "worker/program_digest.h"

#include <stdlib.h>
#include <sys/stat.h>

#include "base/cbor.h"
#include "base/files.h"

#define DOMAIN      "colmeia-trainer-1:"
#define ENTRIES_MAX ((size_t)2 * PROGRAM_WORDS_MAX)
#define MESSAGE_MAX (64u << 10)
#define PIECE_BYTES (256u << 10)

struct entry {
    const char *name; /* the last part of a word of the configuration */
    uint8_t hash[HASH_BYTES];
};

struct listing {
    const char *folder;
    size_t count;
    struct entry entries[ENTRIES_MAX];
};

static const char *base_name(const char *word)
{
    const char *slash = strrchr(word, '/');
    return slash == NULL ? word : slash + 1;
}

static int path_of(const char *folder, const char *word, char out[FILES_PATH_MAX], struct err *err)
{
    if (word[0] != '/')
        return files_join(out, folder, word, err);
    if (strlen(word) >= FILES_PATH_MAX)
        return err_set(err, ERR_LIMIT, "%.64s...: path too long", word);
    memcpy(out, word, strlen(word) + 1);
    return 0;
}

static int hash_file(const char *path, uint8_t out[HASH_BYTES], struct err *err)
{
    const struct files *f = files_posix();
    struct files_stat st = {.size = 0};
    struct hash *h = NULL;
    uint8_t *piece = malloc(PIECE_BYTES);
    int fd = -1;
    int rc = piece == NULL ? err_set(err, ERR_NOMEM, "out of memory") : hash_new(&h, err);
    if (rc == 0)
        rc = f->open(f->self, path, FILES_READ, &fd, err);
    if (rc == 0)
        rc = f->stat_fd(f->self, fd, &st, err);
    for (uint64_t at = 0; rc == 0 && at < st.size;) {
        size_t size = st.size - at < PIECE_BYTES ? (size_t)(st.size - at) : PIECE_BYTES;
        rc = f->read(f->self, fd, at, piece, size, err);
        if (rc == 0)
            hash_add(h, bytes_of(piece, size));
        at += size;
    }
    if (rc == 0)
        hash_finish(h, out);
    if (fd >= 0)
        f->close(f->self, fd);
    hash_free(h);
    free(piece);
    return rc;
}

/* Lists the file that `word` names, if it names one. */
static int add(struct listing *l, const char *word, bool *found, struct err *err)
{
    char path[FILES_PATH_MAX];
    struct stat st;
    struct entry *e = &l->entries[l->count];
    *found = false;
    int rc = word[0] == '\0' ? 0 : path_of(l->folder, word, path, err);
    if (rc != 0 || word[0] == '\0' || stat(path, &st) != 0 || !S_ISREG(st.st_mode))
        return rc;
    rc = hash_file(path, e->hash, err);
    if (rc != 0)
        return err_wrap(err, ERR_USAGE, "the trainer's file %.400s", word);
    e->name = base_name(word);
    l->count++;
    *found = true;
    return 0;
}

static int by_name(const void *a, const void *b)
{
    const struct entry *left = a, *right = b;
    int order = strcmp(left->name, right->name);
    return order != 0 ? order : memcmp(left->hash, right->hash, HASH_BYTES);
}

static void put_entries(struct listing *l, struct buf *out)
{
    size_t kept = 0;
    qsort(l->entries, l->count, sizeof l->entries[0], by_name);
    for (size_t i = 0; i < l->count; i++)
        if (i == 0 || by_name(&l->entries[kept - 1], &l->entries[i]) != 0)
            l->entries[kept++] = l->entries[i];
    cbor_put_array(out, kept);
    for (size_t i = 0; i < kept; i++) {
        cbor_put_array(out, 2);
        cbor_put_text(out, l->entries[i].name);
        cbor_put_bytes(out, bytes_of(l->entries[i].hash, HASH_BYTES));
    }
}

int program_digest(const struct program_config *c, const char *folder, uint8_t out[HASH_BYTES],
                   struct err *err)
{
    struct listing l = {.folder = folder};
    struct buf message = buf_new(MESSAGE_MAX);
    const char *word = c->command, *file = c->files;
    bool found;
    int rc = 0;
    buf_append_text(&message, DOMAIN);
    cbor_put_array(&message, 2);
    cbor_put_array(&message, c->command_count);
    for (size_t i = 0; rc == 0 && i < c->command_count; i++, word += strlen(word) + 1) {
        found = false;
        if (i > 0 || strchr(word, '/') != NULL)
            rc = add(&l, word, &found, err);
        cbor_put_text(&message, found ? base_name(word) : word);
    }
    for (size_t i = 0; rc == 0 && i < c->file_count; i++, file += strlen(file) + 1) {
        rc = add(&l, file, &found, err);
        if (rc == 0 && !found)
            rc =
                err_set(err, ERR_USAGE, "the trainer's file %.400s is not there, or no file", file);
    }
    if (rc == 0) {
        put_entries(&l, &message);
        rc = buf_check(&message, err);
    }
    if (rc == 0)
        hash_sha256(buf_bytes(&message), out);
    buf_fini(&message);
    return rc;
}
