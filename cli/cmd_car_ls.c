/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>
#include <unistd.h>

#include "cli/cmd.h"
#include "cli/input.h"
#include "cli/options.h"
#include "cli/say.h"
#include "content/car.h"

#define PIECE_BYTES (4u << 20)

struct car_ls {
    bool verbose, json, version;
    bool said; /* with `version`: all that was asked for */
};

static int say_header_json(const struct car_header *h, struct err *err)
{
    json_t *roots = json_array();
    char text[CID_TEXT_MAX];
    for (size_t i = 0; roots != NULL && i < h->root_count; i++)
        json_array_append_new(roots, json_string(cid_format(&h->roots[i], text)));
    return say_json_row(json_pack("{s:i,s:o}", "version", (int)h->version, "roots", roots), err);
}

static int say_header(void *self, const struct car_header *h, struct err *err)
{
    struct car_ls *c = self;
    char text[CID_TEXT_MAX];
    if (c->version) {
        say_line("%u", h->version);
        c->said = true;
        return ERR_EXISTS; /* ends the reading */
    }
    if (c->json)
        return say_header_json(h, err);
    if (!c->verbose)
        return 0;
    say_line("CARv%u, %zu root%s", h->version, h->root_count, h->root_count == 1 ? "" : "s");
    for (size_t i = 0; i < h->root_count; i++)
        say_line("root %s", cid_format(&h->roots[i], text));
    return 0;
}

static int say_block(void *self, const struct cid *cid, struct bytes data, uint64_t offset,
                     struct err *err)
{
    const struct car_ls *c = self;
    char text[CID_TEXT_MAX];
    cid_format(cid, text);
    if (c->json)
        return say_json_row(json_pack("{s:s,s:I,s:I}", "cid", text, "bytes", (json_int_t)data.size,
                                      "offset", (json_int_t)offset),
                            err);
    if (c->verbose)
        say_line("%s %zu at %llu", text, data.size, (unsigned long long)offset);
    else
        say_line("%s", text);
    return 0;
}

static int read_stream(struct car_reader *r, int fd, struct err *err)
{
    uint8_t *piece = malloc(PIECE_BYTES);
    int rc = piece == NULL ? err_set(err, ERR_NOMEM, "out of memory") : 0;
    ssize_t n = 1;
    while (rc == 0 && (n = read(fd, piece, PIECE_BYTES)) > 0)
        rc = car_reader_add(r, bytes_of(piece, (size_t)n), err);
    if (rc == 0 && n < 0)
        rc = err_errno(err, "read");
    free(piece);
    return rc != 0 ? rc : car_reader_finish(r, err);
}

static int list(void *self, const struct options *o, struct err *err)
{
    const char *path = o->given[0];
    const struct car_ls *c = self;
    struct car_reader *r = NULL;
    int fd = -1;
    int rc = input_open(path, &fd, err);
    if (rc == 0)
        rc = car_reader_new(say_header, say_block, self, &r, err);
    if (rc == 0 && (rc = read_stream(r, fd, err)) != 0)
        err_wrap(err, rc, "%s", input_name(path));
    car_reader_free(r);
    input_close(fd);
    return c->said ? 0 : rc;
}

int cmd_car_ls(int argc, char **argv)
{
    struct car_ls c = {0};
    const struct options_row rows[] = {
        {.name = "verbose",
         .letter = 'v',
         .flag = &c.verbose,
         .help = "version and roots first; sizes, and where each block's section begins"},
        {.name = "version", .flag = &c.version, .help = "the version alone: 1 or 2"},
        {.name = "json", .flag = &c.json, .help = "a line of JSON for the header and each block"},
    };
    struct options o = {.command = "colmeia car ls",
                        .operands = "FILE|-",
                        .about = "Lists the blocks of a CAR (v1 or v2) in their order, each "
                                 "hashed first.",
                        OPTIONS_ROWS(rows),
                        .least = 1,
                        .most = 1};
    return options_run(&o, argc, argv, list, &c);
}
