/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/study/fixture.h"

#include <dirent.h>
#include <errno.h>
#include <math.h>
#include <pthread.h>
#include <time.h>

#include "aggregate/moments.h"
#include "base/text.h"
#include "worker/child.h"
#include "worker/program.h"
#include "worker/program_digest.h"
#include "worker/trainer.h"

#define SCRIPT "tests/worker/trainers/trainer.py"

static atomic_bool no, yes = true;

/* A trainer that behaves as a word says, in a folder of its own, and one task for it. */
struct stand {
    struct plan plan;
    struct layout *layout;
    struct program program;
    struct program_config config;
    struct trainer_task task;
    struct trainer_result result;
    struct cid study;
    char base[256], output[256];
    _Atomic uint64_t done, total;
    struct err err;
};

static void add_word(struct program_config *c, const char *word)
{
    char *at = c->command;
    for (size_t i = 0; i < c->command_count; i++)
        at += strlen(at) + 1;
    strcpy(at, word);
    c->command_count++;
}

static void configure(struct stand *s, const char *mode)
{
    char script[FILES_PATH_MAX];
    assert_non_null(realpath(SCRIPT, script));
    memset(&s->config, 0, sizeof s->config);
    s->config.stall_ms = 20000;
    s->config.grace_ms = 150;
    add_word(&s->config, "python3");
    add_word(&s->config, "-S"); /* starts sooner */
    add_word(&s->config, script);
    add_word(&s->config, mode);
}

/* A model of the plan's layout: a[10] averaged, b[4] fixed. */
static struct layout *write_base(const char *path)
{
    const struct tensor tensors[] = {
        {.name = "a", .dtype = DTYPE_F32, .use = USE_MEAN, .rank = 1, .shape = {10}},
        {.name = "b", .dtype = DTYPE_F32, .use = USE_FIXED, .rank = 1, .shape = {4}}};
    struct layout *l;
    struct buf file = buf_new(1u << 20);
    MUST(layout_new(tensors, 2, &l, err));
    MUST(safetensors_format(l, &file, err));
    memset(buf_extend(&file, (size_t)l->data_bytes), 0, (size_t)l->data_bytes);
    write_file(path, buf_bytes(&file));
    buf_fini(&file);
    return l;
}

static struct stand *stand_new(const char *mode)
{
    struct stand *s = calloc(1, sizeof *s);
    struct cid none = fixture_cid(0);
    s->plan = fixture_plan(&none, &none);
    strcpy(s->plan.trainer, "program");
    s->study = fixture_cid(3);
    snprintf(s->base, sizeof s->base, "%s/base", scratch);
    snprintf(s->output, sizeof s->output, "%s/out", scratch);
    s->layout = write_base(s->base);
    program_init(&s->program, scratch, "hospital-a");
    configure(s, mode);
    s->task = (struct trainer_task){.files = files_posix(),
                                    .study = &s->study,
                                    .plan = &s->plan,
                                    .layout = s->layout,
                                    .asks = RULE_DELTA,
                                    .round = 3,
                                    .site = 1,
                                    .data = "",
                                    .base = s->base,
                                    .output = s->output,
                                    .cancel = &no,
                                    .done = &s->done,
                                    .total = &s->total,
                                    .program = &s->program,
                                    .config = &s->config};
    return s;
}

static void stand_free(struct stand *s)
{
    program_stop(&s->program);
    layout_free(s->layout);
    free(s);
}

static int run(struct stand *s)
{
    (void)unlink(s->output);
    int rc = trainer_run(&s->task, &s->result, &s->err);
    if (rc == 0)
        trainer_result_fini(&s->result);
    return rc;
}

static void run_well(struct stand *s)
{
    if (run(s) != 0)
        fail_msg("%s", s->err.text);
}

/* Starts it with a limit that its start need not keep to. */
static void start_with(struct stand *s, uint64_t stall_ms)
{
    enum refusal_code code;
    MUST(program_start(&s->program, &s->config, NULL, NULL, &code, err));
    s->config.stall_ms = s->program.config.stall_ms = stall_ms;
}

/* Lines of a file that the trainer writes. */
static size_t lines_of(const char *name)
{
    struct buf b = buf_new(1u << 20);
    size_t n = 0;
    if (files_exists(files_posix(), in_scratch(name)))
        MUST(files_load(files_posix(), in_scratch(name), &b, err));
    for (size_t i = 0; i < b.size; i++)
        n += b.data[i] == '\n';
    buf_fini(&b);
    return n;
}

