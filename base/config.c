/* SPDX-License-Identifier: Apache-2.0 */
#include "base/config.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/files.h"
#include "base/text.h"

#define TABLE_NAME_MAX 128
#define KEYS_MAX       128
#define NUMBER_MAX     64

struct reader {
    const char *path;
    const char *at, *end;
    unsigned line;
    char table[TABLE_NAME_MAX];
    const struct config_key *keys;
    size_t key_count;
    bool seen[KEYS_MAX];
    bool table_seen[KEYS_MAX]; /* at the first key of the table */
    struct err *err;
};

struct value {
    enum config_type type;
    char text[CONFIG_TEXT_MAX]; /* of a number: its digits, for messages */
    bool truth;
    bool negative; /* of an integer */
    uint64_t magnitude;
    double number;
    struct config_list list;
    struct config_uint_list numbers;
};

static int bad(struct reader *r, const char *what)
{
    return err_set(r->err, ERR_USAGE, "%s:%u: %s", r->path, r->line, what);
}

static void skip_blanks(struct reader *r)
{
    while (r->at < r->end && (*r->at == ' ' || *r->at == '\t'))
        r->at++;
}

static void skip_comment(struct reader *r)
{
    skip_blanks(r);
    if (r->at < r->end && *r->at == '#')
        while (r->at < r->end && *r->at != '\n')
            r->at++;
}

static void skip_return(struct reader *r)
{
    if (r->end - r->at >= 2 && r->at[0] == '\r' && r->at[1] == '\n')
        r->at++;
}

/* Blanks, comments and line ends, as may stand inside an array or between statements. */
static void skip_lines(struct reader *r)
{
    for (;;) {
        skip_comment(r);
        skip_return(r);
        if (r->at >= r->end || *r->at != '\n')
            return;
        r->at++;
        r->line++;
    }
}

static int end_of_line(struct reader *r)
{
    skip_comment(r);
    skip_return(r);
    if (r->at < r->end && *r->at != '\n')
        return bad(r, "something behind the value; one statement a line");
    return 0;
}

static bool is_bare(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' ||
           c == '-';
}

static int take_name(struct reader *r, char *out, size_t size, bool dots)
{
    size_t n = 0;
    while (r->at < r->end && (is_bare(*r->at) || (dots && *r->at == '.'))) {
        if (n + 1 >= size)
            return bad(r, "a name that is too long");
        out[n++] = *r->at++;
    }
    out[n] = '\0';
    return n > 0 ? 0 : bad(r, "expected a bare key (letters, digits, - and _)");
}

static int put_utf8(struct reader *r, uint32_t point, char *out, size_t *n)
{
    if (point == 0 || point > 0x10ffff || (point >= 0xd800 && point <= 0xdfff))
        return bad(r, "an escape that names no character");
    size_t length = point < 0x80 ? 1 : point < 0x800 ? 2 : point < 0x10000 ? 3 : 4;
    if (*n + length >= CONFIG_TEXT_MAX)
        return bad(r, "a string that is too long");
    static const uint8_t lead[] = {0, 0, 0xc0, 0xe0, 0xf0};
    for (size_t i = length; i-- > 1; point >>= 6)
        out[*n + i] = (char)(0x80 | (point & 0x3f));
    out[*n] = (char)(lead[length] | point);
    *n += length;
    return 0;
}

static int take_escape(struct reader *r, char *out, size_t *n)
{
    static const char names[] = "btnfr\"\\", values[] = "\b\t\n\f\r\"\\";
    char c = r->at < r->end ? *r->at++ : '\0';
    const char *known = c == '\0' ? NULL : strchr(names, c);
    if (known != NULL)
        return put_utf8(r, (uint8_t)values[known - names], out, n);
    int digits = c == 'u' ? 4 : c == 'U' ? 8 : 0;
    if (digits == 0 || r->end - r->at < digits)
        return bad(r, "an unknown escape in a string");
    uint32_t point = 0;
    for (int i = 0; i < digits; i++) {
        char d = *r->at++;
        int value = d >= '0' && d <= '9'   ? d - '0'
                    : d >= 'a' && d <= 'f' ? d - 'a' + 10
                    : d >= 'A' && d <= 'F' ? d - 'A' + 10
                                           : -1;
        if (value < 0 || point > 0xfffffff)
            return bad(r, "a bad \\u escape in a string");
        point = point << 4 | (uint32_t)value;
    }
    return put_utf8(r, point, out, n);
}

