/* SPDX-License-Identifier: Apache-2.0 */
#include "worker/program.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/files.h"
#include "base/log.h"
#include "base/text.h"
#include "model/safetensors.h"
#include "worker/child.h"
#include "worker/native.h"
#include "worker/program_digest.h"
#include "worker/trainer.h"

#define VARIABLE_MAX 128 /* bytes of COLMEIA_SITE=NAME */

/* One conversation: what ends it early, what is watched meanwhile, and what came of it. */
struct watch {
    struct program *program;
    const atomic_bool *cancel; /* may be NULL */
    const char *output;        /* NULL: none is written */
    uint64_t output_max;
    enum refusal_code code;
    struct err *err;
};

static uint64_t now_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

void program_init(struct program *p, const char *folder, const char *site)
{
    *p = (struct program){.folder = folder, .site = site};
}

static void forget(struct program *p)
{
    child_free(p->child);
    p->child = NULL;
    p->cancelled = 0;
}

void program_stop(struct program *p)
{
    struct buf line = buf_new(CONTRACT_LINE_MAX);
    if (p->child != NULL) {
        contract_put_bye(&line);
        if (child_write(p->child, buf_bytes(&line), 0, NULL) != 0)
            log_debug("trainer", "it was not told goodbye"); /* its input ends all the same */
        (void)child_stop(p->child, p->config.grace_ms, p->config.grace_ms, NULL);
    }
    buf_fini(&line);
    forget(p);
}

/* --- how it can fail --- */

/* It is stopped; the sentence ends with what it said last. */
static int fail(struct watch *w, enum refusal_code code, const char *format, ...) PRINTF_LIKE(3, 4);

static int fail(struct watch *w, enum refusal_code code, const char *format, ...)
{
    char what[ERR_TEXT_MAX / 2];
    struct program *p = w->program;
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(what, sizeof what, format, arguments);
    va_end(arguments);
    (void)child_stop(p->child, 0, p->config.grace_ms, NULL);
    const char *note = child_last_note(p->child);
    w->code = code;
    int rc = err_set(w->err, ERR_IO, "%s%s%.300s", what,
                     note[0] == '\0' ? "" : "; its last line of error output: ", note);
    forget(p);
    return rc;
}

/* Its output has ended: how did it? */
static int fail_of_death(struct watch *w)
{
    char words[CHILD_WORDS_MAX];
    struct program *p = w->program;
    bool well = child_stop(p->child, p->config.grace_ms, p->config.grace_ms, words);
    const char *note = child_last_note(p->child);
    bool nothing = well && w->output != NULL && !files_exists(files_posix(), w->output);
    w->code = nothing ? REFUSAL_TRAINER_NO_OUTPUT : REFUSAL_TRAINER_DIED;
    int rc = err_set(w->err, ERR_IO, "it ended %s (%s)%s%.300s",
                     nothing ? "without having written a model" : "in the middle of its work",
                     words, note[0] == '\0' ? "" : "; its last line of error output: ", note);
    forget(p);
    return rc;
}

static int check_memory(struct watch *w)
{
    char used[TEXT_SMALL], allowed[TEXT_SMALL];
    const struct program *p = w->program;
    uint64_t bytes = p->config.memory_bytes == 0 ? 0 : child_memory(p->child);
    if (bytes <= p->config.memory_bytes)
        return 0;
    return fail(w, REFUSAL_TRAINER_MEMORY,
                "it used %s of memory where memory_mib in config.toml allows %s",
                text_format_size(bytes, used), text_format_size(p->config.memory_bytes, allowed));
}

static int check_output(struct watch *w)
{
    char size[TEXT_SMALL], allowed[TEXT_SMALL];
    struct stat s;
    if (w->output == NULL || stat(w->output, &s) != 0 || (uint64_t)s.st_size <= w->output_max)
        return 0;
    return fail(
        w, REFUSAL_TRAINER_TOO_LARGE, "it wrote %s where a model of the plan has at most %s",
        text_format_size((uint64_t)s.st_size, size), text_format_size(w->output_max, allowed));
}

/* --- talking --- */

