/* SPDX-License-Identifier: Apache-2.0 */
#include "base/key.h"

#include <errno.h>
#include <fcntl.h>
#include <sodium.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/files.h"

#define FILE_BYTES_MAX 128

static const uint8_t multicodec_ed25519[2] = {0xed, 0x01};
static const char *const kind_names[] = {[KEY_ED25519] = "ed25519", [KEY_X25519] = "x25519"};

struct key { /* lives in sodium_malloc memory */
    enum key_kind kind;
    struct key_public public;
    uint8_t seed[KEY_BYTES]; /* Ed25519 seed, or X25519 secret */
    uint8_t expanded[crypto_sign_SECRETKEYBYTES];
};

int key_setup(struct err *err)
{
    return sodium_init() < 0 ? err_set(err, ERR_IO, "libsodium could not start") : 0;
}

int key_from_seed(enum key_kind kind, const uint8_t seed[KEY_BYTES], struct key **out,
                  struct err *err)
{
    struct key *k = sodium_malloc(sizeof *k);
    if (k == NULL)
        return err_set(err, ERR_NOMEM, "no locked memory for a key");
    memset(k, 0, sizeof *k);
    k->kind = kind;
    memcpy(k->seed, seed, KEY_BYTES);
    int bad = kind == KEY_ED25519 ? crypto_sign_seed_keypair(k->public.bytes, k->expanded, k->seed)
                                  : crypto_scalarmult_base(k->public.bytes, k->seed);
    if (bad != 0) {
        key_free(k);
        return err_set(err, ERR_MALFORMED, "not a usable %s key", kind_names[kind]);
    }
    *out = k;
    return 0;
}

int key_new(enum key_kind kind, struct key **out, struct err *err)
{
    uint8_t seed[KEY_BYTES];
    randombytes_buf(seed, sizeof seed);
    int rc = key_from_seed(kind, seed, out, err);
    sodium_memzero(seed, sizeof seed);
    return rc;
}

void key_free(struct key *k)
{
    if (k != NULL)
        sodium_free(k); /* wipes */
}

static int sync_folder(const char *path, struct err *err)
{
    char folder[FILES_PATH_MAX];
    const struct files *f = files_posix();
    files_folder(path, folder);
    return f->sync_dir(f->self, folder, err);
}

int key_save(const struct key *k, const char *path, struct err *err)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (fd < 0)
        return err_errno(err, "make key file %s", path);
    errno = EIO; /* what a short write that says nothing is taken for */
    char hex[2 * KEY_BYTES + 1], line[FILE_BYTES_MAX];
    sodium_bin2hex(hex, sizeof hex, k->seed, KEY_BYTES);
    int size = snprintf(line, sizeof line, "colmeia-key-1 %s %s\n", kind_names[k->kind], hex);
    ssize_t written = write(fd, line, (size_t)size);
    int rc = written == size && fsync(fd) == 0 ? 0 : err_errno(err, "write key file %s", path);
    sodium_memzero(hex, sizeof hex);
    sodium_memzero(line, sizeof line);
    close(fd);
    if (rc == 0)
        rc = sync_folder(path, err);
    if (rc != 0)
        (void)unlink(path); /* ours: it was made exclusively; half a key helps nobody */
    return rc;
}

/* Opens a key file that only its owner can read. Never waits, should it be a pipe. */
static int open_private(const char *path, int *out, struct err *err)
{
    int fd = open(path, O_RDONLY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0 && errno == ELOOP)
        return err_set(err, ERR_DENIED, "%s is a symbolic link; a key must be a plain file", path);
    if (fd < 0)
        return err_errno(err, "open key file %s", path);
    struct stat s;
    int rc = 0;
    if (fstat(fd, &s) != 0)
        rc = err_errno(err, "stat %s", path);
    else if (!S_ISREG(s.st_mode))
        rc = err_set(err, ERR_DENIED, "%s is not a plain file", path);
    else if (s.st_uid != geteuid())
        rc = err_set(err, ERR_DENIED, "%s belongs to another user; run: chown %u %s", path,
                     (unsigned)geteuid(), path);
    else if ((s.st_mode & 077) != 0)
        rc = err_set(err, ERR_DENIED, "%s can be read by others; run: chmod 600 %s", path, path);
    if (rc != 0) {
        close(fd);
        return rc;
    }
    *out = fd;
    return 0;
}