static pid_t pid_in(const char *name)
{
    struct buf b = read_file(in_scratch(name));
    pid_t pid = (pid_t)strtol(buf_text(&b), NULL, 10);
    buf_fini(&b);
    assert_true(pid > 1);
    return pid;
}

/* Is there no such process any more? A zombie whose parent is elsewhere is gone as well. */
static bool is_gone(pid_t pid)
{
    for (int i = 0; i < 500; i++) {
        char path[64], text[256] = "";
        snprintf(path, sizeof path, "/proc/%d/stat", (int)pid);
        FILE *f = fopen(path, "r");
        if (f == NULL)
            return true;
        bool zombie = fgets(text, sizeof text, f) != NULL && strstr(text, ") Z ") != NULL;
        fclose(f);
        if (zombie)
            return true;
        usleep(10000);
    }
    return false;
}

/* --- well behaved --- */

static void test_a_task_goes_there_and_back(void **state)
{
    (void)state;
    struct stand *s = stand_new("good");
    struct buf heard;
    s->task.data = scratch;
    memset(s->task.seed, 0xab, sizeof s->task.seed);
    run_well(s);
    assert_int_equal(s->result.examples, 5);
    assert_int_equal(s->result.metric_count, 2);
    assert_string_equal(s->result.metrics[0].name, "loss");
    assert_true(s->result.metrics[0].value == 0.25);
    assert_true(isnan(s->result.metrics[1].value));
    assert_memory_equal(s->result.digest, s->program.digest, HASH_BYTES);
    assert_true(files_exists(files_posix(), s->output));

    heard = read_file(in_scratch("heard"));
    const char *text = buf_text(&heard);
    assert_non_null(
        strstr(text, "{\"type\":\"hello\",\"contract\":1,\"worker\":\"" VERSION "\"}\n"));
    assert_non_null(strstr(text, "{\"type\":\"train\",\"id\":1,\"study\":\"bafy"));
    assert_non_null(strstr(text, "\"round\":3,\"site\":1,\"seed\":\"ababab"));
    assert_non_null(strstr(text, s->base));
    assert_non_null(strstr(text, s->output));
    assert_non_null(strstr(text, "\"epochs\":2,\"steps\":0,\"batch\":8,\"learning_rate\":0.25"));
    buf_fini(&heard);
    stand_free(s);
}

static void test_an_evaluation_names_no_output(void **state)
{
    (void)state;
    struct stand *s = stand_new("good");
    s->task.asks = RULE_METRICS;
    run_well(s);
    assert_true(s->result.metrics[0].value == 0.125);
    struct buf heard = read_file(in_scratch("heard"));
    const char *text = strstr(buf_text(&heard), "{\"type\":\"evaluate\",\"id\":1");
    assert_non_null(text);
    assert_null(strstr(text, "output"));
    assert_non_null(strstr(text, "\"data\":null"));
    buf_fini(&heard);
    stand_free(s);
}

static void test_one_process_serves_many_tasks_and_ends_when_asked(void **state)
{
    (void)state;
    struct stand *s = stand_new("good");
    for (int i = 0; i < 3; i++)
        run_well(s);
    assert_int_equal(lines_of("pids"), 1);
    pid_t pid = pid_in("pids");
    program_stop(&s->program);
    assert_int_equal(kill(pid, 0), -1);
    assert_int_equal(errno, ESRCH);
    struct buf heard = read_file(in_scratch("heard"));
    assert_non_null(strstr(buf_text(&heard), "{\"type\":\"bye\"}"));
    buf_fini(&heard);
    stand_free(s);
}

static void test_one_that_died_between_tasks_is_started_again(void **state)
{
    (void)state;
    struct stand *s = stand_new("good");
    run_well(s);
    assert_int_equal(kill(pid_in("pids"), SIGKILL), 0);
    while (!child_has_ended(s->program.child))
        usleep(1000);
    run_well(s);
    assert_int_equal(lines_of("pids"), 2);
    stand_free(s);
}

static void test_another_configuration_starts_it_again(void **state)
{
    (void)state;
    struct stand *s = stand_new("good");
    run_well(s);
    s->config.stall_ms++;
    run_well(s);
    assert_int_equal(lines_of("pids"), 2);
    stand_free(s);
}