static int take_string(struct reader *r, char out[CONFIG_TEXT_MAX])
{
    size_t n = 0;
    if (r->end - r->at >= 3 && memcmp(r->at, "\"\"\"", 3) == 0)
        return bad(r, "multi-line strings are not supported");
    r->at++;
    for (;;) {
        if (r->at >= r->end || *r->at == '\n')
            return bad(r, "a string without its closing quote");
        char c = *r->at++;
        if (c == '"')
            break;
        if (c == '\\') {
            int rc = take_escape(r, out, &n);
            if (rc != 0)
                return rc;
            continue;
        }
        if (((unsigned char)c < 0x20 && c != '\t') || c == 0x7f)
            return bad(r, "a control character in a string");
        if (n + 1 >= CONFIG_TEXT_MAX)
            return bad(r, "a string that is too long");
        out[n++] = c;
    }
    out[n] = '\0';
    return text_is_utf8(bytes_of(out, n)) ? 0 : bad(r, "a string that is not UTF-8");
}

/* [+-] 0 or digits that begin with 1..9, then a fraction, then an exponent. */
static bool is_number(const char *text, bool *real)
{
    static const char decimal[] = "0123456789";
    const char *at = text + (*text == '+' || *text == '-');
    size_t n = strspn(at, decimal);
    if (n == 0 || (n > 1 && *at == '0'))
        return false;
    at += n;
    *real = *at != '\0';
    if (*at == '.') {
        n = strspn(++at, decimal);
        at += n;
    }
    if (n > 0 && (*at == 'e' || *at == 'E')) {
        at++;
        at += *at == '+' || *at == '-';
        n = strspn(at, decimal);
        at += n;
    }
    return n > 0 && *at == '\0';
}

static int bad_value(struct reader *r, const char *text)
{
    return err_set(
        r->err, ERR_USAGE,
        "%s:%u: not a value: %.40s%s(a value is a \"string\", a decimal number, true, false "
        "or an [\"array\"])",
        r->path, r->line, text, *text == '\0' ? "" : " ");
}

/* Reads a word of a number's or a truth value's characters, underscores between digits left out. */
static int take_word(struct reader *r, char *out, size_t size)
{
    size_t n = 0;
    while (r->at < r->end && (is_bare(*r->at) || *r->at == '+' || *r->at == '.' || *r->at == ':')) {
        char c = *r->at++;
        if (c == '_') {
            bool inside = n > 0 && out[n - 1] >= '0' && out[n - 1] <= '9' && r->at < r->end &&
                          *r->at >= '0' && *r->at <= '9';
            if (!inside)
                return bad(r, "an underscore that is not between digits");
            continue;
        }
        if (n + 1 >= size)
            return bad(r, "a number that is too long");
        out[n++] = c;
    }
    out[n] = '\0';
    return 0;
}

static int take_number(struct reader *r, struct value *v)
{
    char *digits = v->text;
    bool real = false;
    int rc = take_word(r, digits, NUMBER_MAX);
    if (rc != 0)
        return rc;
    if (strcmp(digits, "true") == 0 || strcmp(digits, "false") == 0) {
        v->type = CONFIG_BOOL;
        v->truth = digits[0] == 't';
        return 0;
    }
    if (!is_number(digits, &real))
        return bad_value(r, digits);
    if (text_parse_double(digits, &v->number, NULL) != 0)
        return bad(r, "a number that is too large");
    v->type = real ? CONFIG_DOUBLE : CONFIG_UINT;
    v->negative = digits[0] == '-';
    const char *first = digits + (digits[0] == '-' || digits[0] == '+');
    if (!real && text_parse_uint(first, UINT64_MAX, &v->magnitude, NULL) != 0)
        return bad(r, "an integer that is too large");
    return 0;
}

