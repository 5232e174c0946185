/* SPDX-License-Identifier: Apache-2.0 */
#include "transport/gateway_want.h"

#include <stdlib.h>
#include <strings.h>

#define QUALITY_MAX 1000
#define SPACE       " \t"

static const struct {
    const char *name, *type;
    enum gateway_format format;
} formats[] = {
    {"raw", "application/vnd.ipld.raw", GATEWAY_RAW},
    {"car", "application/vnd.ipld.car", GATEWAY_CAR},
    {"ipns-record", "application/vnd.ipfs.ipns-record", GATEWAY_RECORD},
    {"dag-json", "application/vnd.ipld.dag-json", GATEWAY_DAG_JSON},
    {"dag-cbor", "application/vnd.ipld.dag-cbor", GATEWAY_DAG_CBOR},
    {"json", "application/json", GATEWAY_JSON},
    {"cbor", "application/cbor", GATEWAY_CBOR},
    {NULL, "text/html", GATEWAY_FILE},
};

#define FORMAT_COUNT (sizeof formats / sizeof formats[0])

/* --- numbers --- */

/* At most 18 digits, so that sums of two do not overflow. */
static bool read_number(const char **at, uint64_t *out)
{
    size_t digits = strspn(*at, "0123456789");
    char *end;
    if (digits == 0 || digits > 18)
        return false;
    *out = strtoull(*at, &end, 10);
    *at = end;
    return true;
}

/* --- lists --- */

static bool ends_item(char c)
{
    return c == '\0' || c == ',' || c == ';' || c == ' ' || c == '\t';
}

bool gateway_want_lists(const char *list, const char *item)
{
    size_t size = strlen(item);
    for (const char *at = list; at != NULL; at = strchr(at, ',')) {
        at += strspn(at, "," SPACE);
        if (strncasecmp(at, item, size) == 0 && ends_item(at[size]))
            return true;
    }
    return false;
}

bool gateway_want_matches(const char *if_none_match, const char *etag)
{
    size_t size = strlen(etag);
    for (const char *at = if_none_match; at != NULL; at = strchr(at, ',')) {
        at += strspn(at, "," SPACE);
        if (*at == '*')
            return true;
        if (strncmp(at, "W/", 2) == 0)
            at += 2;
        if (strncmp(at, etag, size) == 0 && ends_item(at[size]))
            return true;
    }
    return false;
}

/* --- Accept --- */

struct parameter {
    const char *name, *value;
    size_t name_size, value_size;
};

/* The next `;name=value` at `*at`, which ends before ',' or the end. */
static bool next_parameter(const char **at, struct parameter *out)
{
    const char *p = *at + strspn(*at, ";" SPACE);
    *at = p; /* also when there is none: whoever asks again must get on */
    if (*p == '\0' || *p == ',')
        return false;
    out->name = p;
    out->name_size = strcspn(p, "=;, \t");
    p += out->name_size;
    p += strspn(p, SPACE);
    out->value = p;
    out->value_size = 0;
    if (*p == '=') {
        p += 1 + strspn(p + 1, SPACE);
        bool quoted = *p == '"';
        out->value = quoted ? p + 1 : p;
        out->value_size = quoted ? strcspn(p + 1, "\"") : strcspn(p, ";, \t");
        p = out->value + out->value_size;
        if (quoted && *p == '"')
            p++;
    }
    *at = p + strcspn(p, ";,"); /* whatever else stands there is nothing we know */
    return true;
}

static bool is_word(const char *text, size_t size, const char *word)
{
    return strlen(word) == size && strncasecmp(text, word, size) == 0;
}

/* 0.5 as 500; what is no quality counts as none given. */
static unsigned read_quality(const struct parameter *p)
{
    unsigned value = p->value_size == 0 ? QUALITY_MAX : 0, unit = QUALITY_MAX;
    for (size_t i = 0; i < p->value_size && i < 5; i++) {
        char c = p->value[i];
        if (i == 1 && c == '.')
            continue;
        if (c < '0' || c > '9')
            return QUALITY_MAX;
        value += (unsigned)(c - '0') * unit;
        unit /= 10;
    }
    return value > QUALITY_MAX ? QUALITY_MAX : value;
}

struct variant {
    unsigned quality;
    bool makeable; /* no parameter of a CAR that we do not know */
    int dups;
};

static void read_car_parameter(const struct parameter *p, struct variant *v)
{
    if (is_word(p->name, p->name_size, "version"))
        v->makeable = v->makeable && is_word(p->value, p->value_size, "1");
    if (is_word(p->name, p->name_size, "order"))
        v->makeable = v->makeable && (is_word(p->value, p->value_size, "dfs") ||
                                      is_word(p->value, p->value_size, "unk"));
    if (!is_word(p->name, p->name_size, "dups"))
        return;
    v->dups = is_word(p->value, p->value_size, "y") ? 1 : 0;
    v->makeable = v->makeable && (v->dups == 1 || is_word(p->value, p->value_size, "n"));
}

