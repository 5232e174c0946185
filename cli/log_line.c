/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/log_line.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "base/text.h"
#include "cli/say.h"

#define FIELD_NAME_MAX 64

static const struct {
    const char *event, *pattern;
} sentences[] = {
    {"started", "started[ with study {study}]"},
    {"site-admitted", "site {site} is admitted"},
    {"round-opened", "round {round} ({rule}) opens with {selected}"},
    {"sites-added", "round {round}: more sites are asked: {selected}"},
    {"update-accepted", "round {round}: update of {site} accepted[, {examples} examples][, "
                        "{bytes:size}][, {metrics}]"},
    {"update-refused", "round {round}: refused, {code}: {sentence}[; update {record}]"},
    {"equivocation",
     "round {round}: {site} sent two differing updates: {accepted} counts, {record} "
     "is kept as evidence"},
    {"round", "round {round}/{rounds} ({rule}) closed: {answered}/{selected} sites[, loss "
              "{loss}][, accuracy {accuracy}][, {bytes_moved:size} moved][, {seconds:seconds}]"
              ", model {model}[; it failed: {failure}]"},
    {"failed", "stopped for good: {sentence}"},
    {"finished", "finished[ after {rounds} rounds][, final model {model}]"},
    {"stopped", "stopped"},
    {"connected", "connected to the coordinator"},
    {"not-admitted", "this site is not admitted yet; trying again"},
    {"welcome", "admitted, as site {site}"},
    {"task", "round {round} ({rule}): task taken[, base model {base}]"},
    {"fetched", "round {round}: base model fetched[, {bytes:size}][ in {seconds:seconds}]"},
    {"trained", "round {round}: trained[ in {seconds:seconds}][, loss {loss}][, accuracy "
                "{accuracy}]"},
    {"sealed", "round {round}: update {record} sealed[, {bytes:size}]"},
    {"uploaded", "round {round}: uploaded[ {bytes:size}]"},
    {"accepted", "round {round}: update accepted"},
    {"refused", "round {round}: update refused, {code}: {sentence}"},
    {"declined", "round {round}: task declined, {code}: {sentence}"},
    {"decline-answered", "round {round}: the coordinator goes on without this site, {code}"},
    {"task-refused", "round {round}: task refused, {code}: {sentence}"},
    {"dropped", "round {round}: task dropped: {why}"},
};

static bool put_value(const json_t *value, const char *form, struct buf *out);

/* "loss 0.25, accuracy 1": what has no value is left out. */
static void put_members(const json_t *object, const char *form, struct buf *out)
{
    const char *name;
    json_t *member;
    bool first = true;
    json_object_foreach((json_t *)(uintptr_t)object, name, member)
    {
        size_t start = out->size;
        buf_append_text(out, first ? "" : ", ");
        say_clean(out, bytes_of_text(name));
        buf_append_byte(out, ' ');
        if (put_value(member, form, out))
            first = false;
        else if (out->failed == 0)
            out->size = start;
    }
}

/* A value as text; false if there is nothing to say. */
static bool put_value(const json_t *value, const char *form, struct buf *out)
{
    char small[TEXT_SMALL];
    size_t start = out->size;
    if (json_is_number(value) && strcmp(form, "size") == 0 && json_number_value(value) >= 0) {
        buf_append_text(out, text_format_size((uint64_t)json_number_value(value), small));
    } else if (json_is_number(value) && strcmp(form, "seconds") == 0 &&
               json_number_value(value) >= 0 && json_number_value(value) < 1e15) {
        buf_append_text(out, text_format_ms((uint64_t)(json_number_value(value) * 1000), small));
    } else if (json_is_string(value)) {
        say_clean(out, bytes_of(json_string_value(value), json_string_length(value)));
    } else if (json_is_integer(value)) {
        buf_append_format(out, "%lld", (long long)json_integer_value(value));
    } else if (json_is_real(value)) {
        buf_append_format(out, "%.4g", json_real_value(value));
    } else if (json_is_boolean(value)) {
        buf_append_text(out, json_is_true(value) ? "yes" : "no");
    } else if (json_is_array(value)) {
        for (size_t i = 0; i < json_array_size(value); i++) {
            buf_append_text(out, i > 0 ? ", " : "");
            (void)put_value(json_array_get(value, i), form, out);
        }
    } else if (json_is_object(value)) {
        put_members(value, form, out);
    }
    return out->size > start;
}

/* {name} or {name:form} at `at`; returns what follows. */
static const char *put_field(const char *at, const json_t *fields, struct buf *out, bool *found)
{
    char name[FIELD_NAME_MAX] = {0};
    size_t size = strcspn(at + 1, "}");
    memcpy(name, at + 1, size < sizeof name ? size : sizeof name - 1);
    char *form = strchr(name, ':');
    if (form != NULL)
        *form++ = '\0';
    *found = put_value(json_object_get(fields, name), form == NULL ? "" : form, out);
    return at + 1 + size + 1;
}

void log_line_fill(const char *pattern, const json_t *fields, struct buf *out)
{
    size_t part = 0;                 /* where the bracket began in `out` */
    bool inside = false, all = true; /* of the bracket's fields */
    for (const char *at = pattern; *at != '\0';) {
        bool found = true;
        if (*at == '{') {
            at = put_field(at, fields, out, &found);
            all = all && found;
            if (!found && !inside)
                buf_append_byte(out, '?');
            continue;
        }
        if (*at == '[') {
            part = out->size;
            inside = all = true;
        } else if (*at == ']') {
            if (!all && out->failed == 0)
                out->size = part;
            inside = false;
        } else {
            buf_append_byte(out, (uint8_t)*at);
        }
        at++;
    }
}

static void put_time(const json_t *event, struct buf *out)
{
    double value = json_number_value(json_object_get(event, "time"));
    time_t seconds = value > 0 && value < 1e11 ? (time_t)value : 0;
    struct tm utc;
    char text[32];
    gmtime_r(&seconds, &utc);
    strftime(text, sizeof text, "%Y-%m-%d %H:%M:%SZ", &utc);
    buf_append_format(out, "%s  ", text);
}

static void put_fields(const json_t *event, struct buf *out)
{
    const char *key;
    json_t *value;
    json_object_foreach((json_t *)event, key, value)
    {
        if (strcmp(key, "event") == 0 || strcmp(key, "time") == 0)
            continue;
        buf_append_byte(out, ' ');
        say_clean(out, bytes_of_text(key));
        buf_append_byte(out, '=');
        if (!put_value(value, "", out))
            buf_append_byte(out, '-');
    }
}

void log_line_format(const json_t *event, struct buf *out)
{
    const char *name = json_string_value(json_object_get(event, "event"));
    put_time(event, out);
    for (size_t i = 0; name != NULL && i < sizeof sentences / sizeof sentences[0]; i++)
        if (strcmp(sentences[i].event, name) == 0) {
            log_line_fill(sentences[i].pattern, event, out);
            return;
        }
    say_clean(out, bytes_of_text(name == NULL ? "(no event)" : name));
    put_fields(event, out);
}
