/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/study/fixture.h"

#include <sys/stat.h>

#include "worker/home.h"

/* As in_scratch, for tests that hold many paths at once. */
static const char *place(const char *name)
{
    static char paths[32][256];
    static unsigned next;
    char *path = paths[next++ % 32];
    snprintf(path, sizeof paths[0], "%s/%s", scratch, name);
    return path;
}

static struct cid plan_cid(void)
{
    return fixture_cid(2);
}

/* An invitation to a study that exists only in it; good until the next call. */
static const char *invitation(void)
{
    static struct buf text;
    struct key *key = fixture_key(KEY_ED25519, 1), *curve = fixture_key(KEY_X25519, 1);
    struct invitation i = {.study = fixture_cid(1),
                           .plan = plan_cid(),
                           .founder = key_public(key),
                           .coordinator = key_public(key),
                           .curve = key_public(curve),
                           .control = "tcp://127.0.0.1:8470",
                           .hints = "tcp://127.0.0.1:8471",
                           .url_count = 1,
                           .urls = {"https://127.0.0.1:8472"}};
    buf_fini(&text);
    text = buf_new(INVITATION_STRING_MAX);
    MUST(invitation_format(&i, &text, err));
    key_free(key);
    key_free(curve);
    return buf_text(&text);
}

static const char *data_file(void)
{
    const char *path = place("data.csv");
    write_file(path, bytes_of_text("a,b,label\n1,2,0\n"));
    return path;
}

/* The site string that init printed; the caller frees. */
static struct buf init(const char *dir)
{
    struct buf string = buf_new(SITE_STRING_MAX);
    MUST(home_init(dir, "hospital-a", data_file(), invitation(), &string, err));
    return string;
}

static void replace_config(const char *dir, const char *text)
{
    char path[FILES_PATH_MAX];
    MUST(files_join(path, dir, "config.toml", err));
    write_file(path, bytes_of_text(text));
}

static mode_t mode_of(const char *name)
{
    struct stat s;
    assert_int_equal(stat(place(name), &s), 0);
    return s.st_mode & 0777;
}

static void test_init_makes_a_folder_that_opens(void **state)
{
    (void)state;
    const char *dir = place("site");
    struct buf string = init(dir);
    struct home f;
    struct cid plan = plan_cid(), study = fixture_cid(1);
    MUST(home_open(dir, &f, err));
    assert_string_equal(f.site.name, "hospital-a");
    assert_true(cid_equal(&f.policy.plan, &plan));
    assert_true(cid_equal(&f.invitation.study, &study));
    assert_int_equal(f.policy.data[0], '/');
    assert_non_null(strstr(f.policy.data, "data.csv"));
    home_close(&f);
    buf_fini(&string);
}

static void test_the_site_string_says_name_and_keys_signed_by_itself(void **state)
{
    (void)state;
    const char *dir = place("site");
    struct buf string = init(dir), record = buf_new(RECORD_BYTES_MAX),
               again = buf_new(SITE_STRING_MAX);
    struct home f;
    struct site site;
    struct key_public by;
    MUST(site_parse(buf_text(&string), &record, err));
    MUST(site_decode(buf_bytes(&record), &site, &by, err));
    MUST(home_open(dir, &f, err));
    struct key_public own = key_public(f.ed25519), curve = key_public(f.curve);
    assert_true(key_equal(&by, &own));
    assert_true(key_equal(&site.ed25519, &own));
    assert_true(key_equal(&site.curve, &curve));
    MUST(home_site_string(dir, &again, err));
    assert_true(bytes_equal(buf_bytes(&again), buf_bytes(&string)));
    home_close(&f);
    buf_fini(&again);
    buf_fini(&record);
    buf_fini(&string);
}

static void test_keys_and_folder_are_their_owners_alone(void **state)
{
    (void)state;
    struct buf string = init(place("site"));
    assert_int_equal(mode_of("site"), 0700);
    assert_int_equal(mode_of("site/keys"), 0700);
    assert_int_equal(mode_of("site/keys/site.key"), 0600);
    assert_int_equal(mode_of("site/keys/curve.key"), 0600);
    buf_fini(&string);
}

static void test_a_second_init_is_refused_and_changes_nothing(void **state)
{
    (void)state;
    const char *dir = place("site");
    struct buf first = init(dir), second = buf_new(SITE_STRING_MAX),
               again = buf_new(SITE_STRING_MAX);
    struct err why = {0};
    assert_int_equal(home_init(dir, "hospital-b", NULL, invitation(), &second, &why), ERR_EXISTS);
    assert_int_equal(second.size, 0);
    MUST(home_site_string(dir, &again, err));
    assert_true(bytes_equal(buf_bytes(&again), buf_bytes(&first)));
    buf_fini(&again);
    buf_fini(&second);
    buf_fini(&first);
}

