/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/announce.h"

#include <stdio.h>

#include "cli/say.h"
#include "content/extract_internal.h"

#define NAME_BYTES_MAX 4096

void announce_init(struct announce *a, const char *command, bool hold)
{
    *a = (struct announce){.command = command, .hold = hold, .held = buf_new(ANNOUNCE_HELD_MAX)};
}

void announce_fini(struct announce *a)
{
    buf_fini(&a->held);
    for (size_t i = 0; i < a->name_count; i++) {
        buf_fini(&a->names[i]);
        buf_fini(&a->whys[i]);
    }
}

bool announce_line(struct announce *a, const char *text)
{
    size_t before = a->held.size;
    if (a->hold) {
        say_clean(&a->held, bytes_of_text(text));
        buf_append_byte(&a->held, '\n');
        if (a->held.failed == 0)
            return true;
        a->held.failed = 0;
        a->held.size = before;
        announce_tell(a);
        a->hold = false;
    }
    say_line("%s", text);
    fflush(stdout);
    return false;
}

size_t announce_mark(const struct announce *a)
{
    return a->held.size;
}

void announce_cut(struct announce *a, size_t mark)
{
    if (mark < a->held.size)
        a->held.size = mark;
}

void announce_tell(struct announce *a)
{
    if (a->held.size > 0)
        fwrite(a->held.data, 1, a->held.size, stdout);
    fflush(stdout);
    buf_clear(&a->held);
}

static bool is_known(const struct announce *a, struct bytes name)
{
    for (size_t i = 0; i < a->name_count; i++)
        if (bytes_equal(buf_bytes(&a->names[i]), name))
            return true;
    return false;
}

void announce_name(struct announce *a, struct bytes name)
{
    struct err why = {0};
    if (extract_name_check(name, &why) == 0 || is_known(a, name))
        return;
    if (a->name_count == ANNOUNCE_NAMES_MAX) {
        a->name_more++;
        return;
    }
    size_t i = a->name_count++;
    a->names[i] = buf_new(NAME_BYTES_MAX);
    a->whys[i] = buf_new(ERR_TEXT_MAX);
    buf_append(&a->names[i], name.data, name.size);
    buf_append_text(&a->whys[i], why.text);
}

void announce_warn(const struct announce *a)
{
    static const char tail[] = ": refused"; /* which it is not, here */
    for (size_t i = 0; i < a->name_count; i++) {
        struct bytes why = buf_bytes(&a->whys[i]);
        if (why.size > strlen(tail) &&
            memcmp(why.data + why.size - strlen(tail), tail, strlen(tail)) == 0)
            why.size -= strlen(tail);
        fprintf(stderr, "%s: warning: %.*s, and `colmeia get` will not write it\n", a->command,
                (int)why.size, (const char *)why.data);
    }
    if (a->name_more > 0)
        fprintf(stderr, "%s: warning: %zu more names like that\n", a->command, a->name_more);
}
