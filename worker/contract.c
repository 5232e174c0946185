/* SPDX-License-Identifier: Apache-2.0 */
#include "worker/contract.h"

#include <jansson.h>
#include <math.h>
#include <stdlib.h>

#include "aggregate/accumulate.h"
#include "base/log.h"

#define COUNT_MAX                                                                                  \
    9007199254740992.0 /* 2^53: every integer below is a JSON number in any language */

/* --- what the worker says --- */

/* Takes `object`; NULL is out of memory. */
static void put_line(json_t *object, struct buf *out)
{
    char *text = object == NULL ? NULL : json_dumps(object, JSON_COMPACT | JSON_PRESERVE_ORDER);
    if (text == NULL)
        out->failed = ERR_NOMEM;
    else
        buf_append_format(out, "%s\n", text);
    free(text);
    json_decref(object);
}

void contract_put_hello(struct buf *out)
{
    put_line(json_pack("{s:s,s:i,s:s}", "type", "hello", "contract", CONTRACT_VERSION, "worker",
                       VERSION),
             out);
}

static json_t *pack_hyperparameters(const struct plan *p)
{
    return json_pack("{s:I,s:I,s:I,s:f,s:f,s:f,s:f}", "epochs", (json_int_t)p->epochs, "steps",
                     (json_int_t)p->steps, "batch", (json_int_t)p->batch, "learning_rate",
                     p->learning_rate, "momentum", p->momentum, "weight_decay", p->weight_decay,
                     "proximal", p->proximal);
}

void contract_put_task(const struct contract_task *t, struct buf *out)
{
    char study[CID_TEXT_MAX], seed[2 * HASH_BYTES + 1];
    bool trains = t->output != NULL;
    bytes_format_hex(bytes_of(t->seed, HASH_BYTES), seed);
    put_line(json_pack("{s:s,s:I,s:s,s:I,s:I,s:s,s:s,s:s*,s:s?,s:o}", "type",
                       trains ? "train" : "evaluate", "id", (json_int_t)t->id, "study",
                       cid_format(t->study, study), "round", (json_int_t)t->round, "site",
                       (json_int_t)t->site, "seed", seed, "base", t->base, "output", t->output,
                       "data", t->data[0] == '\0' ? NULL : t->data, "hyperparameters",
                       pack_hyperparameters(t->plan)),
             out);
}

void contract_put_cancel(uint64_t id, struct buf *out)
{
    put_line(json_pack("{s:s,s:I}", "type", "cancel", "id", (json_int_t)id), out);
}

void contract_put_bye(struct buf *out)
{
    put_line(json_pack("{s:s}", "type", "bye"), out);
}

/* --- what the trainer says --- */

/* A whole number from 0 to 2^53; one with a fraction of zero is taken, as JSON has one kind. */
static bool take_count(const json_t *value, uint64_t *out)
{
    double number = json_number_value(value);
    if (!json_is_number(value) || !(number >= 0 && number <= COUNT_MAX) || floor(number) != number)
        return false;
    *out = (uint64_t)number;
    return true;
}

static bool take_text(const json_t *value, char *out, size_t size)
{
    size_t length = json_string_length(value);
    if (!json_is_string(value) || length == 0 || length >= size)
        return false;
    memcpy(out, json_string_value(value), length + 1);
    return true;
}

static int take_hello(const json_t *object, struct contract_message *m, struct err *err)
{
    uint64_t version = 0;
    size_t i;
    json_t *word;
    const json_t *words = json_object_get(object, "capabilities");
    if (!take_count(json_object_get(object, "contract"), &version))
        return err_set(err, ERR_MALFORMED, "its hello names no version of the contract");
    if (version != CONTRACT_VERSION)
        return err_set(err, ERR_MALFORMED, "it speaks version %llu of the contract, not %d",
                       (unsigned long long)version, CONTRACT_VERSION);
    if (!take_text(json_object_get(object, "name"), m->hello.name, sizeof m->hello.name) ||
        !take_text(json_object_get(object, "version"), m->hello.version, sizeof m->hello.version))
        return err_set(err, ERR_MALFORMED, "its hello needs a name and a version of 1 to %d bytes",
                       CONTRACT_NAME_MAX - 1);
    if (!json_is_array(words))
        return err_set(err, ERR_MALFORMED, "its hello needs an array of capabilities");
    json_array_foreach(words, i, word)
    {
        const char *text = json_is_string(word) ? json_string_value(word) : "";
        m->hello.trains = m->hello.trains || strcmp(text, "train") == 0;
        m->hello.evaluates = m->hello.evaluates || strcmp(text, "evaluate") == 0;
    }
    return 0;
}

