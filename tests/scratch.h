/* SPDX-License-Identifier: Apache-2.0 */
/*
 * scratch -- what tests share: a folder that goes away, reproducible bytes, and
 * a disk that fails or kills on demand.
 */
#ifndef COLMEIA_TESTS_SCRATCH_H
#define COLMEIA_TESTS_SCRATCH_H

#include <ftw.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/cid.h"
#include "base/files.h"
#include "base/random.h"

#define UNUSED __attribute__((unused))

/* --- a folder --- */

static char scratch[64];

UNUSED static int scratch_setup(void **state)
{
    (void)state;
    snprintf(scratch, sizeof scratch, "/tmp/colmeia-test-XXXXXX");
    return mkdtemp(scratch) == NULL ? -1 : 0;
}

UNUSED static int scratch_remove_one(const char *path, const struct stat *s, int kind,
                                     struct FTW *ftw)
{
    (void)s;
    (void)kind;
    (void)ftw;
    return remove(path);
}

UNUSED static int scratch_teardown(void **state)
{
    (void)state;
    return nftw(scratch, scratch_remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

/* The path of `name` in the folder; good until the fourth call from now. */
UNUSED static const char *in_scratch(const char *name)
{
    static char paths[4][512];
    static unsigned next;
    char *path = paths[next++ % 4];
    snprintf(path, sizeof paths[0], "%s/%s", scratch, name);
    return path;
}

UNUSED static void write_file(const char *path, struct bytes data)
{
    FILE *f = fopen(path, "wb");
    assert_non_null(f);
    if (data.size > 0)
        assert_int_equal(fwrite(data.data, 1, data.size, f), data.size);
    assert_int_equal(fclose(f), 0);
}

UNUSED static struct buf read_file(const char *path)
{
    struct buf b = buf_new(64u << 20);
    assert_int_equal(files_load(files_posix(), path, &b, NULL), 0);
    return b;
}

/* Adds `by` to the byte at `offset` of a file. */
UNUSED static void damage_file(const char *path, long offset, uint8_t by)
{
    FILE *f = fopen(path, "r+b");
    assert_non_null(f);
    assert_int_equal(fseek(f, offset, SEEK_SET), 0);
    int byte = fgetc(f);
    assert_int_not_equal(byte, EOF);
    assert_int_equal(fseek(f, offset, SEEK_SET), 0);
    fputc((byte + by) & 0xff, f);
    assert_int_equal(fclose(f), 0);
}

/* --- bytes --- */

/* The ChaCha20 key stream of the key SHA-256(seed): the input of Kubo's deterministic tests. */
UNUSED static uint8_t *stream_bytes(const char *seed, size_t size)
{
    uint8_t key[HASH_BYTES];
    struct random_stream s;
    uint8_t *data = malloc(size + 1);
    assert_non_null(data);
    hash_sha256(bytes_of_text(seed), key);
    random_stream_init(&s, key);
    random_stream_fill(&s, data, size);
    return data;
}

UNUSED static void assert_cid(const struct cid *cid, const char *text)
{
    char got[CID_TEXT_MAX];
    assert_string_equal(cid_format(cid, got), text);
}

UNUSED static size_t from_hex(const char *hex, uint8_t *out, size_t size)
{
    size_t n = 0;
    for (; hex[0] != '\0'; hex++) {
        unsigned byte;
        if (hex[0] == ' ')
            continue;
        assert_true(n < size);
        assert_int_equal(sscanf(hex, "%2x", &byte), 1);
        out[n++] = (uint8_t)byte;
        hex++;
    }
    return n;
}

/* --- a disk that fails --- */

/* The real disk, with the changing operations counted and written down as letters: W write,
 * T truncate, S sync, D sync of a folder, R rename, U unlink, M make folder. */
struct flaky {
    struct files table;
    unsigned changes;
    unsigned fail_at; /* this one and all behind it fail; 0: none */
    unsigned kill_at; /* the process dies before it */
    char only;        /* fail_at counts this letter only */
    char log[4096];
};

UNUSED static int flaky_hit(struct flaky *f, char letter, struct err *err)
{
    size_t size = strlen(f->log);
    if (size + 1 < sizeof f->log) {
        f->log[size] = letter;
        f->log[size + 1] = '\0';
    }
    if (f->only != '\0' && f->only != letter)
        return 0;
    f->changes++;
    if (f->kill_at != 0 && f->changes == f->kill_at)
        kill(getpid(), SIGKILL);
    if (f->fail_at != 0 && f->changes >= f->fail_at)
        return err_set(err, ERR_IO, "failed by the test");
    return 0;
}

UNUSED static int flaky_write(void *self, int fd, uint64_t offset, const void *data, size_t size,
                              struct err *err)
{
    int rc = flaky_hit(self, 'W', err);
    /* Half of it arrives, as on a full disk. */
    if (rc != 0 && size > 1)
        (void)files_posix()->write(NULL, fd, offset, data, size / 2, NULL);
    return rc != 0 ? rc : files_posix()->write(NULL, fd, offset, data, size, err);
}

UNUSED static int flaky_truncate(void *self, int fd, uint64_t size, struct err *err)
{
    int rc = flaky_hit(self, 'T', err);
    return rc != 0 ? rc : files_posix()->truncate(NULL, fd, size, err);
}

UNUSED static int flaky_sync(void *self, int fd, struct err *err)
{
    int rc = flaky_hit(self, 'S', err);
    return rc != 0 ? rc : files_posix()->sync(NULL, fd, err);
}

UNUSED static int flaky_sync_dir(void *self, const char *path, struct err *err)
{
    int rc = flaky_hit(self, 'D', err);
    return rc != 0 ? rc : files_posix()->sync_dir(NULL, path, err);
}

UNUSED static int flaky_rename(void *self, const char *from, const char *to, struct err *err)
{
    int rc = flaky_hit(self, 'R', err);
    return rc != 0 ? rc : files_posix()->rename(NULL, from, to, err);
}

UNUSED static int flaky_unlink(void *self, const char *path, struct err *err)
{
    int rc = flaky_hit(self, 'U', err);
    return rc != 0 ? rc : files_posix()->unlink(NULL, path, err);
}

UNUSED static int flaky_make_dir(void *self, const char *path, struct err *err)
{
    int rc = flaky_hit(self, 'M', err);
    return rc != 0 ? rc : files_posix()->make_dir(NULL, path, err);
}

UNUSED static void flaky_init(struct flaky *f)
{
    *f = (struct flaky){.table = *files_posix()};
    f->table.self = f;
    f->table.write = flaky_write;
    f->table.truncate = flaky_truncate;
    f->table.sync = flaky_sync;
    f->table.sync_dir = flaky_sync_dir;
    f->table.rename = flaky_rename;
    f->table.unlink = flaky_unlink;
    f->table.make_dir = flaky_make_dir;
}

#endif