static void test_a_changed_file_starts_it_again(void **state)
{
    (void)state;
    struct stand *s = stand_new("good");
    uint8_t before[HASH_BYTES];
    write_file(in_scratch("helper.py"), bytes_of_text("one"));
    strcpy(s->config.files, "helper.py");
    s->config.file_count = 1;
    run_well(s);
    memcpy(before, s->result.digest, sizeof before);
    run_well(s);
    assert_int_equal(lines_of("pids"), 1);
    write_file(in_scratch("helper.py"), bytes_of_text("two"));
    run_well(s);
    assert_int_equal(lines_of("pids"), 2);
    assert_memory_not_equal(before, s->result.digest, HASH_BYTES);
    stand_free(s);
}

static void test_progress_counts_as_life(void **state)
{
    (void)state;
    struct stand *s = stand_new("slow"); /* takes 1.5 s, and says so every 0.1 s */
    start_with(s, 1000);
    run_well(s);
    assert_int_equal(lines_of("pids"), 1);
    assert_int_equal(atomic_load(&s->done), 15);
    assert_int_equal(atomic_load(&s->total), 15);
    stand_free(s);
}

static void test_any_order_of_tensors_and_any_noise_on_stderr_is_taken(void **state)
{
    (void)state;
    struct stand *s = stand_new("reorder");
    run_well(s);
    stand_free(s);
    s = stand_new("flood");
    run_well(s);
    stand_free(s);
}

/* The table is the worker's to add up; whether a program could is not asked. */
static void test_moments_are_the_workers_own_work(void **state)
{
    (void)state;
    struct stand *s = stand_new("good");
    struct moments m;
    uint8_t native[HASH_BYTES];
    write_file(in_scratch("data.csv"), bytes_of_text("a,b,c,diagnosis\n1,2,3,0\n4,5,6,1\n"));
    s->task.asks = RULE_VALUES;
    s->task.data = in_scratch("data.csv");
    MUST(trainer_run(&s->task, &s->result, err));
    MUST(moments_decode(buf_bytes(&s->result.values), 3, &m, err));
    assert_int_equal(m.count, 2);
    assert_true(m.sum[0] == 5 && m.sum[2] == 9);
    moments_fini(&m);
    trainer_digest("native", native);
    assert_memory_equal(s->result.digest, native, HASH_BYTES);
    trainer_result_fini(&s->result);
    assert_int_equal(lines_of("pids"), 0);
    stand_free(s);
}

/* --- misbehaved: what it does, the code, and words of the sentence --- */

static const struct {
    const char *mode;
    enum refusal_code code;
    const char *words;
    uint64_t stall_ms, memory_mib;
} bad[] = {
    {"hang", REFUSAL_TRAINER_HUNG, "stall_seconds", 1500, 0},
    {"mute", REFUSAL_TRAINER_HUNG, "stall_seconds", 1500, 0},
    {"die-signal", REFUSAL_TRAINER_DIED, "signal USR1", 0, 0},
    {"exit-1", REFUSAL_TRAINER_DIED, "ValueError: no such column", 0, 0},
    {"crash", REFUSAL_TRAINER_DIED, "no module named torch", 0, 0},
    {"closes", REFUSAL_TRAINER_DIED, "signal TERM", 0, 0},
    {"orphan", REFUSAL_TRAINER_DIED, "exit status 3", 0, 0},
    {"exit-0", REFUSAL_TRAINER_NO_OUTPUT, "exit status 0", 0, 0},
    {"nothing", REFUSAL_TRAINER_NO_OUTPUT, "wrote no model", 0, 0},
    {"fifo", REFUSAL_TRAINER_NO_OUTPUT, "wrote no model", 0, 0},
    {"garbage", REFUSAL_TRAINER_GARBAGE, "not JSON", 0, 0},
    {"number", REFUSAL_TRAINER_GARBAGE, "near '7'", 0, 0},
    {"long-line", REFUSAL_TRAINER_GARBAGE, "65536 bytes", 0, 0},
    {"wrong-id", REFUSAL_TRAINER_GARBAGE, "not about task 1", 0, 0},
    {"unknown-type", REFUSAL_TRAINER_GARBAGE, "type", 0, 0},
    {"cancels", REFUSAL_TRAINER_GARBAGE, "without being asked", 0, 0},
    {"no-examples", REFUSAL_TRAINER_GARBAGE, "examples", 0, 0},
    {"many-examples", REFUSAL_TRAINER_GARBAGE, "536870911", 0, 0},
    {"bad-metric", REFUSAL_TRAINER_GARBAGE, "metric", 0, 0},
    {"nan-metric", REFUSAL_TRAINER_GARBAGE, "NaN", 0, 0},
    {"version", REFUSAL_TRAINER_GARBAGE, "version 2", 0, 0},
    {"error", REFUSAL_TRAINER_ERROR, "no GPU\\x0a\\u{202e} here", 0, 0},
    {"evaluator", REFUSAL_TRAINER_ERROR, "cannot train", 0, 0},
    {"large", REFUSAL_TRAINER_TOO_LARGE, "64.0 MiB", 0, 0},
    {"large-done", REFUSAL_TRAINER_TOO_LARGE, "64.0 MiB", 0, 0},
    {"memory", REFUSAL_TRAINER_MEMORY, "memory_mib", 0, 200},
    {"memory-child", REFUSAL_TRAINER_MEMORY, "200.0 MiB", 0, 200},
};

