/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/scratch.h"

#include "base/multibase.h"

/* The inputs of the multibase specification's test vectors (multiformats/multibase, tests: basic,
 * leading_zero, two_leading_zeros, test1). The texts were made with Python's base64 module and, for
 * the others, its integers; those of "yes mani !" are the specification's own. */
static const struct {
    char base;
    const char *bytes;
    size_t size;
    const char *text;
} vectors[] = {
    {'0', "yes mani !", 10,
     "001111001011001010111001100100000011011010110000101101110011010010010000000100001"},
    {'7', "yes mani !", 10, "7362625631006654133464440102"},
    {'9', "yes mani !", 10, "9573277761329450583662625"},
    {'f', "yes mani !", 10, "f796573206d616e692021"},
    {'F', "yes mani !", 10, "F796573206D616E692021"},
    {'v', "yes mani !", 10, "vf5in683dc5n6i811"},
    {'V', "yes mani !", 10, "VF5IN683DC5N6I811"},
    {'t', "yes mani !", 10, "tf5in683dc5n6i811"},
    {'T', "yes mani !", 10, "TF5IN683DC5N6I811"},
    {'b', "yes mani !", 10, "bpfsxgidnmfxgsibb"},
    {'B', "yes mani !", 10, "BPFSXGIDNMFXGSIBB"},
    {'c', "yes mani !", 10, "cpfsxgidnmfxgsibb"},
    {'C', "yes mani !", 10, "CPFSXGIDNMFXGSIBB"},
    {'h', "yes mani !", 10, "hxf1zgedpcfzg1ebb"},
    {'k', "yes mani !", 10, "k2lcpzo5yikidynfl"},
    {'K', "yes mani !", 10, "K2LCPZO5YIKIDYNFL"},
    {'z', "yes mani !", 10, "z7paNL19xttacUY"},
    {'Z', "yes mani !", 10, "Z7Pznk19XTTzBtx"},
    {'m', "yes mani !", 10, "meWVzIG1hbmkgIQ"},
    {'M', "yes mani !", 10, "MeWVzIG1hbmkgIQ=="},
    {'u', "yes mani !", 10, "ueWVzIG1hbmkgIQ"},
    {'U', "yes mani !", 10, "UeWVzIG1hbmkgIQ=="},
    {'0', "\0yes mani !", 11,
     "00000000001111001011001010111001100100000011011010110000101101110011010010010000000100001"},
    {'7', "\0yes mani !", 11, "7000745453462015530267151100204"},
    {'9', "\0yes mani !", 11, "90573277761329450583662625"},
    {'f', "\0yes mani !", 11, "f00796573206d616e692021"},
    {'F', "\0yes mani !", 11, "F00796573206D616E692021"},
    {'v', "\0yes mani !", 11, "v01smasp0dlgmsq9044"},
    {'V', "\0yes mani !", 11, "V01SMASP0DLGMSQ9044"},
    {'t', "\0yes mani !", 11, "t01smasp0dlgmsq9044======"},
    {'T', "\0yes mani !", 11, "T01SMASP0DLGMSQ9044======"},
    {'b', "\0yes mani !", 11, "bab4wk4zanvqw42jaee"},
    {'B', "\0yes mani !", 11, "BAB4WK4ZANVQW42JAEE"},
    {'c', "\0yes mani !", 11, "cab4wk4zanvqw42jaee======"},
    {'C', "\0yes mani !", 11, "CAB4WK4ZANVQW42JAEE======"},
    {'h', "\0yes mani !", 11, "hybhskh3ypiosh4jyrr"},
    {'k', "\0yes mani !", 11, "k02lcpzo5yikidynfl"},
    {'K', "\0yes mani !", 11, "K02LCPZO5YIKIDYNFL"},
    {'z', "\0yes mani !", 11, "z17paNL19xttacUY"},
    {'Z', "\0yes mani !", 11, "Z17Pznk19XTTzBtx"},
    {'m', "\0yes mani !", 11, "mAHllcyBtYW5pICE"},
    {'M', "\0yes mani !", 11, "MAHllcyBtYW5pICE="},
    {'u', "\0yes mani !", 11, "uAHllcyBtYW5pICE"},
    {'U', "\0yes mani !", 11, "UAHllcyBtYW5pICE="},
    {'0', "\0\0yes mani !", 12,
     "000000000000000000111100101100101011100110010000001101101011000010110111001101001001000000010"
     "0001"},
    {'7', "\0\0yes mani !", 12, "700000171312714403326055632220041"},
    {'9', "\0\0yes mani !", 12, "900573277761329450583662625"},
    {'f', "\0\0yes mani !", 12, "f0000796573206d616e692021"},
    {'F', "\0\0yes mani !", 12, "F0000796573206D616E692021"},
    {'v', "\0\0yes mani !", 12, "v0007ipbj41mm2rj940gg"},
    {'V', "\0\0yes mani !", 12, "V0007IPBJ41MM2RJ940GG"},
    {'t', "\0\0yes mani !", 12, "t0007ipbj41mm2rj940gg===="},
    {'T', "\0\0yes mani !", 12, "T0007IPBJ41MM2RJ940GG===="},
    {'b', "\0\0yes mani !", 12, "baaahszltebwwc3tjeaqq"},
    {'B', "\0\0yes mani !", 12, "BAAAHSZLTEBWWC3TJEAQQ"},
    {'c', "\0\0yes mani !", 12, "caaahszltebwwc3tjeaqq===="},
    {'C', "\0\0yes mani !", 12, "CAAAHSZLTEBWWC3TJEAQQ===="},
    {'h', "\0\0yes mani !", 12, "hyyy813murbssn5ujryoo"},
    {'k', "\0\0yes mani !", 12, "k002lcpzo5yikidynfl"},
    {'K', "\0\0yes mani !", 12, "K002LCPZO5YIKIDYNFL"},
    {'z', "\0\0yes mani !", 12, "z117paNL19xttacUY"},
    {'Z', "\0\0yes mani !", 12, "Z117Pznk19XTTzBtx"},
    {'m', "\0\0yes mani !", 12, "mAAB5ZXMgbWFuaSAh"},
    {'M', "\0\0yes mani !", 12, "MAAB5ZXMgbWFuaSAh"},
    {'u', "\0\0yes mani !", 12, "uAAB5ZXMgbWFuaSAh"},
    {'U', "\0\0yes mani !", 12, "UAAB5ZXMgbWFuaSAh"},
    {'0', "Decentralize everything!!", 25,
     "001000100011001010110001101100101011011100111010001110010011000010110110001101001011110100110"
     "010100100000011001010111011001100101011100100111100101110100011010000110100101101110011001110"
     "010000100100001"},
    {'7', "Decentralize everything!!", 25,
     "72106254331267164344605543227514510062566312711713506415133463441102"},
    {'9', "Decentralize everything!!", 25,
     "9429328951066508984658627669258025763026247056774804621697313"},
    {'f', "Decentralize everything!!", 25, "f446563656e7472616c697a652065766572797468696e672121"},
    {'F', "Decentralize everything!!", 25, "F446563656E7472616C697A652065766572797468696E672121"},
    {'v', "Decentralize everything!!", 25, "v8him6pbeehp62r39f9ii0pbmclp7it38d5n6e891"},
    {'V', "Decentralize everything!!", 25, "V8HIM6PBEEHP62R39F9II0PBMCLP7IT38D5N6E891"},
    {'t', "Decentralize everything!!", 25, "t8him6pbeehp62r39f9ii0pbmclp7it38d5n6e891"},
    {'T', "Decentralize everything!!", 25, "T8HIM6PBEEHP62R39F9II0PBMCLP7IT38D5N6E891"},
    {'b', "Decentralize everything!!", 25, "birswgzloorzgc3djpjssazlwmvzhs5dinfxgoijb"},
    {'B', "Decentralize everything!!", 25, "BIRSWGZLOORZGC3DJPJSSAZLWMVZHS5DINFXGOIJB"},
    {'c', "Decentralize everything!!", 25, "cirswgzloorzgc3djpjssazlwmvzhs5dinfxgoijb"},
    {'C', "Decentralize everything!!", 25, "CIRSWGZLOORZGC3DJPJSSAZLWMVZHS5DINFXGOIJB"},
    {'h', "Decentralize everything!!", 25, "het1sg3mqqt3gn5djxj11y3msci3817depfzgqejb"},
    {'k', "Decentralize everything!!", 25, "k343ixo7d49hqj1ium15pgy1wzww5fxrid21td7l"},
    {'K', "Decentralize everything!!", 25, "K343IXO7D49HQJ1IUM15PGY1WZWW5FXRID21TD7L"},
    {'z', "Decentralize everything!!", 25, "zUXE7GvtEk8XTXs1GF8HSGbVA9FCX9SEBPe"},
    {'Z', "Decentralize everything!!", 25, "Ztwe7gVTeK8wswS1gf8hrgAua9fcw9reboD"},
    {'m', "Decentralize everything!!", 25, "mRGVjZW50cmFsaXplIGV2ZXJ5dGhpbmchIQ"},
    {'M', "Decentralize everything!!", 25, "MRGVjZW50cmFsaXplIGV2ZXJ5dGhpbmchIQ=="},
    {'u', "Decentralize everything!!", 25, "uRGVjZW50cmFsaXplIGV2ZXJ5dGhpbmchIQ"},
    {'U', "Decentralize everything!!", 25, "URGVjZW50cmFsaXplIGV2ZXJ5dGhpbmchIQ=="},
    {'0', "", 0, "0"},
    {'7', "", 0, "7"},
    {'9', "", 0, "9"},
    {'f', "", 0, "f"},
    {'F', "", 0, "F"},
    {'v', "", 0, "v"},
    {'V', "", 0, "V"},
    {'t', "", 0, "t"},
    {'T', "", 0, "T"},
    {'b', "", 0, "b"},
    {'B', "", 0, "B"},
    {'c', "", 0, "c"},
    {'C', "", 0, "C"},
    {'h', "", 0, "h"},
    {'k', "", 0, "k"},
    {'K', "", 0, "K"},
    {'z', "", 0, "z"},
    {'Z', "", 0, "Z"},
    {'m', "", 0, "m"},
    {'M', "", 0, "M"},
    {'u', "", 0, "u"},
    {'U', "", 0, "U"},
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
        const char *text;
        size_t offset; /* of what is wrong */
        const char *why;
    } bad[] = {
        {"x00", 0, "unknown prefix"},
        {"p", 0, "proquint, which is not read"},
        {"bpfsxgidnmfxgsib1", 16, "1 is not in base32"},
        {"bPFSX", 1, "upper case under the lower-case prefix"},
        {"BPFSx", 4, "lower case under the upper-case prefix"},
        {"bpfsxgi=", 7, "padding where there is none"},
        {"bah", 2, "bits left over that are not zero"},
        {"ba", 1, "five bits make no byte"},
        {"baaa", 3, "a character more than two bytes need"},
        {"f796", 3, "half a byte"},
        {"f7G", 2, "G is not hex"},
        {"meWV=", 4, "padding where there is none"},
        {"ueW+/", 3, "base64's letters in base64url"},
        {"meW-_", 3, "base64url's letters in base64"},
        {"MeWVzIG1hbmkgIQ", 15, "no padding"},
        {"MeWVzIG1hbmkgIQ=", 15, "one character of padding for two"},
        {"MeWVzIG1hbmkgIQ===", 15, "three characters of padding for two"},
        {"MeWVz====", 5, "padding behind a whole group"},
        {"M====", 1, "nothing but padding"},
        {"MeQ==eQ==", 3, "padding in the middle"},
        {"MeW==", 2, "padding hides bits that are not zero"},
        {"MeWVzI===", 5, "six bits make no byte, padded or not"},
        {"cmy=====", 3, "five characters of padding for six"},
        {"cmy=======", 3, "seven characters of padding for six"},
        {"vw", 1, "w is not in base32hex"},
        {"Vf5", 1, "lower case under the upper-case prefix"},
        {"hl", 1, "l is not in base32z"},
        {"z0", 1, "0 is not in base58"},
        {"zl", 1, "l is not in base58"},
        {"Z0", 1, "0 is not in base58"},
        {"k_", 1, "_ is not in base36"},
        {"kA", 1, "upper case under the lower-case prefix"},
        {"9a", 1, "a is not a decimal digit"},
        {"9-1", 1, "a number without a sign"},
        {"78", 1, "8 is not an octal digit"},
        {"7777", 3, "the ninth bit is not zero"},
        {"02", 1, "2 is not a binary digit"},
        {"00000000", 7, "seven bits make no byte"},
    };
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        struct buf out = buf_new(256);
        struct err err;
        char where[32];
        buf_append_byte(&out, 'x');
        int rc = multibase_decode(bad[i].text, strlen(bad[i].text), &out, &err);
        snprintf(where, sizeof where, "at offset %zu", bad[i].offset);
        size_t said = strlen(err.text), tail = strlen(where);
        if (rc != ERR_MALFORMED || said < tail || strcmp(err.text + said - tail, where) != 0)
            fail_msg("\"%s\" (%s): %d, %s", bad[i].text, bad[i].why, rc, err.text);
        assert_int_equal(out.size, 1); /* nothing of it is appended */
        buf_fini(&out);
    }
    struct buf out = buf_new(256);
    assert_int_equal(multibase_decode("", 0, &out, NULL), ERR_MALFORMED);
    assert_int_equal(multibase_decode("b\0", 2, &out, NULL), ERR_MALFORMED); /* a NUL is a letter */
    assert_int_equal(multibase_decode("bb\xff", 3, &out, NULL), ERR_MALFORMED);
    buf_fini(&out);
}

