/* SPDX-License-Identifier: Apache-2.0 */
#include <fcntl.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

#include "base/text.h"
#include "cli/cmd.h"
#include "cli/entry_kind.h"
#include "cli/file_out.h"
#include "cli/meter.h"
#include "cli/origin.h"
#include "cli/output.h"
#include "cli/say.h"
#include "cli/sources.h"
#include "content/extract_part.h"

struct get {
    struct origin origin;
    const char *what, *to;
    bool force, any_symlinks, direct, json;
    struct cid root;
    uint64_t bytes, ms;
};

static uint64_t now_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

/* The last segment of what was asked for: "c" of "CID/b/c", "CID" of "/ipfs/CID/". */
static int default_name(const char *what, char out[FILES_PATH_MAX], struct err *err)
{
    size_t end = strlen(what), start;
    while (end > 0 && what[end - 1] == '/')
        end--;
    for (start = end; start > 0 && what[start - 1] != '/';)
        start--;
    if (end - start >= FILES_PATH_MAX)
        return err_set(err, ERR_USAGE, "the name is too long; give -o OUT");
    memcpy(out, what + start, end - start);
    out[end - start] = '\0';
    return 0;
}

static int read_unhashed(void *self, const struct cid *cid, struct buf *out, struct err *err)
{
    return store_read(self, cid, out, err);
}

/* A file goes from the sources straight into its place; ERR_UNSUPPORTED: it is none for that. */
static int get_file(const struct get *g, const struct extract_options *o, const char *to,
                    struct err *err)
{
    const struct origin *from = &g->origin;
    struct extract_part *part = NULL;
    int rc = extract_part_open(o, &g->root, to, &part, err);
    if (rc == 0)
        rc = sources_fetch_file(from->sources, from->store, &g->root, part, !g->direct, o->progress,
                                err);
    if (rc == 0)
        rc = extract_part_finish(part, err);
    extract_part_close(part, g->direct);
    return rc;
}

/* What is no such file is fetched whole first. */
static int get_root(struct get *g, const struct extract_options *o, const char *to,
                    struct meter *meter, struct err *err)
{
    struct err why = {0};
    int rc = ERR_UNSUPPORTED;
    if (g->origin.sources != NULL) {
        meter_start(meter, "fetching");
        rc = get_file(g, o, to, &why);
        g->bytes = atomic_load(&meter->count.done);
        meter_stop(meter);
        if (rc == ERR_UNSUPPORTED && g->direct)
            return err_set(err, ERR_USAGE, "%s: --direct is for files of raw blocks", why.text);
    }
    if (rc != ERR_UNSUPPORTED)
        return rc != 0 ? err_set(err, rc, "%s", why.text) : 0;
    rc = origin_fetch(&g->origin, &g->root, false, err);
    meter_start(meter, "writing");
    if (rc == 0)
        rc = extract_path(o, &g->root, to, err);
    g->bytes = atomic_load(&meter->count.done);
    meter_stop(meter);
    return rc;
}

/* Is the disk too small for it? Then it is the disk that says no. */
static bool has_no_room(const struct get *g, const char *to)
{
    const struct files *f = files_posix();
    struct buf block = buf_new(BLOCK_BYTES_MAX);
    struct entry_kind kind = {0};
    char folder[FILES_PATH_MAX];
    uint64_t room = UINT64_MAX;
    if (strlen(to) < sizeof folder &&
        block_source_get(&g->origin.source, &g->root, &block, NULL) == 0 &&
        entry_kind_of(&g->root, buf_bytes(&block), &kind, NULL) == 0) {
        files_folder(to, folder);
        if (f->free_bytes(f->self, folder, &room, NULL) != 0)
            room = UINT64_MAX;
    }
    buf_fini(&block);
    return kind.total_bytes > room || kind.bytes > room;
}

/* What a person can do about it. */
static int explain(const struct get *g, const char *to, int rc, struct err *err)
{
    struct err why = *err;
    char shown[SAY_SHORT];
    if (rc == ERR_LIMIT && has_no_room(g, to))
        return err_set(err, ERR_IO, "%s", why.text);
    if (rc == ERR_DENIED)
        return err_set(
            err, rc,
            "%s; `colmeia cat CID/NAME` reads one file of %s, `colmeia car export` takes "
            "all of it",
            why.text, say_short(g->what, shown));
    return rc;
}

