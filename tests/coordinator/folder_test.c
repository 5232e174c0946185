/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/coordinator/desk.h"

#include "base/cert.h"

static struct invitation invitation;

static const char plan[] = "seed = 7\n[study]\nname = \"folder\"\n"
                           "[model]\narchitecture = \"logistic\"\nfeatures = 3\nclasses = 2\n"
                           "[data]\ntarget = \"label\"\n"
                           "[rounds]\nschedule = [\"fedavg 3\"]\nminimum = 2\n";

static int setup(void **state)
{
    if (scratch_setup(state) != 0 || key_setup(NULL) != 0)
        return -1;
    write_file(in_scratch("plan.toml"), bytes_of_text(plan));
    return founding_make(desk_dir(), in_scratch("plan.toml"), NULL, "127.0.0.1:9000", &invitation,
                         NULL);
}

static const char *path_of(const char *name)
{
    static char path[FILES_PATH_MAX];
    snprintf(path, sizeof path, "%s/%s", desk_dir(), name);
    return path;
}

static void edit_config(const char *old, const char *new)
{
    struct buf text = read_file(path_of("config.toml"));
    struct buf edited = buf_new(8192);
    const char *at = strstr(buf_text(&text), old);
    assert_non_null(at);
    buf_append(&edited, text.data, (size_t)(at - (const char *)text.data));
    buf_append_text(&edited, new);
    buf_append_text(&edited, at + strlen(old));
    write_file(path_of("config.toml"), buf_bytes(&edited));
    buf_fini(&text);
    buf_fini(&edited);
}

static void test_a_folder_opens_as_it_was_made(void **state)
{
    (void)state;
    struct folder f;
    MUST(folder_open(desk_dir(), &f, err));
    assert_string_equal(f.control, "tcp://127.0.0.1:9000");
    assert_string_equal(f.hints, "tcp://127.0.0.1:9001");
    assert_int_equal(f.https_port, 9002);
    assert_true(cid_equal(&f.study_id, &invitation.study));
    assert_true(cid_equal(&f.plan_id, &invitation.plan));
    struct key_public signs = key_public(f.coordinator), curve = key_public(f.curve);
    assert_true(key_equal(&signs, &invitation.coordinator));
    assert_true(key_equal(&curve, &invitation.curve));
    folder_close(&f);
    folder_close(&f);
}

static void test_the_invitation_says_the_same_again(void **state)
{
    (void)state;
    struct invitation again;
    MUST(folder_invitation(desk_dir(), &again, err));
    assert_memory_equal(&again, &invitation, sizeof again);
}

static void test_the_invitation_pins_the_certificate(void **state)
{
    (void)state;
    uint8_t pin[HASH_BYTES];
    struct buf pem = read_file(path_of("keys/tls.crt"));
    MUST(cert_pin(buf_bytes(&pem), pin, err));
    assert_memory_equal(pin, invitation.pin, sizeof pin);
    buf_fini(&pem);
}

static void test_sites_are_told_the_host_and_the_bound_address_may_be_another(void **state)
{
    (void)state;
    struct folder f;
    struct invitation told;
    edit_config("host = \"127.0.0.1\"", "host = \"fl.example.org\"");
    edit_config("bind = \"127.0.0.1\"", "bind = \"0.0.0.0\"");
    MUST(folder_open(desk_dir(), &f, err));
    assert_string_equal(f.control, "tcp://0.0.0.0:9000");
    folder_close(&f);
    MUST(folder_invitation(desk_dir(), &told, err));
    assert_string_equal(told.control, "tcp://fl.example.org:9000");
    assert_string_equal(told.urls[0], "https://fl.example.org:9002");
}

static void test_what_is_wrong_with_a_folder_is_named(void **state)
{
    (void)state;
    static const struct {
        const char *old, *new;
        int code;
        const char *says;
    } rows[] = {
        {"control = 9000", "control = 0", ERR_USAGE, "control"},
        {"control = 9000", "control = 65536", ERR_USAGE, "65535"},
        {"https = 9002", "https = \"9002\"", ERR_USAGE, "https"},
        {"id = \"bafy", "id = \"bafz!", ERR_USAGE, "config.toml"},
        {"[listen]", "[listens]", ERR_USAGE, "listens"},
        {"hints = 9001\n", "", ERR_USAGE, "hints"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct folder f;
        struct err err = {0};
        struct buf good = read_file(path_of("config.toml"));
        edit_config(rows[i].old, rows[i].new);
        int rc = folder_open(desk_dir(), &f, &err);
        if (rc != rows[i].code || strstr(err.text, rows[i].says) == NULL)
            fail_msg("%s: %d, %s", rows[i].new, rc, err.text);
        write_file(path_of("config.toml"), buf_bytes(&good));
        buf_fini(&good);
    }
}

static void test_a_folder_without_a_study_says_how_to_make_one(void **state)
{
    (void)state;
    struct folder f;
    struct err err = {0};
    assert_int_equal(folder_open(in_scratch("elsewhere"), &f, &err), ERR_NOTFOUND);
    assert_non_null(strstr(err.text, "init"));
    assert_int_equal(folder_open("", &f, &err), ERR_USAGE);
}

static void test_a_key_that_others_may_read_is_refused(void **state)
{
    (void)state;
    struct folder f;
    struct err err = {0};
    assert_int_equal(chmod(path_of("keys/coordinator.key"), 0644), 0);
    assert_int_equal(folder_open(desk_dir(), &f, &err), ERR_DENIED);
    assert_non_null(strstr(err.text, "chmod"));
}

static void test_a_cid_file_comes_back_and_damage_is_found(void **state)
{
    (void)state;
    const struct files *f = files_posix();
    struct cid cid = fixture_cid(5), back;
    assert_int_equal(folder_read_cid(f, scratch, "head", &back, NULL), ERR_NOTFOUND);
    for (int sync = 0; sync < 2; sync++) {
        MUST(folder_write_cid(f, scratch, "head", &cid, sync == 1, err));
        MUST(folder_read_cid(f, scratch, "head", &back, err));
        assert_true(cid_equal(&back, &cid));
    }
    static const char *const bad[] = {"", "\n", "bafy\n", "nonsense", "bafy\0more"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        write_file(in_scratch("head"), bytes_of(bad[i], i == 4 ? 9 : strlen(bad[i])));
        assert_int_equal(folder_read_cid(f, scratch, "head", &back, NULL), ERR_CORRUPT);
    }
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, scratch_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_a_folder_opens_as_it_was_made),
        TEST(test_the_invitation_says_the_same_again),
        TEST(test_the_invitation_pins_the_certificate),
        TEST(test_sites_are_told_the_host_and_the_bound_address_may_be_another),
        TEST(test_what_is_wrong_with_a_folder_is_named),
        TEST(test_a_folder_without_a_study_says_how_to_make_one),
        TEST(test_a_key_that_others_may_read_is_refused),
        TEST(test_a_cid_file_comes_back_and_damage_is_found),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