static const char all[] = "079fFvVtTbBcChkKzZmMuU";

static void test_any_bytes_come_back_in_every_base(void **state)
{
    (void)state;
    uint8_t data[64];
    random_bytes(data, sizeof data);
    for (size_t size = 0; size <= sizeof data; size++)
        for (size_t b = 0; all[b] != '\0'; b++) {
            data[0] = size % 2 == 0 ? 0 : data[0] | 1; /* leading zeros are digits of their own */
            struct buf text = buf_new(1024), back = buf_new(1024);
            struct err err;
            multibase_encode(all[b], bytes_of(data, size), &text);
            assert_int_equal(multibase_decode((const char *)text.data, text.size, &back, &err), 0);
            assert_true(bytes_equal(buf_bytes(&back), bytes_of(data, size)));
            buf_fini(&text);
            buf_fini(&back);
        }
}

/* What is read of a text with one character changed is written as that text again. */
static void test_no_other_text_is_taken_for_the_same_bytes(void **state)
{
    (void)state;
    static const char letters[] = "019abzABZ+/-_= ";
    uint8_t data[11];
    random_bytes(data, sizeof data);
    for (size_t size = 1; size <= sizeof data; size++)
        for (size_t b = 0; all[b] != '\0'; b++) {
            struct buf text = buf_new(1024), back = buf_new(1024), again = buf_new(1024);
            multibase_encode(all[b], bytes_of(data, size), &text);
            for (size_t i = 1; i < text.size; i++)
                for (size_t k = 0; letters[k] != '\0'; k++) {
                    uint8_t kept = text.data[i];
                    text.data[i] = (uint8_t)letters[k];
                    buf_clear(&back);
                    buf_clear(&again);
                    if (multibase_decode((char *)text.data, text.size, &back, NULL) == 0) {
                        multibase_encode(all[b], buf_bytes(&back), &again);
                        assert_true(bytes_equal(buf_bytes(&again), buf_bytes(&text)));
                    }
                    text.data[i] = kept;
                }
            buf_fini(&text);
            buf_fini(&back);
            buf_fini(&again);
        }
}

