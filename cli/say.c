/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/say.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/log.h"

#define LINE_BYTES_MAX (4u << 20)

/* log_escape quotes what it is given; the quotes go, and quotes inside need no escaping here. */
static void clean_run(struct buf *out, struct bytes run)
{
    struct buf quoted = buf_new(LINE_BYTES_MAX);
    log_escape(&quoted, run);
    if (quoted.failed == 0 && quoted.size >= 2)
        buf_append(out, quoted.data + 1, quoted.size - 2);
    buf_fini(&quoted);
}

void say_clean(struct buf *out, struct bytes text)
{
    size_t start = 0;
    for (size_t i = 0; i < text.size; i++) {
        if (text.data[i] != '"' && text.data[i] != '\\')
            continue;
        clean_run(out, bytes_of(text.data + start, i - start));
        buf_append_byte(out, text.data[i]);
        start = i + 1;
    }
    clean_run(out, bytes_of(text.data + start, text.size - start));
}

static void print_clean(FILE *to, const char *text)
{
    struct buf line = buf_new(LINE_BYTES_MAX);
    say_clean(&line, bytes_of_text(text));
    fprintf(to, "%s\n", buf_text(&line));
    buf_fini(&line);
}

int say_error(const char *command, int code, const struct err *err)
{
    char text[ERR_TEXT_MAX + 128];
    snprintf(text, sizeof text, "%s: %s", command, err->text);
    print_clean(stderr, text);
    if (code == ERR_USAGE)
        fprintf(stderr, "%s --help tells what it takes\n", command);
    return say_status(code);
}

int say_status(int code)
{
    return code == ERR_LIMIT || code == ERR_UNSUPPORTED ? 1 : err_exit(code);
}

const char *say_short(const char *path, char out[SAY_SHORT])
{
    static const char gap[] = "[...]";
    size_t size = strlen(path), head = (SAY_SHORT - sizeof gap) / 2;
    size_t tail = SAY_SHORT - sizeof gap - head;
    if (size < SAY_SHORT) {
        memcpy(out, path, size + 1);
        return out;
    }
    /* Not within a character: its first byte begins the tail, and ends behind the head. */
    while (head > 0 && ((unsigned char)path[head] & 0xc0) == 0x80)
        head--;
    while (tail > 0 && ((unsigned char)path[size - tail] & 0xc0) == 0x80)
        tail--;
    snprintf(out, SAY_SHORT, "%.*s%s%s", (int)head, path, gap, path + size - tail);
    return out;
}

int say_usage(const char *command, const char *format, ...)
{
    struct err err = {.code = ERR_USAGE};
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(err.text, sizeof err.text, format, arguments);
    va_end(arguments);
    return say_error(command, ERR_USAGE, &err);
}

void say_line(const char *format, ...)
{
    char *text = NULL;
    va_list arguments;
    va_start(arguments, format);
    int size = vasprintf(&text, format, arguments);
    va_end(arguments);
    if (size >= 0) {
        print_clean(stdout, text);
        free(text);
    }
}

int say_json_row(json_t *object, struct err *err)
{
    char *text = object == NULL
                     ? NULL
                     : json_dumps(object, JSON_COMPACT | JSON_PRESERVE_ORDER | JSON_ENSURE_ASCII |
                                              JSON_REAL_PRECISION(17));
    json_decref(object);
    if (text == NULL)
        return err_set(err, ERR_NOMEM, "out of memory, or text that is not UTF-8");
    puts(text);
    free(text);
    return 0;
}

int say_json(json_t *object)
{
    struct err err = {0};
    int rc = say_json_row(object, &err);
    return rc != 0 ? say_error("colmeia", rc, &err) : 0;
}