static int say(struct watch *w, struct buf *line)
{
    struct program *p = w->program;
    struct err why;
    int rc = buf_check(line, w->err);
    if (rc == 0 && child_write(p->child, buf_bytes(line), p->config.grace_ms, &why) == ERR_TIMEOUT)
        rc = fail(w, REFUSAL_TRAINER_HUNG, "it does not read its input");
    buf_fini(line);
    return rc; /* one that has ended is found when it is listened to */
}

static int understand(struct watch *w, struct bytes line, struct contract_message *m)
{
    struct err why;
    if (contract_parse(line, m, &why) == 0)
        return 0;
    return fail(w, REFUSAL_TRAINER_GARBAGE, "it broke the contract: %.256s", why.text);
}

/* Its next message that counts. ERR_TIMEOUT: cancelled, and it runs on. */
static int hear(struct watch *w, struct contract_message *m)
{
    char stalled[TEXT_SMALL];
    struct program *p = w->program;
    uint64_t until = now_ms() + p->config.stall_ms, look_ms = 0;
    uint64_t tick = p->config.stall_ms < PROGRAM_TICK_MS ? p->config.stall_ms : PROGRAM_TICK_MS;
    for (;;) {
        struct bytes line;
        struct err why;
        int rc = 0;
        uint64_t now = now_ms();
        if (w->cancel != NULL && atomic_load(w->cancel))
            return err_set(w->err, ERR_TIMEOUT, "cancelled");
        if (now >= look_ms) {
            look_ms = now + PROGRAM_TICK_MS;
            rc = check_memory(w);
            if (rc == 0)
                rc = check_output(w);
            if (rc != 0)
                return rc;
        }
        rc = child_read(p->child, tick, &line, &why);
        if (rc == 0)
            rc = understand(w, line, m);
        else if (rc == ERR_LIMIT)
            return fail(w, REFUSAL_TRAINER_GARBAGE, "it broke the contract: %s", why.text);
        else if (rc == ERR_NOTFOUND)
            return fail_of_death(w);
        else if (now_ms() >= until)
            return fail(w, REFUSAL_TRAINER_HUNG,
                        "it sent no message for %s, which stall_seconds in config.toml allows",
                        text_format_ms(p->config.stall_ms, stalled));
        else
            continue;
        if (rc != 0 || m->type == CONTRACT_HELLO || m->id != p->cancelled)
            return rc;
    }
}

/* Its answer to the task; progress is passed on. */
static int hear_answer(struct watch *w, const struct trainer_task *task, struct contract_message *m)
{
    for (;;) {
        int rc = hear(w, m);
        if (rc != 0)
            return rc;
        if (m->type == CONTRACT_HELLO || m->id != w->program->id)
            return fail(w, REFUSAL_TRAINER_GARBAGE,
                        "it broke the contract: a message that is not about task %llu",
                        (unsigned long long)w->program->id);
        if (m->type == CONTRACT_CANCELLED)
            return fail(w, REFUSAL_TRAINER_GARBAGE,
                        "it broke the contract: it cancelled a task without being asked to");
        if (m->type != CONTRACT_PROGRESS)
            return 0;
        if (task->total != NULL)
            atomic_store(task->total, m->total);
        if (task->done != NULL)
            atomic_store(task->done, m->done);
    }
}

/* The task is of no use any more. One that answers in the grace time is kept. */
static void cancel(struct program *p)
{
    struct buf out = buf_new(CONTRACT_LINE_MAX);
    uint64_t until = now_ms() + p->config.grace_ms;
    contract_put_cancel(p->id, &out);
    int rc = child_write(p->child, buf_bytes(&out), p->config.grace_ms, NULL);
    buf_fini(&out);
    p->cancelled = p->id;
    while (rc == 0) {
        struct contract_message m;
        struct bytes line;
        uint64_t now = now_ms();
        rc = child_read(p->child, now < until ? until - now : 0, &line, NULL);
        if (rc == 0)
            rc = contract_parse(line, &m, NULL);
        if (rc == 0 && m.type != CONTRACT_HELLO && m.type != CONTRACT_PROGRESS && m.id == p->id)
            return;
    }
    (void)child_stop(p->child, 0, p->config.grace_ms, NULL);
    forget(p);
}