static struct variant read_parameters(const char **at, bool car)
{
    struct variant v = {.quality = QUALITY_MAX, .makeable = true, .dups = -1};
    struct parameter p;
    while (next_parameter(at, &p)) {
        if (is_word(p.name, p.name_size, "q"))
            v.quality = read_quality(&p);
        else if (car)
            read_car_parameter(&p, &v);
    }
    return v;
}

static size_t find_type(const char *text, size_t size)
{
    for (size_t i = 0; i < FORMAT_COUNT; i++)
        if (is_word(text, size, formats[i].type))
            return i;
    return FORMAT_COUNT;
}

bool gateway_want_accept(const char *accept, struct gateway_accept *out)
{
    unsigned best = 0, best_car = 0;
    bool refused = false;
    *out = (struct gateway_accept){.car_dups = -1};
    for (const char *at = accept; at != NULL && *at != '\0';) {
        at += strspn(at, "," SPACE);
        size_t size = strcspn(at, ";, \t");
        size_t type = find_type(at, size);
        bool car = type < FORMAT_COUNT && formats[type].format == GATEWAY_CAR;
        at += size;
        struct variant v = read_parameters(&at, car);
        refused = refused || (car && !v.makeable);
        if (car && v.makeable && v.quality > best_car) {
            best_car = v.quality;
            out->car = true;
            out->car_dups = v.dups;
        }
        if (type == FORMAT_COUNT || !v.makeable || v.quality <= best)
            continue;
        if (formats[type].format == GATEWAY_FILE) {
            out->html = true;
            continue;
        }
        best = v.quality;
        out->found = true;
        out->format = formats[type].format;
    }
    out->html = out->html && !out->found;
    return !refused || out->car;
}

/* --- ranges --- */

static bool read_bound(const char **at, bool *from_end, uint64_t *out)
{
    *from_end = **at == '-';
    *at += *from_end;
    return read_number(at, out);
}

bool gateway_want_entity_bytes(const char *text, struct gateway_bytes *out)
{
    struct gateway_bytes b = {0};
    if (!read_bound(&text, &b.from_end, &b.from) || *text++ != ':')
        return false;
    b.open = *text == '*';
    if (b.open)
        text++;
    else if (!read_bound(&text, &b.to_end, &b.to))
        return false;
    if (*text != '\0' ||
        (!b.open && b.from_end == b.to_end && (b.from_end ? b.from < b.to : b.from > b.to)))
        return false;
    *out = b;
    return true;
}

bool gateway_want_place(const struct gateway_bytes *b, uint64_t size, uint64_t *from, uint64_t *to)
{
    uint64_t first = b->from, last = size; /* `last`: the first byte not in it */
    if (b->from_end)
        first = b->from < size ? size - b->from : 0;
    if (b->to_end)
        last = b->to <= size ? size - b->to + 1 : 0;
    else if (!b->open)
        last = b->to < size ? b->to + 1 : size;
    if (last > size)
        last = size;
    if (size > 0 && (first >= size || last == 0))
        return false;
    *from = first;
    *to = last > first ? last : first;
    return true;
}

/* One range of a list: PART, OUTSIDE, or WHOLE for what is none. */
static enum gateway_range read_range(const char **at, uint64_t size, uint64_t *from, uint64_t *to)
{
    uint64_t first, last = UINT64_MAX;
    if (**at == '-') {
        ++*at;
        if (!read_number(at, &last))
            return GATEWAY_RANGE_WHOLE;
        *from = last < size ? size - last : 0;
        *to = size;
        return last == 0 || size == 0 ? GATEWAY_RANGE_OUTSIDE : GATEWAY_RANGE_PART;
    }
    if (!read_number(at, &first) || *(*at)++ != '-')
        return GATEWAY_RANGE_WHOLE;
    if (**at >= '0' && **at <= '9' && (!read_number(at, &last) || last < first))
        return GATEWAY_RANGE_WHOLE;
    *from = first;
    *to = last < size ? last + 1 : size;
    return first >= size ? GATEWAY_RANGE_OUTSIDE : GATEWAY_RANGE_PART;
}

enum gateway_range gateway_want_range(const char *text, uint64_t size, uint64_t *from, uint64_t *to)
{
    static const char unit[] = "bytes=";
    enum gateway_range found = GATEWAY_RANGE_OUTSIDE;
    uint64_t first = 0, last = 0, found_from = 0, found_to = 0;
    size_t count = 0;
    if (text == NULL || strncasecmp(text, unit, strlen(unit)) != 0)
        return GATEWAY_RANGE_WHOLE;
    for (const char *at = text + strlen(unit); count < GATEWAY_WANT_RANGES_MAX; count++) {
        at += strspn(at, SPACE);
        enum gateway_range one = read_range(&at, size, &first, &last);
        at += strspn(at, SPACE);
        if (one == GATEWAY_RANGE_WHOLE || (*at != ',' && *at != '\0'))
            return GATEWAY_RANGE_WHOLE;
        if (one == GATEWAY_RANGE_PART && found == GATEWAY_RANGE_OUTSIDE) {
            found = GATEWAY_RANGE_PART;
            found_from = first;
            found_to = last;
        }
        if (*at++ != '\0')
            continue;
        if (found == GATEWAY_RANGE_PART) {
            *from = found_from;
            *to = found_to;
        }
        return found;
    }
    return GATEWAY_RANGE_WHOLE;
}

