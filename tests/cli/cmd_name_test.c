/* SPDX-License-Identifier: Apache-2.0 */
#include "base/cbor.h"
#include "base/varint.h"
#include "content/ipns.h"
#include "tests/cli/store_tool.h"

static struct key *key;

/* Writes the file "record"; the name that signed it. */
static const char *make_record(uint64_t sequence, const char *validity)
{
    static char name[IPNS_NAME_TEXT_MAX];
    struct buf data = buf_new(1000), message = buf_new(1000), record = buf_new(1000);
    uint8_t signature[KEY_SIGNATURE_BYTES];
    cbor_put_map(&data, 5);
    cbor_put_text(&data, "TTL");
    cbor_put_uint(&data, 60000000000);
    cbor_put_text(&data, "Value");
    cbor_put_bytes(&data, bytes_of_text("/ipfs/bafkqaaa"));
    cbor_put_text(&data, "Sequence");
    cbor_put_uint(&data, sequence);
    cbor_put_text(&data, "Validity");
    cbor_put_bytes(&data, bytes_of_text(validity));
    cbor_put_text(&data, "ValidityType");
    cbor_put_uint(&data, 0);
    buf_append_text(&message, "ipns-signature:");
    buf_append(&message, data.data, data.size);
    assert_int_equal(key_sign(key, buf_bytes(&message), signature, NULL), 0);
    buf_append(&record, "\x42\x40", 2);
    buf_append(&record, signature, sizeof signature);
    buf_append_byte(&record, 0x4a);
    varint_put(&record, data.size);
    buf_append(&record, data.data, data.size);
    write_file(in_scratch("record"), buf_bytes(&record));
    buf_fini(&data);
    buf_fini(&message);
    buf_fini(&record);
    struct key_public public = key_public(key);
    struct ipns_name n;
    memcpy(n.key, public.bytes, sizeof n.key);
    return ipns_name_format(&n, name);
}

static void test_a_record_is_kept_and_given_back_to_the_byte(void **state)
{
    (void)state;
    const char *name = make_record(3, "2123-08-14T12:00:00Z");
    char path[120];
    tool_group(cmd_name, "name", "get", name);
    tool_expect(2, "", "no store at");
    tool_group(cmd_name, "name", "put", name, in_scratch("record"));
    tool_expect(0, "", "");
    tool_group(cmd_name, "name", "get", name);
    assert_int_equal(tool.status, 0);
    struct buf record = read_file(in_scratch("record"));
    assert_true(bytes_equal(buf_bytes(&record), buf_bytes(&tool.out)));
    buf_fini(&record);
    snprintf(path, sizeof path, "/ipns/%s", name);
    tool_group(cmd_name, "name", "inspect", path);
    tool_expect(0,
                "value       /ipfs/bafkqaaa\nsequence    3\nvalid until 2123-08-14T12:00:00Z\n"
                "ttl         60 s\n",
                "");
    tool_group(cmd_name, "name", "inspect", "--json", name);
    tool_expect(0, "\"sequence\":3,\"valid_until\":\"2123-08-14T12:00:00Z\"", "");
}

static void test_an_older_a_broken_and_an_expired_record_are_refused(void **state)
{
    (void)state;
    const char *name = make_record(3, "2123-08-14T12:00:00Z");
    tool_group(cmd_name, "name", "put", name, in_scratch("record"));
    tool_expect(0, "", "");
    make_record(2, "2123-08-14T12:00:00Z");
    tool_group(cmd_name, "name", "put", name, in_scratch("record"));
    tool_expect(1, "", "as new or newer");
    make_record(4, "2001-08-14T12:00:00Z");
    tool_group(cmd_name, "name", "put", name, in_scratch("record"));
    tool_expect(1, "", "expired");
    make_record(4, "2123-08-14T12:00:00Z");
    damage_file(in_scratch("record"), 20, 1);
    tool_group(cmd_name, "name", "put", name, in_scratch("record"));
    tool_expect(1, "", "signature does not verify");
    tool_group(cmd_name, "name", "inspect", name);
    tool_expect(0, "sequence    3\n", "");
}

static void test_what_is_no_name_is_said(void **state)
{
    (void)state;
    make_record(1, "2123-08-14T12:00:00Z");
    tool_group(cmd_name, "name", "put", "nonsense", in_scratch("record"));
    tool_expect(2, "", "nonsense");
    tool_group(cmd_name, "name", "put", "QmYyQSo1c1Ym7orWxLYvCrM2EmxFTANf8wXmmE7DWjhx5N",
               in_scratch("record"));
    tool_expect(1, "", "RSA");
    tool_group(cmd_name, "name", "put", "12D3KooWD3eckifWpRn9wQpMG9R9hX3sD158z7EqHWmweQAJU5SA",
               in_scratch("record"));
    tool_expect(1, "", "signature does not verify");
}

static int setup(void **state)
{
    uint8_t seed[KEY_BYTES] = {5};
    int rc = store_tool_setup(state);
    return rc != 0 ? rc : key_from_seed(KEY_ED25519, seed, &key, NULL);
}

static int teardown(void **state)
{
    key_free(key);
    return tool_teardown(state);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_a_record_is_kept_and_given_back_to_the_byte),
        TEST(test_an_older_a_broken_and_an_expired_record_are_refused),
        TEST(test_what_is_no_name_is_said),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