static void test_a_number_too_long_to_be_worth_its_cost_is_refused(void **state)
{
    (void)state;
    static char text[MULTIBASE_NUMBER_MAX + 3];
    struct buf out = buf_new(2 * MULTIBASE_NUMBER_MAX);
    memset(text, '1', sizeof text);
    text[0] = 'z';
    assert_int_equal(multibase_decode(text, MULTIBASE_NUMBER_MAX + 1, &out, NULL), 0);
    assert_int_equal(out.size, MULTIBASE_NUMBER_MAX);
    struct buf again = buf_new(2 * MULTIBASE_NUMBER_MAX);
    multibase_encode('z', buf_bytes(&out), &again);
    assert_true(bytes_equal(buf_bytes(&again), bytes_of(text, MULTIBASE_NUMBER_MAX + 1)));
    assert_int_equal(multibase_decode(text, MULTIBASE_NUMBER_MAX + 2, &out, NULL), ERR_LIMIT);
    buf_clear(&again);
    buf_append_byte(&out, 0);
    multibase_encode('z', buf_bytes(&out), &again); /* one leading zero more than fits */
    assert_int_equal(again.failed, ERR_LIMIT);
    memset(out.data, 0xff, out.size);
    buf_clear(&again);
    multibase_encode('9', buf_bytes(&out), &again);
    assert_int_equal(again.failed, ERR_LIMIT);
    buf_fini(&out);
    buf_fini(&again);
}

static void test_a_base_is_known_by_its_name(void **state)
{
    (void)state;
    assert_int_equal(multibase_named("base32"), 'b');
    assert_int_equal(multibase_named("base58btc"), 'z');
    assert_int_equal(multibase_named("base36"), 'k');
    assert_int_equal(multibase_named("base64urlpad"), 'U');
    assert_int_equal(multibase_named("base32hexpadupper"), 'T');
    assert_int_equal(multibase_named("base59"), '\0');
    assert_int_equal(multibase_named(""), '\0');
    struct buf out = buf_new(64);
    multibase_encode('p', bytes_of("x", 1), &out);
    assert_int_equal(out.failed, ERR_UNSUPPORTED);
    buf_fini(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_the_specifications_vectors_are_written_and_read),
        cmocka_unit_test(test_what_is_not_the_one_coding_of_its_bytes_is_refused),
        cmocka_unit_test(test_any_bytes_come_back_in_every_base),
        cmocka_unit_test(test_no_other_text_is_taken_for_the_same_bytes),
        cmocka_unit_test(test_a_number_too_long_to_be_worth_its_cost_is_refused),
        cmocka_unit_test(test_a_base_is_known_by_its_name),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