static void test_an_init_that_was_cut_short_is_taken_up_with_its_keys(void **state)
{
    (void)state;
    const char *dir = place("site");
    struct buf first = init(dir);
    assert_int_equal(unlink(place("site/config.toml")), 0);
    struct buf second = init(dir);
    assert_true(bytes_equal(buf_bytes(&first), buf_bytes(&second)));
    buf_fini(&second);
    buf_fini(&first);
}

static void test_what_init_cannot_use_leaves_no_folder(void **state)
{
    (void)state;
    const char *good = data_file();
    char cut[INVITATION_STRING_MAX];
    const char *study = invitation();
    snprintf(cut, sizeof cut, "%.*s", (int)strlen(study) - 2, study);
    write_file(place("empty.csv"), bytes_of(NULL, 0));
    const struct {
        const char *name, *data, *invitation, *words;
    } bad[] = {
        {"Hospital A", good, study, "not a name"},
        {"", good, study, "not a name"},
        {"a", good, cut, "invitation"},
        {"a", good, "hello", "invitation"},
        {"a", place("none.csv"), study, "none.csv"},
        {"a", place("empty.csv"), study, "empty"},
        {"a", "/dev/null", study, "neither a file nor a folder"},
    };
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        struct buf string = buf_new(SITE_STRING_MAX);
        struct err why = {0};
        int rc =
            home_init(place("site"), bad[i].name, bad[i].data, bad[i].invitation, &string, &why);
        if (rc != ERR_USAGE || strstr(why.text, bad[i].words) == NULL || string.size != 0 ||
            files_exists(files_posix(), place("site")))
            fail_msg("%s: %s", bad[i].words, why.text);
        buf_fini(&string);
    }
}

static void test_a_site_may_have_no_data(void **state)
{
    (void)state;
    struct buf string = buf_new(SITE_STRING_MAX);
    struct home_policy p;
    MUST(home_init(place("site"), "a", NULL, invitation(), &string, err));
    MUST(home_read_policy(place("site"), &p, err));
    assert_string_equal(p.data, "");
    buf_fini(&string);
}

static void test_the_approved_plan_is_the_line_in_config(void **state)
{
    (void)state;
    const char *dir = place("site");
    struct buf string = init(dir);
    struct home_policy p;
    char text[256], cid[CID_TEXT_MAX];
    struct cid other = fixture_cid(77);
    snprintf(text, sizeof text, "plan = \"%s\"\ndata = \"/data/x.csv\"\n", cid_format(&other, cid));
    replace_config(dir, text);
    MUST(home_read_policy(dir, &p, err));
    assert_true(cid_equal(&p.plan, &other));
    assert_string_equal(p.data, "/data/x.csv");
    buf_fini(&string);
}

#define PLAN "plan = \"bafkqaaa\"\n"

static void test_the_trainer_table_is_read_with_its_defaults(void **state)
{
    (void)state;
    const char *dir = place("site");
    struct buf string = init(dir);
    struct home_policy p;
    MUST(home_read_policy(dir, &p, err));
    assert_int_equal(p.trainer.command_count, 0);
    replace_config(dir, PLAN "[trainer]\ncommand = [\"python3\", \"a b.py\", \"\"]\n");
    MUST(home_read_policy(dir, &p, err));
    assert_int_equal(p.trainer.command_count, 3);
    assert_memory_equal(p.trainer.command, "python3\0a b.py\0\0", 17);
    assert_int_equal(p.trainer.file_count, 0);
    assert_int_equal(p.trainer.stall_ms, 600000);
    assert_int_equal(p.trainer.grace_ms, 5000);
    assert_int_equal(p.trainer.memory_bytes, 0);
    replace_config(dir, PLAN "[trainer]\ncommand = [\"./t\"]\nfiles = [\"x\", \"y\"]\n"
                             "stall_seconds = 1.5\nmemory_mib = 3\ngrace_seconds = 0\n");
    MUST(home_read_policy(dir, &p, err));
    assert_memory_equal(p.trainer.files, "x\0y\0", 5);
    assert_int_equal(p.trainer.file_count, 2);
    assert_int_equal(p.trainer.stall_ms, 1500);
    assert_int_equal(p.trainer.grace_ms, 0);
    assert_int_equal(p.trainer.memory_bytes, 3u << 20);
    buf_fini(&string);
}

/* Two readings of one file are the same to the last byte: a trainer is not started anew. */
static void test_what_did_not_change_compares_equal(void **state)
{
    (void)state;
    const char *dir = place("site");
    struct buf string = init(dir);
    struct home_policy a, b;
    memset(&a, 0x55, sizeof a);
    memset(&b, 0xaa, sizeof b);
    replace_config(dir, PLAN "[trainer]\ncommand = [\"x\"]\n");
    MUST(home_read_policy(dir, &a, err));
    MUST(home_read_policy(dir, &b, err));
    assert_memory_equal(&a.trainer, &b.trainer, sizeof a.trainer);
    buf_fini(&string);
}