/* --- the whole request --- */

static int find_format(const char *name, enum gateway_format *out, struct err *err)
{
    for (size_t i = 0; i < FORMAT_COUNT; i++)
        if (formats[i].name != NULL && strcmp(name, formats[i].name) == 0) {
            *out = formats[i].format;
            return 0;
        }
    if (strcmp(name, "tar") == 0) {
        (void)err_set(err, ERR_UNSUPPORTED, "format=tar is not made here; format=car is");
        return 406;
    }
    (void)err_set(err, ERR_USAGE,
                  "there is no such format; raw, car, ipns-record, dag-json, "
                  "dag-cbor, json and cbor are");
    return 400;
}

static int choose_format(const struct http_request *r, struct gateway_want *w,
                         struct gateway_accept *accept, struct err *err)
{
    const char *format = r->query(r, "format");
    bool makeable = gateway_want_accept(r->header(r, "Accept"), accept);
    w->format = accept->found ? accept->format : GATEWAY_FILE;
    w->html = accept->html;
    w->negotiated = accept->found;
    if (format != NULL) {
        int status = find_format(format, &w->format, err);
        if (status != 0)
            return status;
        w->negotiated = accept->found && accept->format != w->format;
    }
    if (!makeable && (format == NULL || w->format == GATEWAY_CAR)) {
        (void)err_set(err, ERR_UNSUPPORTED,
                      "CARs are made with version=1, order=dfs or unk, dups=y or n");
        return 406;
    }
    return 0;
}

static bool is_one_of(const char *value, const char *first, const char *second)
{
    return value == NULL || strcmp(value, first) == 0 || strcmp(value, second) == 0;
}

static int read_car(const struct http_request *r, const struct gateway_accept *accept,
                    struct gateway_want *w, struct err *err)
{
    const char *scope = r->query(r, "dag-scope"), *bytes = r->query(r, "entity-bytes");
    const char *dups = r->query(r, "car-dups");
    if (!is_one_of(r->query(r, "car-version"), "1", "1")) {
        (void)err_set(err, ERR_UNSUPPORTED, "car-version=1 is what there is");
        return 400;
    }
    if (!is_one_of(r->query(r, "car-order"), "dfs", "unk") || !is_one_of(dups, "y", "n")) {
        (void)err_set(err, ERR_UNSUPPORTED, "car-order is dfs or unk, car-dups y or n");
        return 400;
    }
    w->dups = dups != NULL ? strcmp(dups, "y") == 0 : accept->car && accept->car_dups == 1;
    w->scope = GATEWAY_ALL;
    if (scope != NULL && strcmp(scope, "block") == 0)
        w->scope = GATEWAY_BLOCK;
    else if (scope != NULL && strcmp(scope, "entity") == 0)
        w->scope = GATEWAY_ENTITY;
    else if (scope != NULL && strcmp(scope, "all") != 0) {
        (void)err_set(err, ERR_USAGE, "dag-scope is block, entity or all");
        return 400;
    }
    if (bytes == NULL)
        return 0;
    if (!gateway_want_entity_bytes(bytes, &w->bytes)) {
        (void)err_set(err, ERR_USAGE, "entity-bytes is from:to, with to * for the end");
        return 400;
    }
    w->has_bytes = true;
    w->scope = GATEWAY_ENTITY;
    return 0;
}

static int read_name(const struct http_request *r, struct gateway_want *w, struct err *err)
{
    const char *name = r->query(r, "filename");
    struct buf out = buf_new(sizeof w->filename - 1);
    if (name == NULL)
        return 0;
    bool good = http_server_unescape(name, &out, err) == 0;
    if (good)
        memcpy(w->filename, buf_text(&out), out.size + 1);
    buf_fini(&out);
    if (good)
        return 0;
    (void)err_wrap(err, ERR_USAGE, "filename");
    return 400;
}

int gateway_want_read(const struct http_request *r, struct gateway_want *out, struct err *err)
{
    struct gateway_want w = {0};
    struct gateway_accept accept;
    const char *cache = r->header(r, "Cache-Control"), *download = r->query(r, "download");
    int status = choose_format(r, &w, &accept, err);
    if (status == 0 && w.format == GATEWAY_CAR)
        status = read_car(r, &accept, &w, err);
    if (status == 0)
        status = read_name(r, &w, err);
    if (status != 0)
        return status;
    w.only_if_cached = cache != NULL && gateway_want_lists(cache, "only-if-cached");
    w.download = download != NULL && strcmp(download, "true") == 0;
    *out = w;
    return 0;
}
