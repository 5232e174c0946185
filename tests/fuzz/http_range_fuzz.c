/* SPDX-License-Identifier: Apache-2.0 */
/* http_range: what a reader of the gateway may write into a request: Range, entity-bytes, Accept,
 * lists of entity tags, escapes. The input is lines, one each. Whatever is read lies in the entity
 * and says the same when it is asked in another way. */
#include <assert.h>
#include <stdlib.h>

#include "transport/gateway_routing.h"
#include "transport/gateway_want.h"

#define TEXT_MAX 4096

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const uint64_t sizes[] = {0, 1, 1026, 1u << 20, 1ull << 62};

#define SIZE_COUNT (sizeof sizes / sizeof sizes[0])

static void check_range(const char *text)
{
    for (size_t i = 0; i < SIZE_COUNT; i++) {
        uint64_t from = 7, to = 7;
        enum gateway_range is = gateway_want_range(text, sizes[i], &from, &to);
        assert(is != GATEWAY_RANGE_PART || (from < to && to <= sizes[i]));
        assert(is == GATEWAY_RANGE_PART || (from == 7 && to == 7)); /* untouched */
    }
}

static void check_entity_bytes(const char *text)
{
    struct gateway_bytes b;
    if (!gateway_want_entity_bytes(text, &b))
        return;
    for (size_t i = 0; i < SIZE_COUNT; i++) {
        uint64_t from, to;
        if (!gateway_want_place(&b, sizes[i], &from, &to))
            continue;
        assert(from <= to || sizes[i] == 0);
        assert(from == to || to <= sizes[i]);
        assert(sizes[i] == 0 || from < sizes[i]);
    }
}

static void check_accept(const char *text)
{
    struct gateway_accept a;
    bool makeable = gateway_want_accept(text, &a);
    assert(!a.found || !a.html);
    assert(a.car_dups >= -1 && a.car_dups <= 1);
    assert(a.car || a.car_dups == -1);
    assert(!a.found || a.format != GATEWAY_CAR || a.car);
    assert(makeable || !a.car);
}

static void check_escapes(const char *text)
{
    struct buf out = buf_new(TEXT_MAX);
    int rc = http_server_unescape(text, &out, NULL);
    assert(rc == 0 || rc == ERR_MALFORMED);
    if (rc == 0) {
        assert(out.size <= strlen(text) && memchr(out.data, 0, out.size) == NULL);
        struct buf again = buf_new(4 * TEXT_MAX), back = buf_new(TEXT_MAX);
        gateway_visit_escape(buf_bytes(&out), &again);
        rc = http_server_unescape(buf_text(&again), &back, NULL);
        assert(rc == 0 && bytes_equal(buf_bytes(&out), buf_bytes(&back)));
        buf_fini(&again);
        buf_fini(&back);
    }
    buf_fini(&out);
}

static void check(const char *text)
{
    check_range(text);
    check_entity_bytes(text);
    check_accept(text);
    check_escapes(text);
    (void)gateway_want_matches(text, "\"a.raw\"");
    (void)gateway_want_lists(text, "only-if-cached");
    (void)gateway_routing_lets(text, "/ip4/127.0.0.1/tcp/8080/http");
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char text[TEXT_MAX];
    for (size_t at = 0; at < size;) {
        const uint8_t *end = memchr(data + at, '\n', size - at);
        size_t line = end == NULL ? size - at : (size_t)(end - (data + at));
        if (line < sizeof text) {
            memcpy(text, data + at, line);
            text[line] = '\0';
            check(text);
        }
        at += line + 1;
    }
    return 0;
}
