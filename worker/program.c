/* SPDX-License-Identifier: Apache-2.0 */
#include "worker/program.h"

#include <errno.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/files.h"
#include "base/log.h"
#include "base/text.h"
#include "model/safetensors.h"
#include "worker/child.h"
#include "worker/native.h"
#include "worker/program_digest.h"
#include "worker/talk.h"
#include "worker/trainer.h"

#define VARIABLE_MAX 128 /* bytes of COLMEIA_SITE=NAME */

void program_init(struct program *p, const char *folder, const char *site)
{
    *p = (struct program){.folder = folder, .site = site};
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
    child_free(p->child);
    p->child = NULL;
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

static int shake_hands(struct talk *t)
{
    struct contract_message m;
    struct program *p = t->program;
    struct buf line = buf_new(CONTRACT_LINE_MAX);
    contract_put_hello(&line);
    int rc = talk_say(t, &line);
    if (rc == 0)
        rc = talk_hear(t, &m);
    if (rc != 0) {
        program_stop(p); /* unless its failure ended it already */
        return rc;
    }
    if (m.type != CONTRACT_HELLO)
        return talk_fail(t, REFUSAL_TRAINER_GARBAGE,
                         "it broke the contract: it must say hello first");
    p->hello = m.hello;
    log_started(p);
    return 0;
}

static int check_pin(struct talk *t, const uint8_t *pinned, const uint8_t digest[HASH_BYTES])
{
    char wanted[2 * HASH_BYTES + 1], found[2 * HASH_BYTES + 1];
    if (pinned == NULL || memcmp(pinned, digest, HASH_BYTES) == 0)
        return 0;
    bytes_format_hex(bytes_of(pinned, HASH_BYTES), wanted);
    bytes_format_hex(bytes_of(digest, HASH_BYTES), found);
    t->code = REFUSAL_TRAINER_DIGEST;
    return err_set(t->err, ERR_IO,
                   "its digest is %s and the plan pins %s; install the trainer that the study "
                   "agreed on (colmeia-worker trainer prints the digest)",
                   found, wanted);
}

static int start(struct talk *t, const struct program_config *config, const uint8_t *pinned)
{
    struct program *p = t->program;
    uint8_t digest[HASH_BYTES];
    if (config->command_count == 0)
        return err_set(t->err, ERR_USAGE,
                       "the plan's trainer is a program of the site's own, and none is configured: "
                       "set command in the table [trainer] of %.256s/config.toml",
                       p->folder);
    int rc = program_digest(config, p->folder, digest, t->err);
    if (rc == 0)
        rc = check_pin(t, pinned, digest);
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
    rc = spawn(p, t->err);
    return rc != 0 ? rc : shake_hands(t);
}

int program_start(struct program *p, const struct program_config *config, const uint8_t *pinned,
                  const atomic_bool *cancel, enum refusal_code *code, struct err *err)
{
    struct talk t = {.program = p, .cancel = cancel, .err = err};
    int rc = start(&t, config, pinned);
    *code = t.code;
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

static int tell_task(struct talk *t, const struct trainer_task *task)
{
    char base[FILES_PATH_MAX], output[FILES_PATH_MAX];
    struct program *p = t->program;
    struct buf line = buf_new(CONTRACT_LINE_MAX);
    int rc = make_absolute(task->base, base, t->err);
    if (rc == 0)
        rc = make_absolute(task->output, output, t->err);
    if (rc != 0)
        return rc;
    const struct contract_task told = {.id = ++p->id,
                                       .study = task->study,
                                       .plan = task->plan,
                                       .round = task->round,
                                       .site = task->site,
                                       .seed = task->seed,
                                       .base = base,
                                       .output = t->output != NULL ? output : NULL,
                                       .data = task->data};
    contract_put_task(&told, &line);
    return talk_say(t, &line);
}

/* Anything else under that name could not be read, or would be waited for without end. */
static bool is_file(const char *path)
{
    struct stat s;
    return stat(path, &s) == 0 && S_ISREG(s.st_mode);
}

static int take_done(struct talk *t, const struct contract_message *m, struct trainer_result *out)
{
    if (m->type == CONTRACT_ERROR) {
        struct buf safe = buf_new(ERR_TEXT_MAX);
        log_escape(&safe, bytes_of_text(m->text));
        int rc = talk_fail(t, REFUSAL_TRAINER_ERROR, "it cannot do the task: %s", buf_text(&safe));
        buf_fini(&safe);
        return rc;
    }
    int rc = talk_check_output(t);
    if (rc != 0)
        return rc;
    if (t->output != NULL && !is_file(t->output))
        return talk_fail(t, REFUSAL_TRAINER_NO_OUTPUT, "it is done, and wrote no model");
    out->examples = m->examples;
    out->metric_count = m->metric_count;
    memcpy(out->metrics, m->metrics, sizeof out->metrics);
    return 0;
}

/* Its answer to the task; progress is passed on. */
static int hear_answer(struct talk *t, const struct trainer_task *task, struct contract_message *m)
{
    for (;;) {
        int rc = talk_hear(t, m);
        if (rc != 0)
            return rc;
        if (m->type == CONTRACT_HELLO || m->id != t->program->id)
            return talk_fail(t, REFUSAL_TRAINER_GARBAGE,
                             "it broke the contract: a message that is not about task %llu",
                             (unsigned long long)t->program->id);
        if (m->type == CONTRACT_CANCELLED)
            return talk_fail(t, REFUSAL_TRAINER_GARBAGE,
                             "it broke the contract: it cancelled a task without being asked to");
        if (m->type != CONTRACT_PROGRESS)
            return 0;
        if (task->total != NULL)
            atomic_store(task->total, m->total);
        if (task->done != NULL)
            atomic_store(task->done, m->done);
    }
}

static int check_capability(struct talk *t)
{
    const struct contract_hello *h = &t->program->hello;
    if (t->output != NULL ? h->trains : h->evaluates)
        return 0;
    t->code = REFUSAL_TRAINER_ERROR;
    return err_set(t->err, ERR_IO, "it cannot %s: its hello names no such capability",
                   t->output != NULL ? "train" : "evaluate");
}

static int converse(struct talk *t, const struct trainer_task *task, struct trainer_result *out)
{
    struct contract_message m;
    int rc = check_capability(t);
    if (rc == 0)
        rc = tell_task(t, task);
    if (rc == 0)
        rc = hear_answer(t, task, &m);
    if (rc == ERR_TIMEOUT)
        talk_cancel(t->program);
    return rc != 0 ? rc : take_done(t, &m, out);
}

int program_run(const struct trainer_task *task, struct trainer_result *out, struct err *err)
{
    const struct plan *plan = task->plan;
    struct talk t = {.program = task->program,
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
        rc = start(&t, task->config, plan->pinned ? plan->trainer_digest : NULL);
    if (rc == 0) {
        memcpy(out->digest, t.program->digest, sizeof out->digest);
        rc = converse(&t, task, out);
    }
    out->code = t.code;
    return rc;
}
