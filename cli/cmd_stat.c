/* SPDX-License-Identifier: Apache-2.0 */
#include <inttypes.h>
#include <stdio.h>
#include <time.h>

#include "cli/cmd.h"
#include "cli/entry_kind.h"
#include "cli/origin.h"
#include "cli/say.h"

static int say_as_json(const struct cid *root, const struct entry_kind *k, struct err *err)
{
    char cid[CID_TEXT_MAX];
    json_t *object = json_pack("{s:s,s:s,s:I,s:I,s:I}", "cid", cid_format(root, cid), "type",
                               k->name, "bytes", (json_int_t)k->bytes, "total_bytes",
                               (json_int_t)k->total_bytes, "links", (json_int_t)k->links);
    if (object != NULL && k->has_mode)
        json_object_set_new(object, "mode", json_integer(k->mode));
    if (object != NULL && k->has_mtime)
        json_object_set_new(object, "mtime", json_integer(k->mtime_seconds));
    if (object != NULL && k->has_mtime && k->mtime_nanos != 0)
        json_object_set_new(object, "mtime_nanos", json_integer(k->mtime_nanos));
    return say_json_row(object, err);
}

static void say_as_text(const struct cid *root, const struct entry_kind *k)
{
    char cid[CID_TEXT_MAX], when[40];
    struct tm tm;
    time_t seconds = (time_t)k->mtime_seconds;
    say_line("%s", cid_format(root, cid));
    say_line("Size: %" PRIu64, k->bytes);
    say_line("CumulativeSize: %" PRIu64, k->total_bytes);
    say_line("ChildBlocks: %zu", k->links);
    say_line("Type: %s", k->name);
    if (k->has_mode)
        say_line("Mode: %04o", k->mode & 07777);
    if (k->has_mtime && gmtime_r(&seconds, &tm) != NULL &&
        strftime(when, sizeof when, "%Y-%m-%dT%H:%M:%SZ", &tm) > 0)
        say_line("Mtime: %s", when);
}

struct stat_command {
    struct origin origin;
    bool json;
};

static int look(void *self, const struct options *o, struct err *err)
{
    struct stat_command *c = self;
    struct buf block = buf_new(BLOCK_BYTES_MAX);
    struct entry_kind kind;
    struct cid root;
    int rc = origin_load(&c->origin, o->given[0], &root, NULL, &block, err);
    if (rc == 0)
        rc = entry_kind_of(&root, buf_bytes(&block), &kind, err);
    if (rc == 0 && c->json)
        rc = say_as_json(&root, &kind, err);
    else if (rc == 0)
        say_as_text(&root, &kind);
    buf_fini(&block);
    origin_close(&c->origin);
    return rc;
}

int cmd_stat(int argc, char **argv)
{
    struct stat_command c = {0};
    const struct options_row rows[] = {ORIGIN_ROWS(&c.origin), OPTIONS_JSON_ROW(&c.json)};
    struct options o = {.command = "colmeia stat",
                        .operands = "CID[/PATH]",
                        .about = "Says what a CID is: kind, size, size with all that is below it "
                                 "as its blocks say, links.",
                        OPTIONS_ROWS(rows),
                        .least = 1,
                        .most = 1};
    return options_run(&o, argc, argv, look, &c);
}