static int take_text_item(struct reader *r, struct config_list *list)
{
    if (r->at >= r->end || *r->at != '"')
        return bad(r, "expected a \"string\" or ] in the array");
    if (list->count == CONFIG_LIST_MAX)
        return bad(r, "an array with too many items");
    void *items = realloc(list->items, (list->count + 1) * sizeof *list->items);
    if (items == NULL)
        return err_set(r->err, ERR_NOMEM, "out of memory");
    list->items = items;
    int rc = take_string(r, list->items[list->count]);
    if (rc == 0)
        list->count++;
    return rc;
}

static int take_uint_item(struct reader *r, struct config_uint_list *list)
{
    struct value item = {.type = CONFIG_TEXT};
    if (r->at < r->end && ((*r->at >= '0' && *r->at <= '9') || *r->at == '-' || *r->at == '+')) {
        int rc = take_number(r, &item);
        if (rc != 0)
            return rc;
    }
    if (item.type != CONFIG_UINT || item.negative)
        return bad(r, "expected a whole number that is not negative or ] in the array");
    if (list->count == CONFIG_UINTS_MAX)
        return bad(r, "an array with too many items");
    list->items[list->count++] = item.magnitude;
    return 0;
}

/* `type`: of strings unless the key wants numbers. */
static int take_list(struct reader *r, enum config_type type, struct value *v)
{
    v->type = type == CONFIG_UINT_LIST ? type : CONFIG_TEXT_LIST;
    r->at++;
    for (;;) {
        skip_lines(r);
        if (r->at < r->end && *r->at == ']') {
            r->at++;
            return 0;
        }
        int rc = v->type == CONFIG_UINT_LIST ? take_uint_item(r, &v->numbers)
                                             : take_text_item(r, &v->list);
        if (rc != 0)
            return rc;
        skip_lines(r);
        if (r->at < r->end && *r->at == ',')
            r->at++;
        else if (r->at >= r->end || *r->at != ']')
            return bad(r, "expected , or ] in the array");
    }
}

static int take_value(struct reader *r, enum config_type type, struct value *v)
{
    char c = r->at < r->end ? *r->at : '\0';
    if (c == '"') {
        v->type = CONFIG_TEXT;
        return take_string(r, v->text);
    }
    if (c == '[')
        return take_list(r, type, v);
    if (c == '\'')
        return bad(r, "literal strings ('...') are not supported; use \"...\"");
    if (c == '{')
        return bad(r, "inline tables are not supported; use a [table]");
    return take_number(r, v);
}

/* --- against the schema --- */

/* For people. */
static const char *wanted(const struct config_key *k)
{
    static const char *const kinds[] = {[CONFIG_TEXT] = "a \"string\"",
                                        [CONFIG_UINT] = "a whole number that is not negative",
                                        [CONFIG_DOUBLE] = "a number",
                                        [CONFIG_BOOL] = "true or false",
                                        [CONFIG_TEXT_LIST] = "an array of \"strings\"",
                                        [CONFIG_UINT_LIST] = "an array of whole numbers"};
    return k->allowed != NULL ? k->allowed : kinds[k->type];
}

static int not_allowed(struct reader *r, const struct config_key *k, const char *found)
{
    return err_set(r->err, ERR_USAGE, "%s:%u: %s: must be %s, not %s", r->path, r->line, k->name,
                   wanted(k), found);
}

static const char *describe(const struct value *v, char *out, size_t size)
{
    if (v->type == CONFIG_TEXT)
        snprintf(out, size, "\"%.60s\"", v->text);
    else if (v->type == CONFIG_BOOL)
        snprintf(out, size, "%s", v->truth ? "true" : "false");
    else if (v->type == CONFIG_TEXT_LIST || v->type == CONFIG_UINT_LIST)
        snprintf(out, size, "an array");
    else
        snprintf(out, size, "%s", v->text);
    return out;
}

/* Is `text` one of "a | b | c"? A sentence without bars allows any text. */
static bool is_alternative(const char *allowed, const char *text)
{
    if (allowed == NULL || strstr(allowed, " | ") == NULL)
        return true;
    size_t n = strlen(text);
    for (const char *at = allowed; at != NULL;) {
        const char *bar = strstr(at, " | ");
        size_t length = bar == NULL ? strlen(at) : (size_t)(bar - at);
        if (length == n && memcmp(at, text, n) == 0)
            return true;
        at = bar == NULL ? NULL : bar + 3;
    }
    return false;
}