/* A file alone, as `cat` gives it. */
static int get_to_stdout(struct get *g, struct err *err)
{
    if (g->json)
        return err_set(err, ERR_USAGE, "--json and the file cannot share the standard output");
    int rc = origin_open(&g->origin, false, err);
    if (rc == 0)
        rc = file_out(&g->origin, g->what, 0, UINT64_MAX, err);
    origin_close(&g->origin);
    return rc;
}

static int get(struct get *g, const char *to, struct err *err)
{
    struct origin *origin = &g->origin;
    struct meter meter;
    struct extract_options o = {
        .progress = &meter.count, .force = g->force, .any_symlink = g->any_symlinks};
    uint64_t start = now_ms();
    /* Looked at again when it is written; here so that nothing is fetched in vain. */
    int rc = output_check(to, g->force, err);
    if (rc == 0)
        rc = origin_open(origin, false, err);
    if (rc == 0)
        rc = jobs_new(0, &o.jobs, err);
    o.source = origin->source;
    o.unhashed = (struct block_source){.self = origin->store, .get = read_unhashed};
    if (rc == 0)
        rc = origin_find(origin, g->what, &g->root, NULL, err);
    if (rc == 0 && (rc = get_root(g, &o, to, &meter, err)) != 0)
        rc = explain(g, to, rc, err);
    g->ms = now_ms() - start;
    jobs_free(o.jobs);
    origin_close(origin);
    return rc;
}

static int say_saved(const struct get *g, const char *to)
{
    char size[TEXT_SMALL], ms[TEXT_SMALL], cid[CID_TEXT_MAX];
    if (g->json)
        return say_json(json_pack("{s:s,s:s,s:I,s:I}", "cid", cid_format(&g->root, cid), "path", to,
                                  "bytes", (json_int_t)g->bytes, "ms", (json_int_t)g->ms));
    if (isatty(STDOUT_FILENO))
        say_line("saved %s, %s, %s", to, text_format_size(g->bytes, size),
                 text_format_ms(g->ms, ms));
    return 0;
}

int cmd_get(int argc, char **argv)
{
    struct get g = {0};
    const struct options_row rows[] = {
        {.name = "output",
         .letter = 'o',
         .argument = "OUT",
         .text = &g.to,
         .help = "where to write it (-: the standard output); by default the last name of what "
                 "is asked for"},
        {.name = "force",
         .letter = 'f',
         .flag = &g.force,
         .help = "replace OUT if it is there and a file"},
        {.name = "any-symlinks",
         .flag = &g.any_symlinks,
         .help = "write symlinks that lead out of OUT too"},
        {.name = "direct",
         .flag = &g.direct,
         .help = "keep nothing of a fetched file in the store but its tree"},
        ORIGIN_ROWS(&g.origin),
        OPTIONS_JSON_ROW(&g.json),
    };
    struct options o = {.command = "colmeia get",
                        .operands = "CID[/PATH]",
                        .about = "Writes a file or folder to disk, every block hashed. OUT appears "
                                 "whole or not at all, and nothing is written outside it.",
                        OPTIONS_ROWS(rows),
                        .least = 1,
                        .most = 1};
    char name[FILES_PATH_MAX];
    struct err err = {0};
    int status, rc = 0;
    if (!options_parse(&o, argc, argv, &status))
        return status;
    g.what = o.given[0];
    if (g.to == NULL)
        rc = default_name(g.what, name, &err);
    const char *to = g.to != NULL ? g.to : name;
    if (g.to != NULL && strcmp(g.to, "-") == 0) {
        rc = get_to_stdout(&g, &err);
        return rc != 0 ? say_error(o.command, rc, &err) : 0;
    }
    if (rc == 0)
        rc = get(&g, to, &err);
    if (rc == ERR_EXISTS)
        return say_usage(o.command, "%s%s", err.text, g.force ? "" : "; --force replaces a file");
    return rc != 0 ? say_error(o.command, rc, &err) : say_saved(&g, to);
}
