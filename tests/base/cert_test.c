/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/scratch.h"

#include <openssl/pem.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>
#include <time.h>

#include "base/cert.h"

/* Made by `openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -subj "/CN=test vector"`,
 * OpenSSL 3.0.19. */
static const char certificate[] =
    "-----BEGIN CERTIFICATE-----\n"
    "MIIBhDCCASmgAwIBAgIUKlc27u05c8p0wQzHNQUNAxTmWVcwCgYIKoZIzj0EAwIw\n"
    "FjEUMBIGA1UEAwwLdGVzdCB2ZWN0b3IwIBcNMjYxMTI0MTU0OTUwWhgPMjEyNjEw\n"
    "MzExNTQ5NTBaMBYxFDASBgNVBAMMC3Rlc3QgdmVjdG9yMFkwEwYHKoZIzj0CAQYI\n"
    "KoZIzj0DAQcDQgAEIZgiRBg5930fhmHaX11+xY0TN1NLZ9L3oWGR9KVxrDtO9L+Q\n"
    "2a3cuIfhZeAb3C79tYL3PVagv+a6KbNxSuGXQqNTMFEwHQYDVR0OBBYEFBMm6YXC\n"
    "js/TYfcFvVjiccbzDnrcMB8GA1UdIwQYMBaAFBMm6YXCjs/TYfcFvVjiccbzDnrc\n"
    "MA8GA1UdEwEB/wQFMAMBAf8wCgYIKoZIzj0EAwIDSQAwRgIhAMrsNt8d/Irr7oI0\n"
    "2JBmnUY6wt026k7xmDzFfNkiK2JjAiEAzapWAUVICO1AIexcXPUNXsRegr6FuXQX\n"
    "CLbcDQzGEiM=\n"
    "-----END CERTIFICATE-----\n";

struct made {
    struct buf certificate, key;
    X509 *x;
    EVP_PKEY *pair;
};

static void make(struct made *m, const char *host)
{
    m->certificate = buf_new(CERT_PEM_MAX);
    m->key = buf_new(CERT_PEM_MAX);
    assert_int_equal(cert_new(host, &m->certificate, &m->key, NULL), 0);
    BIO *bio = BIO_new_mem_buf(m->certificate.data, (int)m->certificate.size);
    m->x = PEM_read_bio_X509(bio, NULL, NULL, NULL);
    BIO_free(bio);
    bio = BIO_new_mem_buf(m->key.data, (int)m->key.size);
    m->pair = PEM_read_bio_PrivateKey(bio, NULL, NULL, NULL);
    BIO_free(bio);
    assert_non_null(m->x);
    assert_non_null(m->pair);
}

static void drop(struct made *m)
{
    X509_free(m->x);
    EVP_PKEY_free(m->pair);
    buf_fini(&m->certificate);
    buf_fini(&m->key);
}

static void test_a_certificate_is_signed_by_its_own_p256_key(void **state)
{
    (void)state;
    struct made m;
    char group[32];
    make(&m, "localhost");
    assert_int_equal(X509_check_private_key(m.x, m.pair), 1);
    assert_int_equal(X509_verify(m.x, m.pair), 1);
    assert_int_equal(EVP_PKEY_get_group_name(m.pair, group, sizeof group, NULL), 1);
    assert_string_equal(group, "prime256v1");
    assert_int_equal(X509_get_version(m.x), X509_VERSION_3);
    drop(&m);
}

static void test_a_certificate_names_its_host(void **state)
{
    (void)state;
    static const struct {
        const char *host, *other;
        bool is_address;
    } rows[] = {
        {"localhost", "localhost2", false},
        {"fl.hospital-a.example", "hospital-a.example", false},
        {"xn--krankenhuser-q8a.example", "example", false},
        {"127.0.0.1", "127.0.0.2", true},
        {"::1", "::2", true},
        {"2001:db8::5", "2001:db8::6", true},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct made m;
        make(&m, rows[i].host);
        if (rows[i].is_address) {
            assert_int_equal(X509_check_ip_asc(m.x, rows[i].host, 0), 1);
            assert_int_equal(X509_check_ip_asc(m.x, rows[i].other, 0), 0);
        } else {
            assert_int_equal(X509_check_host(m.x, rows[i].host, 0, 0, NULL), 1);
            assert_int_equal(X509_check_host(m.x, rows[i].other, 0, 0, NULL), 0);
        }
        drop(&m);
    }
}

static void test_a_certificate_holds_for_a_clock_an_hour_behind_and_for_decades(void **state)
{
    (void)state;
    struct made m;
    make(&m, "localhost");
    time_t behind = time(NULL) - 3600, later = time(NULL) + 29L * 365 * 86400,
           after = time(NULL) + 31L * 365 * 86400;
    assert_int_equal(X509_cmp_time(X509_get0_notBefore(m.x), &behind), -1);
    assert_int_equal(X509_cmp_time(X509_get0_notAfter(m.x), &later), 1);
    assert_int_equal(X509_cmp_time(X509_get0_notAfter(m.x), &after), -1);
    drop(&m);
}

