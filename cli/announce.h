/* SPDX-License-Identifier: Apache-2.0 */
/*
 * announce -- what `add` says of the things it adds: lines that wait until what they tell is kept,
 * and warnings about names.
 */
#ifndef COLMEIA_CLI_ANNOUNCE_H
#define COLMEIA_CLI_ANNOUNCE_H

#include "base/buf.h"

#define ANNOUNCE_NAMES_MAX 10          /* that are warned about */
#define ANNOUNCE_HELD_MAX  (1u << 30u) /* bytes of lines; those behind are said as they come */

struct announce {
    const char *command;
    bool hold;
    struct buf held;
    size_t name_count, name_more;
    struct buf names[ANNOUNCE_NAMES_MAX], whys[ANNOUNCE_NAMES_MAX];
};

void announce_init(struct announce *a, const char *command, bool hold);
void announce_fini(struct announce *a);

/* A line, cleaned as say_line's. True: it waits; false: it is on stdout. */
bool announce_line(struct announce *a, const char *text);
/* How much waits, and to forget what came after that. */
size_t announce_mark(const struct announce *a);
void announce_cut(struct announce *a, size_t mark);
/* The lines that wait, on stdout. */
void announce_tell(struct announce *a);

/* A name that `get` would refuse to write is kept, to be warned about once. */
void announce_name(struct announce *a, struct bytes name);
/* The warnings, on stderr. */
void announce_warn(const struct announce *a);

#endif