static int take_progress(const json_t *object, struct contract_message *m, struct err *err)
{
    const json_t *total = json_object_get(object, "total");
    if (!take_count(json_object_get(object, "done"), &m->done) ||
        (total != NULL && !json_is_null(total) && !take_count(total, &m->total)))
        return err_set(err, ERR_MALFORMED,
                       "progress needs done and total as whole numbers that are not negative");
    return 0;
}

static bool is_metric_name(const char *name)
{
    size_t length = strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789_.");
    return length > 0 && name[length] == '\0' && length < UPDATE_METRIC_NAME_MAX;
}

static int take_metrics(json_t *metrics, struct contract_message *m, struct err *err)
{
    const char *name;
    json_t *value;
    if (metrics == NULL || json_is_null(metrics))
        return 0;
    if (!json_is_object(metrics) || json_object_size(metrics) > UPDATE_METRICS_MAX)
        return err_set(err, ERR_MALFORMED, "metrics must be an object of at most %d",
                       UPDATE_METRICS_MAX);
    json_object_foreach(metrics, name, value)
    {
        struct update_metric *to = &m->metrics[m->metric_count++];
        if (!is_metric_name(name))
            return err_set(err, ERR_MALFORMED, "a metric's name must be 1 to %d of a-z 0-9 _ and .",
                           UPDATE_METRIC_NAME_MAX - 1);
        memcpy(to->name, name, strlen(name) + 1);
        to->value = json_is_number(value) ? json_number_value(value) : (double)NAN;
        if (!json_is_number(value) && !json_is_null(value))
            return err_set(err, ERR_MALFORMED, "metric %s is neither a number nor null", name);
    }
    return 0;
}

static int take_done(const json_t *object, struct contract_message *m, struct err *err)
{
    if (!take_count(json_object_get(object, "examples"), &m->examples) || m->examples == 0 ||
        m->examples > ACCUMULATE_WEIGHT_MAX)
        return err_set(err, ERR_MALFORMED, "examples must be a whole number from 1 to %u",
                       ACCUMULATE_WEIGHT_MAX);
    return take_metrics(json_object_get(object, "metrics"), m, err);
}

/* Cut between characters, so that it stays UTF-8. */
static int take_error(const json_t *object, struct contract_message *m, struct err *err)
{
    const json_t *message = json_object_get(object, "message");
    if (!json_is_string(message))
        return err_set(err, ERR_MALFORMED, "error needs a message");
    size_t size = json_string_length(message);
    const char *text = json_string_value(message);
    if (size >= sizeof m->text)
        for (size = sizeof m->text - 1; (text[size] & 0xc0) == 0x80;)
            size--;
    memcpy(m->text, text, size);
    m->text[size] = '\0';
    return 0;
}

static int take_body(const json_t *object, struct contract_message *m, struct err *err)
{
    switch (m->type) {
    case CONTRACT_HELLO:
        return take_hello(object, m, err);
    case CONTRACT_PROGRESS:
        return take_progress(object, m, err);
    case CONTRACT_DONE:
        return take_done(object, m, err);
    case CONTRACT_ERROR:
        return take_error(object, m, err);
    case CONTRACT_CANCELLED:
        return 0;
    }
    return 0;
}

static int take_object(const json_t *object, struct contract_message *m, struct err *err)
{
    static const char *const names[] = {[CONTRACT_HELLO] = "hello",
                                        [CONTRACT_PROGRESS] = "progress",
                                        [CONTRACT_DONE] = "done",
                                        [CONTRACT_ERROR] = "error",
                                        [CONTRACT_CANCELLED] = "cancelled"};
    const char *type = json_string_value(json_object_get(object, "type"));
    size_t i = 0, count = sizeof names / sizeof names[0];
    while (type != NULL && i < count && strcmp(names[i], type) != 0)
        i++;
    if (type == NULL || i == count)
        return err_set(err, ERR_MALFORMED, "no message of a type that the contract knows");
    m->type = (enum contract_type)i;
    if (m->type != CONTRACT_HELLO && !take_count(json_object_get(object, "id"), &m->id))
        return err_set(err, ERR_MALFORMED, "a message without the task's id");
    return take_body(object, m, err);
}

/* The parser quotes the line. */
static int not_json(const json_error_t *why, struct err *err)
{
    struct buf safe = buf_new(ERR_TEXT_MAX);
    log_escape(&safe, bytes_of_text(why->text));
    int rc = err_set(err, ERR_MALFORMED, "a line that is not JSON: %s", buf_text(&safe));
    buf_fini(&safe);
    return rc;
}

int contract_parse(struct bytes line, struct contract_message *out, struct err *err)
{
    struct contract_message m = {.id = 0};
    json_error_t why;
    json_t *object = json_loadb((const char *)line.data, line.size, JSON_REJECT_DUPLICATES, &why);
    int rc = object == NULL ? not_json(&why, err) : take_object(object, &m, err);
    json_decref(object);
    if (rc == 0)
        *out = m;
    return rc;
}
