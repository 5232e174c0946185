/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/scratch.h"

#include "base/multibase.h"

/* From the multibase specification's test vectors (multiformats/multibase, tests/basic.csv and
 * two_leading_zeros.csv). */
static const struct {
    char base;
    const char *bytes;
    size_t size;
    const char *text;
} vectors[] = {
    {'f', "yes mani !", 10, "f796573206d616e692021"},
    {'F', "yes mani !", 10, "F796573206D616E692021"},
    {'b', "yes mani !", 10, "bpfsxgidnmfxgsibb"},
    {'B', "yes mani !", 10, "BPFSXGIDNMFXGSIBB"},
    {'k', "yes mani !", 10, "k2lcpzo5yikidynfl"},
    {'K', "yes mani !", 10, "K2LCPZO5YIKIDYNFL"},
    {'z', "yes mani !", 10, "z7paNL19xttacUY"},
    {'m', "yes mani !", 10, "meWVzIG1hbmkgIQ"},
    {'u', "yes mani !", 10, "ueWVzIG1hbmkgIQ"},
    {'f', "\0\0yes mani !", 12, "f0000796573206d616e692021"},
    {'b', "\0\0yes mani !", 12, "baaahszltebwwc3tjeaqq"},
    {'k', "\0\0yes mani !", 12, "k002lcpzo5yikidynfl"},
    {'z', "\0\0yes mani !", 12, "z117paNL19xttacUY"},
    {'u', "\0\0yes mani !", 12, "uAAB5ZXMgbWFuaSAh"},
    {'b', "", 0, "b"},
};

static void test_the_specifications_vectors_are_written_and_read(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof vectors / sizeof vectors[0]; i++) {
        struct buf out = buf_new(256);
        multibase_encode(vectors[i].base, bytes_of(vectors[i].bytes, vectors[i].size), &out);
        assert_string_equal(buf_text(&out), vectors[i].text);
        buf_clear(&out);
        struct err err;
        assert_int_equal(multibase_decode(vectors[i].text, strlen(vectors[i].text), &out, &err), 0);
        assert_int_equal(out.size, vectors[i].size);
        assert_true(bytes_equal(buf_bytes(&out), bytes_of(vectors[i].bytes, vectors[i].size)));
        buf_fini(&out);
    }
}

static void test_what_is_not_the_one_coding_of_its_bytes_is_refused(void **state)
{
    (void)state;
    static const struct {
        const char *text, *why;
    } bad[] = {
        {"", "no prefix"},
        {"x00", "unknown prefix"},
        {"bpfsxgidnmfxgsib1", "1 is not in base32"},
        {"bPFSX", "upper case under the lower-case prefix"},
        {"bpfsxgi=", "padding"},
        {"bah", "bits left over that are not zero"},
        {"ba", "five bits make no byte"},
        {"f796", "half a byte"},
        {"f7G", "G is not hex"},
        {"meWV=", "padding"},
        {"ueW+/", "base64's letters in base64url"},
        {"z0", "0 is not in base58"},
        {"zl", "l is not in base58"},
        {"k_", "_ is not in base36"},
    };
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        struct buf out = buf_new(256);
        struct err err;
        int rc = multibase_decode(bad[i].text, strlen(bad[i].text), &out, &err);
        if (rc != ERR_MALFORMED && rc != ERR_UNSUPPORTED)
            fail_msg("\"%s\" was read (%s)", bad[i].text, bad[i].why);
        buf_fini(&out);
    }
}

static void test_any_bytes_come_back_in_every_base(void **state)
{
    (void)state;
    static const char bases[] = "bBfFkKzmu";
    uint8_t data[64];
    random_bytes(data, sizeof data);
    for (size_t size = 0; size <= sizeof data; size++)
        for (size_t b = 0; bases[b] != '\0'; b++) {
            if (bases[b] == 'k' || bases[b] == 'K' || bases[b] == 'z')
                data[0] =
                    size % 2 == 0 ? 0 : data[0] | 1; /* leading zeros are digits of their own */
            struct buf text = buf_new(1024), back = buf_new(1024);
            struct err err;
            multibase_encode(bases[b], bytes_of(data, size), &text);
            assert_int_equal(multibase_decode((const char *)text.data, text.size, &back, &err), 0);
            assert_true(bytes_equal(buf_bytes(&back), bytes_of(data, size)));
            buf_fini(&text);
            buf_fini(&back);
        }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_the_specifications_vectors_are_written_and_read),
        cmocka_unit_test(test_what_is_not_the_one_coding_of_its_bytes_is_refused),
        cmocka_unit_test(test_any_bytes_come_back_in_every_base),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
