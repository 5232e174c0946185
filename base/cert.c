/* SPDX-License-Identifier: Apache-2.0 */
#include "base/cert.h"

#include <arpa/inet.h>
#include <openssl/ec.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rand.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>
#include <stdio.h>

#define DAY_SECONDS  (24L * 3600)
#define VALID_DAYS   (30 * 365)
#define SERIAL_BYTES 16
#define HOST_MAX     253 /* RFC 1035 */

static bool is_address(const char *host)
{
    uint8_t address[16];
    return inet_pton(AF_INET, host, address) == 1 || inet_pton(AF_INET6, host, address) == 1;
}

/* Letters, digits and hyphens between dots: nothing that could add a second name to a list. The
 * last label has a letter, so a mistyped address is no name. */
static bool is_host_name(const char *host)
{
    size_t label = 0, size = 0;
    bool letter = false;
    for (; host[size] != '\0'; size++) {
        char c = host[size];
        bool alnum = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
        bool hyphen = c == '-' && label > 0 && host[size + 1] != '.' && host[size + 1] != '\0';
        if (size >= HOST_MAX || label > 63 || !(alnum || hyphen || (c == '.' && label > 0)))
            return false;
        label = c == '.' ? 0 : label + 1;
        letter = c != '.' && (letter || c == '-' || c > '9');
    }
    return letter && label <= 63;
}

static int add_alternative_name(X509 *x, const char *host)
{
    char value[HOST_MAX + 8];
    snprintf(value, sizeof value, "%s:%s", is_address(host) ? "IP" : "DNS", host);
    X509_EXTENSION *e = X509V3_EXT_conf_nid(NULL, NULL, NID_subject_alt_name, value);
    int ok = e != NULL && X509_add_ext(x, e, -1) == 1;
    X509_EXTENSION_free(e);
    return ok;
}

static int fill(X509 *x, EVP_PKEY *key, const char *host)
{
    uint8_t serial[SERIAL_BYTES];
    if (RAND_bytes(serial, sizeof serial) != 1)
        return 0;
    serial[0] &= 0x7f;
    BIGNUM *number = BN_bin2bn(serial, sizeof serial, NULL);
    int ok = number != NULL && BN_to_ASN1_INTEGER(number, X509_get_serialNumber(x)) != NULL;
    BN_free(number);
    X509_NAME *name = X509_get_subject_name(x);
    /* Not before yesterday: a site whose clock is behind must not stumble over it. */
    return ok && X509_set_version(x, X509_VERSION_3) == 1 &&
           X509_gmtime_adj(X509_getm_notBefore(x), -DAY_SECONDS) != NULL &&
           X509_time_adj_ex(X509_getm_notAfter(x), VALID_DAYS, 0, NULL) != NULL &&
           X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_UTF8,
                                      (const unsigned char *)"colmeia coordinator", -1, -1,
                                      0) == 1 &&
           X509_set_issuer_name(x, name) == 1 && X509_set_pubkey(x, key) == 1 &&
           add_alternative_name(x, host) && X509_sign(x, key, EVP_sha256()) > 0;
}

static int take_pem(BIO *bio, struct buf *out)
{
    char *text = NULL;
    long size = BIO_get_mem_data(bio, &text);
    if (size <= 0)
        return 0;
    buf_append(out, text, (size_t)size);
    return !out->failed;
}

int cert_new(const char *host, struct buf *certificate_pem, struct buf *key_pem, struct err *err)
{
    if (!is_address(host) && !is_host_name(host))
        return err_set(err, ERR_USAGE, "\"%.80s\" is neither a host name nor an address", host);
    size_t certificate_before = certificate_pem->size, key_before = key_pem->size;
    EVP_PKEY *key = EVP_EC_gen("P-256");
    X509 *x = X509_new();
    BIO *certificate_bio = BIO_new(BIO_s_mem()), *key_bio = BIO_new(BIO_s_secmem());
    int ok = key != NULL && x != NULL && certificate_bio != NULL && key_bio != NULL &&
             fill(x, key, host) && PEM_write_bio_X509(certificate_bio, x) == 1 &&
             PEM_write_bio_PrivateKey(key_bio, key, NULL, NULL, 0, NULL, NULL) == 1 &&
             take_pem(certificate_bio, certificate_pem) && take_pem(key_bio, key_pem);
    BIO_free(certificate_bio);
    BIO_free(key_bio);
    X509_free(x);
    EVP_PKEY_free(key);
    if (ok)
        return 0;
    certificate_pem->size = certificate_before;
    key_pem->size = key_before;
    unsigned long why = ERR_peek_last_error();
    const char *reason = why == 0 ? NULL : ERR_reason_error_string(why);
    ERR_clear_error();
    return err_set(err, ERR_IO, "cannot make a certificate for \"%s\": %s", host,
                   reason == NULL ? "out of memory" : reason);
}

int cert_pin(struct bytes certificate_pem, uint8_t pin[HASH_BYTES], struct err *err)
{
    BIO *bio = certificate_pem.size > CERT_PEM_MAX
                   ? NULL
                   : BIO_new_mem_buf(certificate_pem.data, (int)certificate_pem.size);
    X509 *x = bio == NULL ? NULL : PEM_read_bio_X509(bio, NULL, NULL, NULL);
    unsigned char *der = NULL;
    int size = x == NULL ? -1 : i2d_X509_PUBKEY(X509_get_X509_PUBKEY(x), &der);
    if (size > 0)
        hash_sha256(bytes_of(der, (size_t)size), pin);
    OPENSSL_free(der);
    X509_free(x);
    BIO_free(bio);
    ERR_clear_error();
    return size > 0 ? 0 : err_set(err, ERR_MALFORMED, "not a PEM certificate");
}

void cert_format_pin(const uint8_t pin[HASH_BYTES], char out[64])
{
    unsigned char base64[48];
    EVP_EncodeBlock(base64, pin, HASH_BYTES);
    snprintf(out, 64, "sha256//%s", (const char *)base64);
}
