/* SPDX-License-Identifier: Apache-2.0 */
#include "base/hash.h"

#include <openssl/evp.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

/* OpenSSL 3 looks an algorithm up by name at each use unless it is fetched once. */
static EVP_MD *sha256;
static pthread_once_t fetched = PTHREAD_ONCE_INIT;

static void fetch_sha256(void)
{
    sha256 = EVP_MD_fetch(NULL, "SHA256", NULL);
    if (sha256 == NULL) {
        fprintf(stderr, "colmeia: libcrypto has no SHA-256\n");
        abort();
    }
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