/* The lines that init wrote as a comment are right once they are none. */
static void test_the_commented_trainer_table_can_be_used(void **state)
{
    (void)state;
    const char *dir = place("site");
    struct buf string = init(dir), text = read_file(place("site/config.toml"));
    struct home_policy p;
    char *at = strstr((char *)(uintptr_t)buf_text(&text), "# [trainer]");
    assert_non_null(at);
    for (; at != NULL; at = strchr(at, '\n'), at = at == NULL ? NULL : strchr(at, '#'))
        memcpy(at, "  ", 2);
    replace_config(dir, buf_text(&text));
    MUST(home_read_policy(dir, &p, err));
    assert_memory_equal(p.trainer.command, "python3\0cnn.py\0", 15);
    assert_int_equal(p.trainer.stall_ms, 600000);
    buf_fini(&text);
    buf_fini(&string);
}

static void test_data_may_be_a_folder(void **state)
{
    (void)state;
    struct buf string = buf_new(SITE_STRING_MAX);
    struct home_policy p;
    MUST(files_make_dirs(files_posix(), place("images"), err));
    MUST(home_init(place("site"), "a", place("images"), invitation(), &string, err));
    MUST(home_read_policy(place("site"), &p, err));
    assert_non_null(strstr(p.data, "/images"));
    buf_fini(&string);
}

static void test_mistakes_in_config_are_named(void **state)
{
    (void)state;
    static const struct {
        const char *text, *words;
    } bad[] = {
        {"data = \"/x\"\n", "plan"},
        {"plan = \"bafyhello\"\n", "plan"},
        {"plan = 7\n", "plan"},
        {"plan = \"bafkqaaa\"\npaln = 1\n", "paln"},
        {PLAN "data = \"x.csv\"\n", "not an absolute path"},
        {PLAN "[trainer]\ncommand = \"python3 cnn.py\"\n", "array"},
        {PLAN "[trainer]\ncommand = [\"\", \"x\"]\n", "first word is empty"},
        {PLAN "[trainer]\nstall_seconds = 0\n", "stall_seconds"},
        {PLAN "[trainer]\nstall_seconds = 1e300\n", "stall_seconds"},
        {PLAN "[trainer]\ngrace_seconds = -1\n", "grace_seconds"},
        {PLAN "[trainer]\nmemory_mib = 1.5\n", "memory_mib"},
        {PLAN "[trainer]\nmemory = 5\n", "memory"},
    };
    const char *dir = place("site");
    struct buf string = init(dir);
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        struct home_policy p;
        struct err why = {0};
        replace_config(dir, bad[i].text);
        if (home_read_policy(dir, &p, &why) != ERR_USAGE ||
            strstr(why.text, bad[i].words) == NULL || strstr(why.text, "config.toml") == NULL)
            fail_msg("%s: %s", bad[i].words, why.text);
    }
    buf_fini(&string);
}

static void test_a_folder_with_another_sites_keys_does_not_open(void **state)
{
    (void)state;
    struct buf a = init(place("site")), b = init(place("other"));
    struct home f;
    struct err why = {0};
    assert_int_equal(rename(place("other/keys/site.key"), place("site/keys/site.key")), 0);
    assert_int_equal(home_open(place("site"), &f, &why), ERR_USAGE);
    assert_non_null(strstr(why.text, "other keys"));
    buf_fini(&b);
    buf_fini(&a);
}

static void test_a_key_that_others_can_read_is_refused(void **state)
{
    (void)state;
    struct buf string = init(place("site"));
    struct home f;
    assert_int_equal(chmod(place("site/keys/curve.key"), 0640), 0);
    assert_int_equal(home_open(place("site"), &f, NULL), ERR_DENIED);
    buf_fini(&string);
}

static void test_what_is_no_folder_says_how_to_make_one(void **state)
{
    (void)state;
    struct home f;
    struct err why = {0};
    struct buf out = buf_new(SITE_STRING_MAX);
    assert_int_equal(home_open(place("nothing"), &f, &why), ERR_USAGE);
    assert_non_null(strstr(why.text, "colmeia-worker init"));
    assert_int_equal(home_site_string(place("nothing"), &out, &why), ERR_USAGE);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, scratch_setup, scratch_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_init_makes_a_folder_that_opens),
        TEST(test_the_site_string_says_name_and_keys_signed_by_itself),
        TEST(test_keys_and_folder_are_their_owners_alone),
        TEST(test_a_second_init_is_refused_and_changes_nothing),
        TEST(test_an_init_that_was_cut_short_is_taken_up_with_its_keys),
        TEST(test_what_init_cannot_use_leaves_no_folder),
        TEST(test_a_site_may_have_no_data),
        TEST(test_the_approved_plan_is_the_line_in_config),
        TEST(test_the_trainer_table_is_read_with_its_defaults),
        TEST(test_what_did_not_change_compares_equal),
        TEST(test_the_commented_trainer_table_can_be_used),
        TEST(test_data_may_be_a_folder),
        TEST(test_mistakes_in_config_are_named),
        TEST(test_a_folder_with_another_sites_keys_does_not_open),
        TEST(test_a_key_that_others_can_read_is_refused),
        TEST(test_what_is_no_folder_says_how_to_make_one),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