static int parse_line(enum key_kind kind, const char *line, uint8_t seed[KEY_BYTES])
{
    char head[48];
    int size = snprintf(head, sizeof head, "colmeia-key-1 %s ", kind_names[kind]);
    const char *end;
    size_t n;
    if (strncmp(line, head, (size_t)size) != 0 ||
        sodium_hex2bin(seed, KEY_BYTES, line + size, strlen(line + size), NULL, &n, &end) != 0 ||
        n != KEY_BYTES || strcmp(end, "\n") != 0)
        return -1;
    return 0;
}

int key_load(enum key_kind kind, const char *path, struct key **out, struct err *err)
{
    int fd = -1;
    int rc = open_private(path, &fd, err);
    if (rc != 0)
        return rc;
    char line[FILE_BYTES_MAX + 1];
    uint8_t seed[KEY_BYTES];
    ssize_t size = read(fd, line, FILE_BYTES_MAX);
    line[size < 0 ? 0 : size] = '\0';
    close(fd);
    if (size < 0)
        rc = err_errno(err, "read key file %s", path);
    else if (parse_line(kind, line, seed) != 0)
        rc = err_set(err, ERR_CORRUPT, "%s does not hold an %s key", path, kind_names[kind]);
    else
        rc = key_from_seed(kind, seed, out, err);
    sodium_memzero(line, sizeof line);
    sodium_memzero(seed, sizeof seed);
    return rc;
}

struct key_public key_public(const struct key *k)
{
    return k->public;
}

bool key_equal(const struct key_public *a, const struct key_public *b)
{
    return sodium_memcmp(a->bytes, b->bytes, KEY_BYTES) == 0;
}

int key_sign(const struct key *k, struct bytes message, uint8_t signature[KEY_SIGNATURE_BYTES],
             struct err *err)
{
    uint8_t made[KEY_SIGNATURE_BYTES];
    if (k->kind != KEY_ED25519)
        return err_set(err, ERR_USAGE, "an x25519 key cannot sign");
    crypto_sign_detached(made, NULL, message.data, message.size, k->expanded);
    int rc = key_verify(&k->public, message, made, err);
    if (rc != 0)
        return err_wrap(err, ERR_IO, "a signature just made"); /* a fault in memory or CPU */
    memcpy(signature, made, sizeof made);
    return 0;
}

int key_verify(const struct key_public *by, struct bytes message,
               const uint8_t signature[KEY_SIGNATURE_BYTES], struct err *err)
{
    if (crypto_sign_verify_detached(signature, message.data, message.size, by->bytes) != 0)
        return err_set(err, ERR_DENIED, "signature does not verify");
    return 0;
}

void key_encode(const struct key_public *k, uint8_t out[KEY_MULTICODEC_BYTES])
{
    memcpy(out, multicodec_ed25519, 2);
    memcpy(out + 2, k->bytes, KEY_BYTES);
}

int key_decode(struct bytes in, struct key_public *out, struct err *err)
{
    if (in.size >= 2 && memcmp(in.data, multicodec_ed25519, 2) != 0)
        return err_set(err, ERR_UNSUPPORTED, "a key of a type other than Ed25519");
    if (in.size != KEY_MULTICODEC_BYTES)
        return err_set(err, ERR_MALFORMED, "an Ed25519 key of %zu bytes", in.size);
    memcpy(out->bytes, in.data + 2, KEY_BYTES);
    return 0;
}

/* ZeroMQ RFC 32: four bytes, big-endian, as five digits in base 85. */
void key_format_z85(const struct key_public *k, char out[KEY_Z85_MAX])
{
    static const char digits[] =
        "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ.-:+=^!/*?&<>()[]{}@%$#";
    for (size_t i = 0; i < KEY_BYTES / 4; i++) {
        const uint8_t *b = k->bytes + 4 * i;
        uint32_t word = (uint32_t)b[0] << 24 | (uint32_t)b[1] << 16 | (uint32_t)b[2] << 8 | b[3];
        for (size_t d = 5; d-- > 0; word /= 85)
            out[5 * i + d] = digits[word % 85];
    }
    out[KEY_Z85_MAX - 1] = '\0';
}

void key_secret_bytes(const struct key *k, uint8_t out[KEY_BYTES])
{
    memcpy(out, k->seed, KEY_BYTES);
}

void key_wipe(void *secret, size_t size)
{
    sodium_memzero(secret, size);
}

bool key_secret_equal(const void *a, const void *b, size_t size)
{
    return sodium_memcmp(a, b, size) == 0;
}
