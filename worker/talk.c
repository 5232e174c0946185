/* SPDX-License-Identifier: Apache-2.0 */
#include "worker/talk.h"

#include <stdarg.h>
#include <stdio.h>
#include <sys/stat.h>
#include <time.h>

#include "base/files.h"
#include "base/text.h"
#include "worker/child.h"

#define SENTENCE_MAX (ERR_TEXT_MAX - 64) /* leaves room for words in front of it */

static uint64_t now_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

/* --- how it can fail --- */

/* A cut may have left the beginning of a character: what is not UTF-8 cannot be logged as JSON. */
static void trim(char *text)
{
    size_t size = strlen(text);
    while (size > 0 && !text_is_utf8(bytes_of(text, size)))
        text[--size] = '\0';
}

/* The child is stopped: the sentence ends with what it said last. */
static int tell(struct talk *t, const char *what)
{
    char sentence[SENTENCE_MAX];
    struct program *p = t->program;
    const char *note = child_last_note(p->child);
    snprintf(sentence, sizeof sentence, "%s%s%s", what,
             note[0] == '\0' ? "" : "; its last line of error output: ", note);
    trim(sentence);
    child_free(p->child);
    p->child = NULL;
    return err_set(t->err, ERR_IO, "%s", sentence);
}

int talk_fail(struct talk *t, enum refusal_code code, const char *format, ...)
{
    char what[SENTENCE_MAX / 2];
    struct program *p = t->program;
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(what, sizeof what, format, arguments);
    va_end(arguments);
    trim(what);
    (void)child_stop(p->child, 0, p->config.grace_ms, NULL);
    t->code = code;
    return tell(t, what);
}

/* Its output has ended: how did it? */
static int fail_of_death(struct talk *t)
{
    char words[CHILD_WORDS_MAX], what[2 * CHILD_WORDS_MAX];
    struct program *p = t->program;
    bool well = child_stop(p->child, p->config.grace_ms, p->config.grace_ms, words);
    bool nothing = well && t->output != NULL && !files_exists(files_posix(), t->output);
    t->code = nothing ? REFUSAL_TRAINER_NO_OUTPUT : REFUSAL_TRAINER_DIED;
    snprintf(what, sizeof what, "it ended %s (%s)",
             nothing ? "without having written a model" : "without an answer", words);
    return tell(t, what);
}

static int check_memory(struct talk *t)
{
    char used[TEXT_SMALL], allowed[TEXT_SMALL];
    const struct program *p = t->program;
    uint64_t bytes = p->config.memory_bytes == 0 ? 0 : child_memory(p->child);
    if (bytes <= p->config.memory_bytes)
        return 0;
    return talk_fail(
        t, REFUSAL_TRAINER_MEMORY, "it used %s of memory where memory_mib in config.toml allows %s",
        text_format_size(bytes, used), text_format_size(p->config.memory_bytes, allowed));
}

int talk_check_output(struct talk *t)
{
    char size[TEXT_SMALL], allowed[TEXT_SMALL];
    struct stat s;
    if (t->output == NULL || stat(t->output, &s) != 0 || (uint64_t)s.st_size <= t->output_max)
        return 0;
    return talk_fail(
        t, REFUSAL_TRAINER_TOO_LARGE, "it wrote %s where a model of the plan has at most %s",
        text_format_size((uint64_t)s.st_size, size), text_format_size(t->output_max, allowed));
}

/* --- talking --- */

int talk_say(struct talk *t, struct buf *line)
{
    struct program *p = t->program;
    struct err why;
    int rc = buf_check(line, t->err);
    if (rc == 0 && child_write(p->child, buf_bytes(line), p->config.grace_ms, &why) == ERR_TIMEOUT)
        rc = talk_fail(t, REFUSAL_TRAINER_HUNG, "it does not read its input");
    buf_fini(line);
    return rc; /* one that has ended is found when it is listened to */
}

/* Memory and output, some times a second however much it says. */
static int look(struct talk *t, uint64_t now)
{
    if (now < t->look_ms)
        return 0;
    t->look_ms = now + PROGRAM_TICK_MS;
    int rc = check_memory(t);
    return rc != 0 ? rc : talk_check_output(t);
}

/* One line of it. ERR_TIMEOUT: none came within a tick. */
static int take_line(struct talk *t, struct contract_message *m)
{
    struct program *p = t->program;
    struct bytes line;
    struct err why;
    uint64_t tick = p->config.stall_ms < PROGRAM_TICK_MS ? p->config.stall_ms : PROGRAM_TICK_MS;
    int rc = child_read(p->child, tick, &line, &why);
    if (rc == ERR_NOTFOUND)
        return fail_of_death(t);
    if (rc == 0)
        rc = contract_parse(line, m, &why);
    return rc == 0 || rc == ERR_TIMEOUT
               ? rc
               : talk_fail(t, REFUSAL_TRAINER_GARBAGE, "it broke the contract: %s", why.text);
}

int talk_hear(struct talk *t, struct contract_message *m)
{
    char stalled[TEXT_SMALL];
    const struct program *p = t->program;
    uint64_t now = now_ms(), until = now + p->config.stall_ms;
    for (; now < until; now = now_ms()) {
        if (t->cancel != NULL && atomic_load(t->cancel))
            return err_set(t->err, ERR_TIMEOUT, "cancelled");
        int rc = look(t, now);
        if (rc != 0)
            return rc;
        rc = take_line(t, m);
        bool stale = rc == 0 && m->type != CONTRACT_HELLO && m->id == p->cancelled;
        if (rc != ERR_TIMEOUT && !stale)
            return rc;
    }
    return talk_fail(t, REFUSAL_TRAINER_HUNG,
                     "it sent no message for the %s of stall_seconds in config.toml",
                     text_format_ms(p->config.stall_ms, stalled));
}

/* The task is of no use any more. One that answers in the grace time is kept. */
void talk_cancel(struct program *p)
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
    child_free(p->child);
    p->child = NULL;
}