static void test_each_misbehaviour_has_its_code_and_ends_the_process(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        struct stand *s = stand_new(bad[i].mode);
        (void)unlink(in_scratch("pids"));
        if (bad[i].stall_ms > 0)
            s->config.stall_ms = bad[i].stall_ms;
        s->config.memory_bytes = bad[i].memory_mib << 20;
        int rc = run(s);
        if (rc != ERR_IO || s->result.code != bad[i].code ||
            strstr(s->err.text, bad[i].words) == NULL)
            fail_msg("%s: %d, %s: %s", bad[i].mode, rc, refusal_name(s->result.code), s->err.text);
        if (strcmp(bad[i].mode, "evaluator") != 0)
            assert_null(s->program.child);
        assert_false(files_exists(files_posix(), s->output));
        program_stop(&s->program);
        if (lines_of("pids") > 0) /* else it was not even that far */
            assert_int_equal(kill(pid_in("pids"), 0), -1);
        stand_free(s);
    }
}

static void test_a_sentence_that_is_cut_stays_utf_8(void **state)
{
    (void)state;
    for (int shift = 0; shift < 2; shift++) { /* so that one of both is cut within a character */
        struct stand *s = stand_new(shift == 0 ? "accents" : "accents-shifted");
        assert_int_equal(run(s), ERR_IO);
        assert_non_null(strstr(s->err.text, "\xc3\xa9\xc3\xa9"));
        assert_true(text_is_utf8(bytes_of_text(s->err.text)));
        stand_free(s);
    }
}

static void test_one_that_cannot_evaluate_says_so(void **state)
{
    (void)state;
    struct stand *s = stand_new("trainer-only");
    s->task.asks = RULE_METRICS;
    assert_int_equal(run(s), ERR_IO);
    assert_int_equal(s->result.code, REFUSAL_TRAINER_ERROR);
    assert_non_null(strstr(s->err.text, "cannot evaluate"));
    stand_free(s);
}

static void test_after_a_failure_the_next_task_has_a_fresh_process(void **state)
{
    (void)state;
    struct stand *s = stand_new("die-once");
    assert_int_equal(run(s), ERR_IO);
    assert_int_equal(s->result.code, REFUSAL_TRAINER_DIED);
    run_well(s);
    assert_int_equal(lines_of("pids"), 2);
    stand_free(s);
}

static void test_one_that_ignores_every_word_is_killed_with_what_it_started(void **state)
{
    (void)state;
    struct stand *s = stand_new("stubborn");
    start_with(s, 1000);
    assert_int_equal(run(s), ERR_IO);
    assert_int_equal(s->result.code, REFUSAL_TRAINER_HUNG);
    assert_int_equal(kill(pid_in("pids"), 0), -1);
    assert_true(is_gone(pid_in("grandchild")));
    stand_free(s);
    s = stand_new("deaf"); /* works, and then does not end */
    run_well(s);
    pid_t pid = child_pid(s->program.child);
    program_stop(&s->program);
    assert_int_equal(kill(pid, 0), -1);
    stand_free(s);
}

/* --- cancelling --- */

/* Sets the flag once the trainer has heard of the task. */
static void *cancel_soon(void *arg)
{
    struct stand *s = arg;
    while (lines_of("heard") < 2)
        usleep(5000);
    (void)s;
    atomic_store(&no, true);
    return NULL;
}

static void run_and_cancel(struct stand *s)
{
    pthread_t thread;
    (void)unlink(in_scratch("heard"));
    assert_int_equal(pthread_create(&thread, NULL, cancel_soon, s), 0);
    int rc = run(s);
    assert_int_equal(pthread_join(thread, NULL), 0);
    atomic_store(&no, false);
    assert_int_equal(rc, ERR_TIMEOUT);
    assert_int_equal(s->result.code, REFUSAL_NONE);
}

