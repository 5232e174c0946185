/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>

#include "base/text.h"
#include "cli/cmd.h"
#include "cli/group.h"
#include "cli/origin.h"
#include "cli/say.h"
#include "content/dag.h"
#include "content/dagjson.h"

#define JSON_BYTES_MAX (64u << 20)

/* --- get --- */

static int print_dag(void *self, const struct options *o, struct err *err)
{
    struct origin *origin = self;
    struct buf block = buf_new(BLOCK_BYTES_MAX), text = buf_new(JSON_BYTES_MAX);
    struct cid cid;
    const char *rest;
    int rc = origin_load(origin, o->given[0], &cid, &rest, &block, err);
    if (rc == 0)
        rc = dagjson_format(&cid, buf_bytes(&block), rest, &text, err);
    buf_append_byte(&text, '\n');
    if (rc == 0)
        rc = buf_check(&text, err);
    if (rc == 0)
        fwrite(text.data, 1, text.size, stdout);
    buf_fini(&text);
    buf_fini(&block);
    origin_close(origin);
    return rc;
}

static int dag_get(int argc, char **argv)
{
    struct origin origin = {0};
    const struct options_row rows[] = {ORIGIN_ROWS(&origin)};
    struct options o = {.command = "colmeia dag get",
                        .operands = "CID[/PATH]",
                        .about = "Prints the block, or the place in it that the path names, as "
                                 "dag-json.",
                        OPTIONS_ROWS(rows),
                        .least = 1,
                        .most = 1};
    return options_run(&o, argc, argv, print_dag, &origin);
}

/* --- stat --- */

struct dag_stat {
    struct origin origin;
    bool json;
    uint64_t blocks, bytes;
};

static int count(void *self, const struct cid *cid, struct bytes block, struct err *err)
{
    struct dag_stat *t = self;
    (void)cid;
    (void)err;
    t->blocks++;
    t->bytes += block.size;
    return 0;
}

static int say_stat(const struct dag_stat *t, const struct cid *root, struct err *err)
{
    char text[CID_TEXT_MAX], size[TEXT_SMALL];
    cid_format(root, text);
    if (t->json)
        return say_json_row(json_pack("{s:s,s:I,s:I}", "cid", text, "blocks", (json_int_t)t->blocks,
                                      "bytes", (json_int_t)t->bytes),
                            err);
    say_line("%s: %llu blocks, %llu bytes (%s)", text, (unsigned long long)t->blocks,
             (unsigned long long)t->bytes, text_format_size(t->bytes, size));
    return 0;
}

static int stat_dag(void *self, const struct options *o, struct err *err)
{
    struct dag_stat *t = self;
    struct dag_walk walk = {.source = &t->origin.source, .visit = count, .self = t};
    struct cid root;
    int rc = origin_open(&t->origin, false, err);
    if (rc == 0)
        rc = origin_find(&t->origin, o->given[0], &root, NULL, err);
    if (rc == 0)
        rc = dag_walk(&walk, &root, err);
    if (rc == 0)
        rc = say_stat(t, &root, err);
    origin_close(&t->origin);
    return rc;
}

static int dag_stat(int argc, char **argv)
{
    struct dag_stat t = {0};
    const struct options_row rows[] = {ORIGIN_ROWS(&t.origin), OPTIONS_JSON_ROW(&t.json)};
    struct options o = {.command = "colmeia dag stat",
                        .operands = "CID[/PATH]",
                        .about = "Counts the blocks that a CID reaches, each once and hashed, and "
                                 "their bytes.",
                        OPTIONS_ROWS(rows),
                        .least = 1,
                        .most = 1};
    return options_run(&o, argc, argv, stat_dag, &t);
}

int cmd_dag(int argc, char **argv)
{
    static const struct group_row rows[] = {
        {"get", dag_get, "a block, or a place in it, as dag-json"},
        {"stat", dag_stat, "how many blocks a CID reaches, and how large they are"},
        {"export", cmd_car_export, "write all that a CID reaches as a CAR (car export)"},
        {"import", cmd_car_import, "take a CAR's blocks into a store (car import)"},
    };
    return group_run("colmeia dag", rows, sizeof rows / sizeof rows[0], argc, argv);
}
