/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Damage to what verify reads: a program of its own beside verify_test.c, since it verifies a study
 * thousands of times.
 */
#include "tests/study/verify_chain.h"

#include <dirent.h>

/* Blocks and models have their CID for a name. A pack is told by its path, or by the record in it.
 */
static bool is_named(const char *text, const char *path, const char *name)
{
    if (strstr(path, ".car") == NULL)
        return strstr(text, name) != NULL;
    return strstr(text, path) != NULL || strstr(text, "update bafy") != NULL;
}

/* Flips one bit of the byte at `at`; the sentence must name the file or the block in it. */
static void flip(const char *path, long at, const char *name)
{
    struct err err = {0};
    struct buf file = read_file(path);
    uint8_t was = file.data[at];
    file.data[at] ^= (uint8_t)(1u << ((unsigned long)at * 3 % 8));
    write_file(path, buf_bytes(&file));
    int rc = chain_verify(NULL, NULL, &err);
    if (rc != ERR_CORRUPT && rc != ERR_NOTFOUND && rc != ERR_DENIED && rc != ERR_MALFORMED)
        fail_msg("%s: bit flipped at %ld: %d %s", path, at, rc, err.text);
    if (!is_named(err.text, path, name))
        fail_msg("%s: bit flipped at %ld, not named: %s", path, at, err.text);
    file.data[at] = was;
    write_file(path, buf_bytes(&file));
    buf_fini(&file);
}

/* Each byte of every file below `folder`. */
static size_t flip_below(const char *folder)
{
    size_t flipped = 0;
    DIR *d = opendir(folder);
    assert_non_null(d);
    for (struct dirent *e; (e = readdir(d)) != NULL;) {
        char path[FILES_PATH_MAX], name[256];
        if (e->d_name[0] == '.')
            continue;
        MUST(files_join(path, folder, e->d_name, err));
        if (e->d_type == DT_DIR) {
            flipped += flip_below(path);
            continue;
        }
        snprintf(name, sizeof name, "%s", e->d_name);
        name[strcspn(name, ".")] = '\0';
        struct files_stat st;
        MUST(files_posix()->stat(NULL, path, &st, err));
        for (long at = 0; at < (long)st.size; at++, flipped++)
            flip(path, at, name);
    }
    closedir(d);
    return flipped;
}

static void one_fedavg(struct plan *plan)
{
    plan->step_count = 1;
    plan->schedule[0] = (struct plan_step){"fedavg", 1};
}

static void one_fedadam(struct plan *plan)
{
    one_fedavg(plan);
    plan->optimiser = (struct optimiser_setting){OPTIMISER_FEDADAM, 0.1, 0.9, 0.99, 1e-3};
}

static void one_moments(struct plan *plan)
{
    plan->step_count = 1;
    plan->schedule[0] = (struct plan_step){"moments", 1};
}

static void test_each_byte_of_a_study_counts(void **state)
{
    (void)state;
    struct chain c;
    struct files_stat head;
    chain_init(&c, &(struct fixture_options){.sites = 2, .features = 1, .edit = one_fedavg});
    chain_play(&c, NULL);
    size_t flipped = flip_below(in_scratch("shared/blocks"));
    flipped += flip_below(in_scratch("shared/models"));
    flipped += flip_below(in_scratch("updates"));
    MUST(files_posix()->stat(NULL, in_scratch("head"), &head, err));
    for (long at = 0; at < (long)head.size; at++)
        flip(in_scratch("head"), at, "head");
    assert_true(flipped > 4000);
    MUST(chain_verify(NULL, NULL, err)); /* all was put back */
    chain_fini(&c);
}

static void test_each_byte_of_values_counts(void **state)
{
    (void)state;
    struct chain c;
    chain_init(&c, &(struct fixture_options){.sites = 1, .features = 1, .edit = one_moments});
    chain_play(&c, NULL);
    assert_true(flip_below(in_scratch("shared/models")) > 500);
    assert_true(flip_below(in_scratch("updates")) > 400);
    MUST(chain_verify(NULL, NULL, err));
    chain_fini(&c);
}

static void test_each_byte_of_an_optimisers_state_counts(void **state)
{
    (void)state;
    struct chain c;
    chain_init(&c, &(struct fixture_options){.sites = 1, .features = 1, .edit = one_fedadam});
    chain_play(&c, NULL);
    assert_true(flip_below(in_scratch("shared/models")) > 900);
    MUST(chain_verify(NULL, NULL, err));
    chain_fini(&c);
}

static void test_what_a_refused_site_sent_counts_too(void **state)
{
    (void)state;
    struct chain c;
    char pack[FILES_PATH_MAX];
    struct files_stat st;
    chain_init(&c, &(struct fixture_options){.sites = 2, .features = 1, .edit = one_fedavg});
    c.refused_site = 1;
    c.refused_round = 1;
    chain_play(&c, NULL);
    MUST(study_pack_path(scratch, &c.f.sites[1].site.cid, 1, pack, err));
    MUST(files_posix()->stat(NULL, pack, &st, err));
    for (long at = 40; at < (long)st.size; at += 60)
        flip(pack, at, "");
    MUST(chain_verify(NULL, NULL, err));
    chain_fini(&c);
}

static void test_a_model_of_several_leaves_is_hashed_to_its_end(void **state)
{
    (void)state;
    struct chain c;
    struct layout *l;
    struct tensor t = {.name = (char *)"w",
                       .dtype = DTYPE_F32,
                       .use = USE_MEAN,
                       .rank = 1,
                       .shape = {600000},
                       .elements = 600000};
    MUST(layout_new(&t, 1, &l, err));
    chain_init(&c, &(struct fixture_options){.sites = 2, .layout = l});
    struct cid first = c.base;
    chain_play(&c, NULL);
    chain_play(&c, NULL);
    MUST(chain_verify(NULL, NULL, err));
    assert_int_equal(cid_codec(&first), CID_DAG_PB);
    char text[CID_TEXT_MAX], name[128];
    snprintf(name, sizeof name, "shared/models/%.59s.safetensors", cid_format(&c.base, text));
    for (long at = 100; at < 2400000; at += 500000)
        flip(in_scratch(name), at, text); /* only its own bytes tell: no round starts from it */
    size_t size = strlen(cid_format(&first, text));
    snprintf(name, sizeof name, "shared/blocks/%.2s/%.59s", text + size - 3, text);
    flip(in_scratch(name), 20, text);
    char pack[FILES_PATH_MAX];
    MUST(study_pack_path(scratch, &c.f.sites[1].site.cid, 2, pack, err));
    for (long at = 300; at < 600000; at += 200000)
        flip(pack, at, "");
    layout_free(l);
    chain_fini(&c);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, scratch_setup, scratch_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_each_byte_of_a_study_counts),
        TEST(test_each_byte_of_values_counts),
        TEST(test_each_byte_of_an_optimisers_state_counts),
        TEST(test_what_a_refused_site_sent_counts_too),
        TEST(test_a_model_of_several_leaves_is_hashed_to_its_end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
