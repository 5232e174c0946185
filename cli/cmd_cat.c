/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/cmd.h"
#include "cli/file_out.h"

struct cat {
    struct origin origin;
    uint64_t offset, length;
};

static int cat(void *self, const struct options *given, struct err *err)
{
    struct cat *c = self;
    uint64_t end = c->length > UINT64_MAX - c->offset ? UINT64_MAX : c->offset + c->length;
    int rc = origin_open(&c->origin, false, err);
    if (rc == 0)
        rc = file_out(&c->origin, given->given[0], c->offset, end, err);
    origin_close(&c->origin);
    return rc;
}

int cmd_cat(int argc, char **argv)
{
    struct cat c = {.length = UINT64_MAX};
    const struct options_row rows[] = {
        {.name = "offset",
         .letter = 'o',
         .argument = "N",
         .number = &c.offset,
         .most = INT64_MAX,
         .help = "begin behind so many bytes"},
        {.name = "length",
         .letter = 'l',
         .argument = "N",
         .number = &c.length,
         .most = INT64_MAX,
         .help = "end after so many bytes"},
        ORIGIN_ROWS(&c.origin),
    };
    struct options o = {.command = "colmeia cat",
                        .operands = "CID[/PATH]",
                        .about = "Writes a file to the standard output, every block hashed. Only "
                                 "the blocks that are asked for are read.",
                        OPTIONS_ROWS(rows),
                        .least = 1,
                        .most = 1};
    return options_run(&o, argc, argv, cat, &c);
}