static bool in_range(const struct config_key *k, double number)
{
    return (k->least == 0 && k->most == 0) || (number >= k->least && number <= k->most);
}

static int assign_numbers(struct reader *r, const struct config_key *k,
                          const struct config_uint_list *numbers)
{
    char found[TEXT_SMALL];
    for (size_t i = 0; i < numbers->count; i++) {
        snprintf(found, sizeof found, "%llu", (unsigned long long)numbers->items[i]);
        if (!in_range(k, (double)numbers->items[i]))
            return not_allowed(r, k, found);
    }
    *(struct config_uint_list *)k->target = *numbers;
    return 0;
}

static int assign(struct reader *r, const struct config_key *k, struct value *v)
{
    char found[80];
    bool numeric = v->type == CONFIG_UINT || v->type == CONFIG_DOUBLE;
    if (k->type == CONFIG_TEXT && v->type == CONFIG_TEXT && strlen(v->text) >= k->size)
        return err_set(r->err, ERR_USAGE, "%s:%u: %s: longer than %zu bytes", r->path, r->line,
                       k->name, k->size - 1);
    if (k->type == CONFIG_TEXT && v->type == CONFIG_TEXT && is_alternative(k->allowed, v->text)) {
        memcpy(k->target, v->text, strlen(v->text) + 1);
    } else if (k->type == CONFIG_UINT && v->type == CONFIG_UINT && !v->negative &&
               in_range(k, v->number)) {
        *(uint64_t *)k->target = v->magnitude;
    } else if (k->type == CONFIG_DOUBLE && numeric && in_range(k, v->number)) {
        *(double *)k->target = v->number;
    } else if (k->type == CONFIG_BOOL && v->type == CONFIG_BOOL) {
        *(bool *)k->target = v->truth;
    } else if (k->type == CONFIG_TEXT_LIST && v->type == CONFIG_TEXT_LIST) {
        *(struct config_list *)k->target = v->list;
        v->list = (struct config_list){0};
    } else if (k->type == CONFIG_UINT_LIST && v->type == CONFIG_UINT_LIST) {
        return assign_numbers(r, k, &v->numbers);
    } else {
        return not_allowed(r, k, describe(v, found, sizeof found));
    }
    return 0;
}

/* A list too long for a sentence is left to the manual. */
static const char *list_text(struct buf *list)
{
    return list->failed ? "see the manual" : buf_text(list);
}

static int unknown_key(struct reader *r, const char *name)
{
    struct buf known = buf_new(ERR_TEXT_MAX / 2);
    for (size_t i = 0; i < r->key_count; i++)
        if (strcmp(r->keys[i].table, r->table) == 0)
            buf_append_format(&known, "%s%s", known.size > 0 ? ", " : "", r->keys[i].name);
    bool top = r->table[0] == '\0';
    int rc = err_set(r->err, ERR_USAGE, "%s:%u: %s: no such key %s%s%s; allowed: %s", r->path,
                     r->line, name, top ? "outside the tables" : "in [", r->table, top ? "" : "]",
                     known.size > 0 ? list_text(&known) : "none");
    buf_fini(&known);
    return rc;
}

static int take_pair(struct reader *r)
{
    char name[TABLE_NAME_MAX];
    unsigned line = r->line;
    int rc = take_name(r, name, sizeof name, false);
    if (rc != 0)
        return rc;
    skip_blanks(r);
    if (r->at < r->end && *r->at == '.')
        return bad(r, "dotted keys are not supported; use a [table]");
    if (r->at >= r->end || *r->at != '=')
        return bad(r, "expected = behind the key");
    r->at++;
    skip_blanks(r);
    size_t i = 0;
    while (i < r->key_count &&
           (strcmp(r->keys[i].table, r->table) != 0 || strcmp(r->keys[i].name, name) != 0))
        i++;
    if (i == r->key_count)
        return unknown_key(r, name);
    if (r->seen[i])
        return err_set(r->err, ERR_USAGE, "%s:%u: %s: stands here a second time", r->path, r->line,
                       name);
    r->seen[i] = true;
    struct value v = {0};
    rc = take_value(r, r->keys[i].type, &v);
    if (rc == 0)
        rc = end_of_line(r);
    if (rc == 0) {
        unsigned end_line = r->line;
        r->line = line;
        rc = assign(r, &r->keys[i], &v);
        r->line = end_line;
    }
    config_list_fini(&v.list);
    return rc;
}