static void test_one_that_answers_a_cancel_is_kept(void **state)
{
    (void)state;
    static const char *const modes[] = {"polite", "late"};
    for (size_t i = 0; i < 2; i++) {
        struct stand *s = stand_new(modes[i]);
        (void)unlink(in_scratch("pids"));
        s->config.grace_ms = 10000;
        run_and_cancel(s);
        assert_non_null(s->program.child);
        run_well(s); /* what it says too late of the cancelled task is no garbage */
        assert_int_equal(lines_of("pids"), 1);
        stand_free(s);
    }
}

static void test_one_that_does_not_answer_a_cancel_is_ended(void **state)
{
    (void)state;
    struct stand *s = stand_new("hang");
    run_and_cancel(s);
    assert_null(s->program.child);
    assert_int_equal(kill(pid_in("pids"), 0), -1);
    stand_free(s);
}

static void test_a_cancel_before_the_start_starts_nothing_that_stays(void **state)
{
    (void)state;
    struct stand *s = stand_new("good");
    s->task.cancel = &yes;
    assert_int_equal(run(s), ERR_TIMEOUT);
    assert_null(s->program.child);
    stand_free(s);
}

/* --- what a person must mend --- */

static void test_a_configuration_that_cannot_work_is_a_persons_to_mend(void **state)
{
    (void)state;
    static const struct {
        const char *command, *data, *words;
    } rows[] = {{"", "", "[trainer]"},  {"no-such-command-here", "", "not found in PATH"},
                {"./none", "", "none"}, {"./base", "", "not an executable"},
                {"./script", "", "#!"}, {"python3", "/nonexistent/data", "/nonexistent/data"}};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct stand *s = stand_new("good");
        write_file(in_scratch("script"), bytes_of_text("no interpreter line"));
        assert_int_equal(chmod(in_scratch("script"), 0700), 0);
        s->task.data = rows[i].data;
        memset(s->config.command, 0, sizeof s->config.command);
        s->config.command_count = 0;
        if (rows[i].command[0] != '\0')
            add_word(&s->config, rows[i].command);
        int rc = run(s);
        if (rc != ERR_USAGE || s->result.code != REFUSAL_NONE ||
            strstr(s->err.text, rows[i].words) == NULL)
            fail_msg("%s: %d %s", rows[i].words, rc, s->err.text);
        stand_free(s);
    }
}

static void test_only_the_pinned_trainer_is_started(void **state)
{
    (void)state;
    struct stand *s = stand_new("good");
    s->plan.pinned = true;
    assert_int_equal(run(s), ERR_IO);
    assert_int_equal(s->result.code, REFUSAL_TRAINER_DIGEST);
    assert_int_equal(lines_of("pids"), 0);
    MUST(program_digest(&s->config, scratch, s->plan.trainer_digest, err));
    run_well(s);
    s->plan.trainer_digest[31] ^= 1; /* one that runs already is no better */
    assert_int_equal(run(s), ERR_IO);
    assert_int_equal(s->result.code, REFUSAL_TRAINER_DIGEST);
    stand_free(s);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, scratch_setup, scratch_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_a_task_goes_there_and_back),
        TEST(test_an_evaluation_names_no_output),
        TEST(test_one_process_serves_many_tasks_and_ends_when_asked),
        TEST(test_one_that_died_between_tasks_is_started_again),
        TEST(test_another_configuration_starts_it_again),
        TEST(test_a_changed_file_starts_it_again),
        TEST(test_progress_counts_as_life),
        TEST(test_any_order_of_tensors_and_any_noise_on_stderr_is_taken),
        TEST(test_moments_are_the_workers_own_work),
        TEST(test_each_misbehaviour_has_its_code_and_ends_the_process),
        TEST(test_a_sentence_that_is_cut_stays_utf_8),
        TEST(test_one_that_cannot_evaluate_says_so),
        TEST(test_after_a_failure_the_next_task_has_a_fresh_process),
        TEST(test_one_that_ignores_every_word_is_killed_with_what_it_started),
        TEST(test_one_that_answers_a_cancel_is_kept),
        TEST(test_one_that_does_not_answer_a_cancel_is_ended),
        TEST(test_a_cancel_before_the_start_starts_nothing_that_stays),
        TEST(test_a_configuration_that_cannot_work_is_a_persons_to_mend),
        TEST(test_only_the_pinned_trainer_is_started),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
