/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/scratch.h"

#include "study/status_file.h"

static void test_what_is_not_known_is_null(void **state)
{
    (void)state;
    struct cid none = {.size = 0}, cid = cid_of(CID_RAW, bytes_of_text("hello world"));
    struct progress p = {0};
    json_t *nothing = status_file_progress(&p), *no_cid = status_file_cid(&none);
    assert_true(json_is_null(nothing) && json_is_null(no_cid));
    json_t *named = status_file_cid(&cid);
    assert_string_equal(json_string_value(named),
                        "bafkreifzjut3te2nhyekklss27nh3k72ysco7y32koao5eei66wof36n5e");
    json_decref(named);
    progress_of(&p, "training", PROGRESS_STEPS);
    progress_note(&p, 1000, 5, 60, 5);
    json_t *begun = status_file_progress(&p);
    assert_string_equal(json_string_value(json_object_get(begun, "unit")), "steps");
    assert_string_equal(json_string_value(json_object_get(begun, "sentence")), "training: 5 of 60");
    assert_int_equal(json_integer_value(json_object_get(begun, "done")), 5);
    assert_int_equal(json_integer_value(json_object_get(begun, "total")), 60);
    assert_true(json_is_null(json_object_get(begun, "per_second")));
    assert_true(json_is_null(json_object_get(begun, "seconds_left")));
    json_decref(begun);
    progress_note(&p, 3000, 15, 60, 15);
    json_t *running = status_file_progress(&p);
    assert_true(json_number_value(json_object_get(running, "per_second")) == 5);
    assert_true(json_number_value(json_object_get(running, "seconds_left")) == 9);
    json_decref(running);
}

static void test_it_is_replaced_whole_and_a_failure_stops_nothing(void **state)
{
    (void)state;
    status_file_save(files_posix(), scratch, json_pack("{s:i}", "a", 1));
    status_file_save(files_posix(), scratch, json_pack("{s:i}", "b", 2));
    struct buf text = read_file(in_scratch("status.json"));
    assert_string_equal(buf_text(&text), "{\n \"b\": 2\n}");
    status_file_save(files_posix(), scratch, NULL); /* out of memory, or text that is not UTF-8 */
    status_file_save(files_posix(), in_scratch("none"), json_pack("{s:i}", "c", 3));
    buf_fini(&text);
    text = read_file(in_scratch("status.json"));
    assert_string_equal(buf_text(&text), "{\n \"b\": 2\n}");
    buf_fini(&text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_what_is_not_known_is_null),
        cmocka_unit_test_setup_teardown(test_it_is_replaced_whole_and_a_failure_stops_nothing,
                                        scratch_setup, scratch_teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
