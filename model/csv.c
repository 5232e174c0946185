/* SPDX-License-Identifier: Apache-2.0 */
#include "model/csv.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/files.h"
#include "base/text.h"

/* A file in memory, cut into fields where it lies: each field is unquoted and ended with NUL in
 * place. */
struct table {
    const char *path;
    char *at;           /* the next field */
    const char *end;    /* a NUL stands there */
    size_t line;        /* of `at`, from 1 */
    size_t columns;     /* named by the header */
    const char **names; /* (CSV_COLUMNS_MAX) */
    size_t target;      /* column number, from 0 */
};

/* Quotes the column's name if it has one. */
static int bad_field(const struct table *t, size_t column, const char *why, struct err *err)
{
    if (column < t->columns)
        return err_set(err, ERR_MALFORMED, "%s: line %zu, column %zu (\"%.80s\"): %s", t->path,
                       t->line, column + 1, t->names[column], why);
    return err_set(err, ERR_MALFORMED, "%s: line %zu, column %zu: %s", t->path, t->line, column + 1,
                   why);
}

/* Unquotes the field at `from`, which begins with a quote, in place. Returns what stands behind the
 * closing quote, NULL if there is none on this line; *to is the field's end. */
static char *unquote(char *from, char **to)
{
    char *write = from, *read = from + 1;
    while (*read != '\0' && *read != '\n') {
        if (*read == '"') {
            if (read[1] != '"') {
                *to = write;
                return read + 1;
            }
            read++;
        }
        *write++ = *read++;
    }
    return NULL;
}

/* Takes a field of column `column`; *last says that its line ends with it. */
static int take_field(struct table *t, size_t column, const char **out, bool *last, struct err *err)
{
    char *field = t->at, *to, *next;
    if (*field == '"') {
        next = unquote(field, &to);
        if (next == NULL)
            return bad_field(t, column, "a quote is not closed on its line", err);
    } else {
        to = next = field + strcspn(field, ",\"\r\n");
    }
    if (next[0] == '\r' && next[1] == '\n')
        next++;
    bool at_end = next == t->end;
    if (*next != ',' && *next != '\n' && !at_end)
        return bad_field(t, column, "a stray quote, carriage return or NUL byte", err);
    *last = *next != ',';
    t->at = at_end ? next : next + 1;
    *to = '\0';
    *out = field;
    return 0;
}

static int take_header(struct table *t, const char *target, struct err *err)
{
    bool last = false, found = false;
    size_t count = 0;
    for (; !last; count++) {
        if (count == CSV_COLUMNS_MAX)
            return err_set(err, ERR_LIMIT, "%s: line 1, column %zu: more than %d columns", t->path,
                           count + 1, CSV_COLUMNS_MAX);
        int rc = take_field(t, count, &t->names[count], &last, err);
        if (rc != 0)
            return rc;
        if (strcmp(t->names[count], target) != 0)
            continue;
        if (found)
            return err_set(err, ERR_MALFORMED, "%s: line 1, column %zu: a second column \"%.80s\"",
                           t->path, count + 1, target);
        found = true;
        t->target = count;
    }
    if (!found)
        return err_set(err, ERR_MALFORMED, "%s: line 1: no column \"%.80s\"", t->path, target);
    if (count == 1)
        return err_set(err, ERR_MALFORMED, "%s: line 1: no column besides \"%.80s\"", t->path,
                       target);
    t->columns = count;
    t->line = 2;
    return 0;
}

/* strtof knows more than a table should hold (hexadecimal, "inf", "nan", white space), so its
 * letters are looked at first. */
static bool parse_number(const char *text, float *out)
{
    char *end;
    if (text[strspn(text, "0123456789+-.eE")] != '\0')
        return false;
    *out = strtof(text, &end);
    return end != text && *end == '\0' && isfinite(*out);
}

static int parse_class(const struct table *t, const char *text, uint32_t classes, uint32_t *out,
                       struct err *err)
{
    uint64_t value;
    if (text_parse_uint(text, UINT32_MAX, &value, NULL) != 0 || value >= classes) {
        char why[64];
        snprintf(why, sizeof why, "not a class number below %u", classes);
        return bad_field(t, t->target, why, err);
    }
    *out = (uint32_t)value;
    return 0;
}

/* Takes one line into row d->rows. */
static int take_row(struct table *t, uint32_t classes, struct dataset *d, struct err *err)
{
    float *x = d->x + d->rows * d->features;
    bool last = false;
    size_t column = 0;
    for (; !last; column++) {
        const char *field;
        int rc = take_field(t, column, &field, &last, err);
        if (rc == 0 && column == t->columns)
            rc = bad_field(t, column, "more fields than the header has columns", err);
        else if (rc == 0 && *field == '\0')
            rc = bad_field(t, column, "empty", err);
        else if (rc == 0 && column == t->target)
            rc = parse_class(t, field, classes, &d->y[d->rows], err);
        else if (rc == 0 && !parse_number(field, x++))
            rc = bad_field(t, column, "not a finite decimal number", err);
        if (rc != 0)
            return rc;
    }
    if (column < t->columns)
        return bad_field(t, column, "missing: the line ends before it", err);
    d->rows++;
    t->line++;
    return 0;
}

/* A bound on the rows left: lines, and what the bytes can hold, a field taking two (its separator
 * counted). */
static size_t count_rows(const struct table *t)
{
    size_t left = (size_t)(t->end - t->at), lines = 1;
    for (const char *at = t->at; (at = memchr(at, '\n', (size_t)(t->end - at))) != NULL; at++)
        lines++;
    size_t most = (left + 1) / (2 * t->columns) + 1;
    return lines < most ? lines : most;
}

static int take_rows(struct table *t, uint32_t classes, struct dataset *d, struct err *err)
{
    size_t most = count_rows(t);
    d->features = t->columns - 1;
    d->x = malloc(most * d->features * sizeof *d->x);
    d->y = malloc(most * sizeof *d->y);
    if (d->x == NULL || d->y == NULL)
        return err_set(err, ERR_NOMEM, "%s: %zu rows of %zu features: out of memory", t->path, most,
                       d->features);
    while (t->at < t->end) {
        int rc = take_row(t, classes, d, err);
        if (rc != 0)
            return rc;
    }
    if (d->rows == 0)
        return err_set(err, ERR_MALFORMED, "%s: line 2: no examples", t->path);
    return 0;
}

int csv_load(const char *path, const char *target, uint32_t classes, struct dataset *out,
             struct err *err)
{
    struct buf text = buf_new(CSV_BYTES_MAX);
    struct dataset d = {0};
    struct table t = {.path = path, .line = 1};
    int rc = files_load(files_posix(), path, &text, err);
    if (rc != 0)
        goto out;
    t.names = calloc(CSV_COLUMNS_MAX, sizeof *t.names);
    if (t.names == NULL || buf_text(&text)[0] == '\0') {
        rc = t.names == NULL ? err_set(err, ERR_NOMEM, "%s: out of memory", path)
                             : err_set(err, ERR_MALFORMED, "%s: line 1: no header", path);
        goto out;
    }
    t.at = (char *)text.data;
    t.end = t.at + text.size;
    if (strncmp(t.at, "\xef\xbb\xbf", 3) == 0)
        t.at += 3;
    rc = take_header(&t, target, err);
    if (rc == 0)
        rc = take_rows(&t, classes, &d, err);
    if (rc == 0) {
        *out = d;
        d = (struct dataset){0};
    }
out:
    dataset_fini(&d);
    free(t.names);
    buf_fini(&text);
    return rc;
}
