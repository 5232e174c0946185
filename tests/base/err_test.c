/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/scratch.h"

#include <errno.h>

#include "base/err.h"

static void test_a_sentence_is_built_from_the_inside_out(void **state)
{
    (void)state;
    struct err err = {0};
    assert_int_equal(err_set(&err, ERR_NOTFOUND, "block %d is missing", 7), ERR_NOTFOUND);
    assert_int_equal(err_wrap(&err, ERR_NOTFOUND, "round %d", 3), ERR_NOTFOUND);
    assert_string_equal(err.text, "round 3: block 7 is missing");
    errno = ENOSPC;
    assert_int_equal(err_errno(&err, "write"), ERR_IO);
    assert_string_equal(err.text, "write: No space left on device");
    assert_int_equal(err_wrap(NULL, ERR_IO, "nobody listens"), ERR_IO);
}

static void test_a_long_path_never_hides_the_reason(void **state)
{
    (void)state;
    char path[2000];
    struct err err = {0};
    memset(path, 'p', sizeof path - 1);
    path[sizeof path - 1] = '\0';
    for (size_t size = 1; size < sizeof path; size += 13) {
        errno = ENOSPC;
        (void)err_errno(&err, "write %.*s", (int)size, path);
        (void)err_wrap(&err, ERR_IO, "add %.*s", (int)size, path);
        size_t said = strlen(err.text);
        assert_true(said < ERR_TEXT_MAX);
        assert_memory_equal(err.text, "add p", 5);
        assert_string_equal(err.text + said - strlen("No space left on device"),
                            "No space left on device");
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_sentence_is_built_from_the_inside_out),
        cmocka_unit_test(test_a_long_path_never_hides_the_reason),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
