/* SPDX-License-Identifier: Apache-2.0 */
#include "base/hash.h"

#include <openssl/evp.h>
#include <pthread.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/hash_pair.h"

#define SHA2_256     0x12
#define DBL_SHA2_256 0x56
#define BLAKE2B_256  0xb220 /* libcrypto has the full length alone */

/* OpenSSL 3 looks an algorithm up by name at each use unless it is fetched once. */
static EVP_MD *sha256;
static pthread_once_t fetched = PTHREAD_ONCE_INIT;

/* What a multihash code names; libcrypto may have been built without one of them. */
static struct {
    uint64_t code;
    const char *name;
    EVP_MD *md;
} others[] = {
    {.code = 0x13, .name = "SHA512"},        {.code = 0x14, .name = "SHA3-512"},
    {.code = 0x15, .name = "SHA3-384"},      {.code = 0x16, .name = "SHA3-256"},
    {.code = 0x17, .name = "SHA3-224"},      {.code = 0xb240, .name = "BLAKE2B-512"},
    {.code = 0xb260, .name = "BLAKE2S-256"},
};
static pthread_once_t others_fetched = PTHREAD_ONCE_INIT;

static void fetch_sha256(void)
{
    sha256 = EVP_MD_fetch(NULL, "SHA256", NULL);
    if (sha256 == NULL) {
        fprintf(stderr, "colmeia: libcrypto has no SHA-256\n");
        abort();
    }
}

static void fetch_others(void)
{
    for (size_t i = 0; i < sizeof others / sizeof others[0]; i++)
        others[i].md = EVP_MD_fetch(NULL, others[i].name, NULL);
}

struct hash {
    EVP_MD_CTX *context;
};

void hash_sha256(struct bytes in, uint8_t out[HASH_BYTES])
{
    pthread_once(&fetched, fetch_sha256);
    if (EVP_Digest(in.data, in.size, out, NULL, sha256, NULL) != 1) {
        fprintf(stderr, "colmeia: SHA-256 failed for want of memory\n");
        abort();
    }
}

/* Two neighbours of one size go together, and of three with two sizes the two that are equal. */
void hash_sha256_many(const struct bytes *inputs, size_t count, uint8_t (*out)[HASH_BYTES])
{
    size_t i = 0;
    while (hash_pair_available() && count - i >= 2) {
        bool behind = count - i >= 3 && inputs[i].size != inputs[i + 1].size &&
                      inputs[i + 1].size == inputs[i + 2].size;
        if (behind) {
            hash_sha256(inputs[i], out[i]);
            i++;
        }
        hash_pair(inputs[i], inputs[i + 1], out[i], out[i + 1]);
        i += 2;
    }
    for (; i < count; i++)
        hash_sha256(inputs[i], out[i]);
}

size_t hash_multi(uint64_t code, struct bytes in, uint8_t out[HASH_MULTI_MAX])
{
    if (code == SHA2_256 || code == DBL_SHA2_256) {
        hash_sha256(in, out);
        if (code == DBL_SHA2_256)
            hash_sha256(bytes_of(out, HASH_BYTES), out);
        return HASH_BYTES;
    }
    if (code == BLAKE2B_256)
        return crypto_generichash(out, HASH_BYTES, in.data, in.size, NULL, 0) == 0 ? HASH_BYTES : 0;
    pthread_once(&others_fetched, fetch_others);
    for (size_t i = 0; i < sizeof others / sizeof others[0]; i++) {
        if (others[i].code != code || others[i].md == NULL)
            continue;
        unsigned size = 0;
        if (EVP_Digest(in.data, in.size, out, &size, others[i].md, NULL) != 1) {
            fprintf(stderr, "colmeia: %s failed for want of memory\n", others[i].name);
            abort();
        }
        return size;
    }
    return 0;
}

int hash_new(struct hash **out, struct err *err)
{
    pthread_once(&fetched, fetch_sha256);
    struct hash *h = calloc(1, sizeof *h);
    if (h != NULL)
        h->context = EVP_MD_CTX_new();
    if (h == NULL || h->context == NULL || EVP_DigestInit_ex2(h->context, sha256, NULL) != 1) {
        hash_free(h);
        return err_set(err, ERR_NOMEM, "out of memory");
    }
    *out = h;
    return 0;
}

void hash_add(struct hash *h, struct bytes in)
{
    if (EVP_DigestUpdate(h->context, in.data, in.size) != 1)
        abort();
}

void hash_finish(struct hash *h, uint8_t out[HASH_BYTES])
{
    if (EVP_DigestFinal_ex(h->context, out, NULL) != 1)
        abort();
}

void hash_free(struct hash *h)
{
    if (h == NULL)
        return;
    EVP_MD_CTX_free(h->context);
    free(h);
}

void hash_hmac(struct bytes key, struct bytes in, uint8_t out[HASH_BYTES])
{
    size_t size = 0;
    if (EVP_Q_mac(NULL, "HMAC", NULL, "SHA256", NULL, key.data, key.size, in.data, in.size, out,
                  HASH_BYTES, &size) == NULL)
        abort();
}