/* The key of the schema that stands first in the present table, or the count. */
static size_t first_key(const struct reader *r)
{
    size_t i = 0;
    while (i < r->key_count && strcmp(r->keys[i].table, r->table) != 0)
        i++;
    return i;
}

static int unknown_table(struct reader *r)
{
    struct buf known = buf_new(ERR_TEXT_MAX / 2);
    for (size_t i = 0; i < r->key_count; i++)
        if (r->keys[i].table[0] != '\0' &&
            (i == 0 || strcmp(r->keys[i].table, r->keys[i - 1].table) != 0))
            buf_append_format(&known, "%s[%s]", known.size > 0 ? ", " : "", r->keys[i].table);
    int rc = err_set(r->err, ERR_USAGE, "%s:%u: [%s]: no such table; allowed: %s", r->path, r->line,
                     r->table, known.size > 0 ? list_text(&known) : "none");
    buf_fini(&known);
    return rc;
}

static int take_table(struct reader *r)
{
    r->at++;
    if (r->at < r->end && *r->at == '[')
        return bad(r, "arrays of tables ([[...]]) are not supported");
    int rc = take_name(r, r->table, sizeof r->table, true);
    if (rc != 0)
        return rc;
    if (r->at >= r->end || *r->at != ']')
        return bad(r, "expected ] behind the table's name");
    r->at++;
    size_t i = first_key(r);
    if (i == r->key_count)
        return unknown_table(r);
    if (r->table_seen[i])
        return err_set(r->err, ERR_USAGE, "%s:%u: [%s]: stands here a second time", r->path,
                       r->line, r->table);
    r->table_seen[i] = true;
    return end_of_line(r);
}

int config_parse(const char *path, struct bytes text, const struct config_key *keys, size_t count,
                 struct err *err)
{
    if (count > KEYS_MAX)
        return err_set(err, ERR_LIMIT, "%s: more than %d keys in the schema", path, KEYS_MAX);
    struct reader r = {.path = path,
                       .at = (const char *)text.data,
                       .end = (const char *)text.data + text.size,
                       .line = 1,
                       .keys = keys,
                       .key_count = count,
                       .err = err};
    for (;;) {
        skip_lines(&r);
        if (r.at >= r.end)
            break;
        int rc = *r.at == '[' ? take_table(&r) : take_pair(&r);
        if (rc != 0)
            return rc;
    }
    for (size_t i = 0; i < count; i++)
        if (keys[i].required && !r.seen[i])
            return err_set(err, ERR_USAGE, "%s: %s%s%s%s is missing; it must be %s", path,
                           keys[i].table[0] ? "[" : "", keys[i].table, keys[i].table[0] ? "] " : "",
                           keys[i].name, wanted(&keys[i]));
    return 0;
}

int config_load(const char *path, const struct config_key *keys, size_t count, struct err *err)
{
    struct buf text = buf_new(CONFIG_BYTES_MAX);
    int rc = files_load(files_posix(), path, &text, err);
    if (rc != 0)
        rc = err_wrap(err, rc == ERR_IO || rc == ERR_NOMEM ? rc : ERR_USAGE, "configuration");
    else
        rc = config_parse(path, buf_bytes(&text), keys, count, err);
    buf_fini(&text);
    return rc;
}

void config_list_fini(struct config_list *l)
{
    free(l->items);
    l->items = NULL;
    l->count = 0;
}

void config_put_text(struct buf *out, const char *text)
{
    buf_append_byte(out, '"');
    for (const char *c = text; *c != '\0'; c++) {
        if (*c == '"' || *c == '\\')
            buf_append_format(out, "\\%c", *c);
        else if ((unsigned char)*c < 0x20 || *c == 0x7f)
            buf_append_format(out, "\\u%04x", (unsigned char)*c);
        else
            buf_append_byte(out, (uint8_t)*c);
    }
    buf_append_byte(out, '"');
}