static void test_a_host_that_is_none_is_refused(void **state)
{
    (void)state;
    static char long_label[70], long_name[300];
    memset(long_label, 'a', 64);
    for (size_t i = 0; i < 260; i++)
        long_name[i] = i % 2 == 0 ? 'a' : '.';
    long_name[259] = 'a';
    const struct {
        const char *host, *why;
    } rows[] = {
        {"", "nothing"},
        {"a,DNS:b", "a second name by the back door"},
        {"a b", "a blank"},
        {"-a", "a hyphen first"},
        {"a-.b", "a hyphen last"},
        {"a-", "a hyphen last of all"},
        {".a", "an empty label"},
        {"a..b", "an empty label"},
        {"a.", "an empty last label"},
        {"*", "a wildcard"},
        {"https://a", "an address of a page"},
        {"a:443", "a port"},
        {"256.1.1.1", "a mistyped address"},
        {"1.2.3", "a short address"},
        {"[::1]", "brackets"},
        {"caf\xc3\xa9.example", "not in its ASCII form"},
        {long_label, "a label of 64"},
        {long_name, "a name of 260"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct buf c = buf_new(CERT_PEM_MAX), k = buf_new(CERT_PEM_MAX);
        if (cert_new(rows[i].host, &c, &k, NULL) != ERR_USAGE)
            fail_msg("%s", rows[i].why);
        assert_int_equal(c.size + k.size, 0);
    }
}

static void test_no_room_for_the_pem_leaves_the_buffers_as_they_were(void **state)
{
    (void)state;
    struct buf c = buf_new(CERT_PEM_MAX), k = buf_new(16);
    assert_int_equal(cert_new("localhost", &c, &k, NULL), ERR_IO);
    assert_int_equal(c.size + k.size, 0);
    buf_fini(&c);
    buf_fini(&k);
}

static void test_the_pin_is_the_digest_of_the_public_key_info(void **state)
{
    (void)state;
    /* openssl x509 -pubkey -noout | openssl pkey -pubin -outform der | openssl dgst -sha256 */
    uint8_t pin[HASH_BYTES], expected[HASH_BYTES];
    char text[64];
    from_hex("b6b5076ba419ae21827e1216f0d4debee913535e85fac93abe2b8dcd60ee527b", expected,
             sizeof expected);
    assert_int_equal(cert_pin(bytes_of_text(certificate), pin, NULL), 0);
    assert_memory_equal(pin, expected, HASH_BYTES);
    cert_format_pin(pin, text);
    assert_string_equal(text, "sha256//trUHa6QZriGCfhIW8NTevukTU16F+sk6viuNzWDuUns=");
}

static void test_two_certificates_have_two_pins(void **state)
{
    (void)state;
    struct made a, b;
    uint8_t pins[2][HASH_BYTES];
    make(&a, "localhost");
    make(&b, "localhost");
    assert_int_equal(cert_pin(buf_bytes(&a.certificate), pins[0], NULL), 0);
    assert_int_equal(cert_pin(buf_bytes(&b.certificate), pins[1], NULL), 0);
    assert_memory_not_equal(pins[0], pins[1], HASH_BYTES);
    drop(&a);
    drop(&b);
}

static void test_what_is_no_certificate_has_no_pin(void **state)
{
    (void)state;
    uint8_t pin[HASH_BYTES] = {7};
    static char large[CERT_PEM_MAX + 2];
    memset(large, '\n', sizeof large);
    memcpy(large + sizeof large - sizeof certificate, certificate, sizeof certificate);
    for (size_t cut = 0; cut + 27 < sizeof certificate; cut += 7) /* before the END line is whole */
        assert_int_equal(cert_pin(bytes_of(certificate, cut), pin, NULL), ERR_MALFORMED);
    assert_int_equal(cert_pin(bytes_of(large, sizeof large - 1), pin, NULL), ERR_MALFORMED);
    assert_int_equal(pin[0], 7);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_certificate_is_signed_by_its_own_p256_key),
        cmocka_unit_test(test_a_certificate_names_its_host),
        cmocka_unit_test(test_a_certificate_holds_for_a_clock_an_hour_behind_and_for_decades),
        cmocka_unit_test(test_a_host_that_is_none_is_refused),
        cmocka_unit_test(test_no_room_for_the_pem_leaves_the_buffers_as_they_were),
        cmocka_unit_test(test_the_pin_is_the_digest_of_the_public_key_info),
        cmocka_unit_test(test_two_certificates_have_two_pins),
        cmocka_unit_test(test_what_is_no_certificate_has_no_pin),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