/* --- starting --- */

static void log_note(const char *note)
{
    log_warn("trainer", "%s", note);
}

static int spawn(struct program *p, struct err *err)
{
    const char *words[PROGRAM_WORDS_MAX + 1], *word = p->config.command;
    char variable[VARIABLE_MAX];
    for (size_t i = 0; i < p->config.command_count; i++, word += strlen(word) + 1)
        words[i] = word;
    words[p->config.command_count] = NULL;
    snprintf(variable, sizeof variable, "COLMEIA_SITE=%s", p->site);
    const struct child_options options = {
        .words = words, .folder = p->folder, .variable = variable, .say = log_note};
    return child_start(&options, &p->child, err);
}

static void log_started(const struct program *p)
{
    struct buf name = buf_new(8 * CONTRACT_NAME_MAX), version = buf_new(8 * CONTRACT_NAME_MAX);
    log_escape(&name, bytes_of_text(p->hello.name));
    log_escape(&version, bytes_of_text(p->hello.version));
    log_info("trainer-started", "name=%s version=%s pid=%d", buf_text(&name), buf_text(&version),
             (int)child_pid(p->child));
    buf_fini(&name);
    buf_fini(&version);
}

static int shake_hands(struct watch *w)
{
    struct contract_message m;
    struct program *p = w->program;
    struct buf line = buf_new(CONTRACT_LINE_MAX);
    contract_put_hello(&line);
    int rc = say(w, &line);
    if (rc == 0)
        rc = hear(w, &m);
    if (rc == ERR_TIMEOUT)
        program_stop(p);
    if (rc != 0)
        return rc;
    if (m.type != CONTRACT_HELLO)
        return fail(w, REFUSAL_TRAINER_GARBAGE, "it broke the contract: it must say hello first");
    p->hello = m.hello;
    log_started(p);
    return 0;
}

static int check_pin(struct watch *w, const uint8_t *pinned, const uint8_t digest[HASH_BYTES])
{
    char wanted[2 * HASH_BYTES + 1], found[2 * HASH_BYTES + 1];
    if (pinned == NULL || memcmp(pinned, digest, HASH_BYTES) == 0)
        return 0;
    bytes_format_hex(bytes_of(pinned, HASH_BYTES), wanted);
    bytes_format_hex(bytes_of(digest, HASH_BYTES), found);
    w->code = REFUSAL_TRAINER_DIGEST;
    return err_set(w->err, ERR_IO,
                   "its digest is %s and the plan pins %s; install the trainer that the study "
                   "agreed on (colmeia-worker trainer prints the digest)",
                   found, wanted);
}

static int start(struct watch *w, const struct program_config *config, const uint8_t *pinned)
{
    struct program *p = w->program;
    uint8_t digest[HASH_BYTES];
    if (config->command_count == 0)
        return err_set(w->err, ERR_USAGE,
                       "the plan's trainer is a program of the site's own, and none is configured: "
                       "set command in the table [trainer] of %.256s/config.toml",
                       p->folder);
    int rc = program_digest(config, p->folder, digest, w->err);
    if (rc == 0)
        rc = check_pin(w, pinned, digest);
    if (rc != 0)
        return rc;
    if (p->child != NULL &&
        (memcmp(config, &p->config, sizeof *config) != 0 ||
         memcmp(digest, p->digest, sizeof digest) != 0 || child_has_ended(p->child)))
        program_stop(p);
    if (p->child != NULL)
        return 0;
    memcpy(&p->config, config, sizeof p->config);
    memcpy(p->digest, digest, sizeof p->digest);
    rc = spawn(p, w->err);
    return rc != 0 ? rc : shake_hands(w);
}

int program_start(struct program *p, const struct program_config *config, const uint8_t *pinned,
                  const atomic_bool *cancel, enum refusal_code *code, struct err *err)
{
    struct watch w = {.program = p, .cancel = cancel, .err = err};
    int rc = start(&w, config, pinned);
    *code = w.code;
    return rc;
}

/* --- a task --- */

/* The trainer runs in another folder than we do. */
static int make_absolute(const char *path, char out[FILES_PATH_MAX], struct err *err)
{
    char here[FILES_PATH_MAX];
    if (!text_is_utf8(bytes_of_text(path)))
        return err_set(err, ERR_USAGE, "a path that is not UTF-8 cannot be told to a trainer");
    if (path[0] == '/')
        return files_join(out, "", path + 1, err);
    if (getcwd(here, sizeof here) == NULL)
        return err_errno(err, "working directory");
    return files_join(out, here, path, err);
}

static int check_data(const char *data, struct err *err)
{
    if (data[0] == '\0' || access(data, R_OK) == 0)
        return 0;
    return err_set(err, ERR_USAGE, "the site's data %.400s: %s", data, strerror(errno));
}

static int tell_task(struct watch *w, const struct trainer_task *t)
{
    char base[FILES_PATH_MAX], output[FILES_PATH_MAX];
    struct program *p = w->program;
    struct buf line = buf_new(CONTRACT_LINE_MAX);
    int rc = make_absolute(t->base, base, w->err);
    if (rc == 0)
        rc = make_absolute(t->output, output, w->err);
    if (rc != 0)
        return rc;
    const struct contract_task told = {.id = ++p->id,
                                       .study = t->study,
                                       .plan = t->plan,
                                       .round = t->round,
                                       .site = t->site,
                                       .seed = t->seed,
                                       .base = base,
                                       .output = w->output != NULL ? output : NULL,
                                       .data = t->data};
    contract_put_task(&told, &line);
    return say(w, &line);
}

static int take_done(struct watch *w, const struct contract_message *m, struct trainer_result *out)
{
    if (m->type == CONTRACT_ERROR) {
        struct buf safe = buf_new(ERR_TEXT_MAX);
        log_escape(&safe, bytes_of_text(m->text));
        int rc = fail(w, REFUSAL_TRAINER_ERROR, "it cannot do the task: %s", buf_text(&safe));
        buf_fini(&safe);
        return rc;
    }
    int rc = check_output(w);
    if (rc != 0)
        return rc;
    if (w->output != NULL && !files_exists(files_posix(), w->output))
        return fail(w, REFUSAL_TRAINER_NO_OUTPUT, "it is done, and wrote no model");
    out->examples = m->examples;
    out->metric_count = m->metric_count;
    memcpy(out->metrics, m->metrics, sizeof out->metrics);
    return 0;
}

static int check_capability(struct watch *w)
{
    const struct contract_hello *h = &w->program->hello;
    if (w->output != NULL ? h->trains : h->evaluates)
        return 0;
    w->code = REFUSAL_TRAINER_ERROR;
    return err_set(w->err, ERR_IO, "it cannot %s: its hello names no such capability",
                   w->output != NULL ? "train" : "evaluate");
}

static int converse(struct watch *w, const struct trainer_task *task, struct trainer_result *out)
{
    struct contract_message m;
    int rc = check_capability(w);
    if (rc == 0)
        rc = tell_task(w, task);
    if (rc == 0)
        rc = hear_answer(w, task, &m);
    if (rc == ERR_TIMEOUT)
        cancel(w->program);
    return rc != 0 ? rc : take_done(w, &m, out);
}

int program_run(const struct trainer_task *task, struct trainer_result *out, struct err *err)
{
    const struct plan *plan = task->plan;
    struct watch w = {.program = task->program,
                      .cancel = task->cancel,
                      .output = task->asks == RULE_DELTA ? task->output : NULL,
                      .output_max = task->layout->data_bytes + SAFETENSORS_HEADER_MAX,
                      .err = err};
    if (task->asks == RULE_VALUES) { /* of the table, which no model has part in */
        trainer_digest("native", out->digest);
        return native_run(task, out, err);
    }
    int rc = check_data(task->data, err);
    if (rc == 0)
        rc = start(&w, task->config, plan->pinned ? plan->trainer_digest : NULL);
    if (rc == 0) {
        memcpy(out->digest, w.program->digest, sizeof out->digest);
        rc = converse(&w, task, out);
    }
    out->code = w.code;
    return rc;
}
