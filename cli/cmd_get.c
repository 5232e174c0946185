/* SPDX-License-Identifier: Apache-2.0 */
#include <fcntl.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

#include "base/text.h"
#include "cli/cmd.h"
#include "cli/meter.h"
#include "cli/origin.h"
#include "cli/say.h"
#include "content/extract.h"

struct get {
    struct origin origin;
    const char *what, *to;
    bool force, any_symlinks, json;
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

static int get(struct get *g, const char *to, struct err *err)
{
    struct origin *origin = &g->origin;
    struct meter meter;
    struct extract_options o = {
        .progress = &meter.count, .force = g->force, .any_symlink = g->any_symlinks};
    uint64_t start = now_ms();
    /* Looked at again when it is written; here so that nothing is fetched in vain. */
    if (!g->force && faccessat(AT_FDCWD, to, F_OK, AT_SYMLINK_NOFOLLOW) == 0)
        return err_set(err, ERR_EXISTS, "%.400s: it is there already", to);
    int rc = origin_open(origin, false, err);
    if (rc == 0)
        rc = jobs_new(0, &o.jobs, err);
    o.source = origin->source;
    if (rc == 0)
        rc = origin_find(origin, g->what, &g->root, NULL, err);
    if (rc == 0)
        rc = origin_fetch(origin, &g->root, false, err);
    meter_start(&meter, "writing");
    if (rc == 0)
        rc = extract_path(&o, &g->root, to, err);
    g->bytes = atomic_load(&meter.count.done);
    g->ms = now_ms() - start;
    meter_stop(&meter);
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
         .help = "where to write it; by default the last name of what is asked for"},
        {.name = "force",
         .letter = 'f',
         .flag = &g.force,
         .help = "replace OUT if it is there and a file"},
        {.name = "any-symlinks",
         .flag = &g.any_symlinks,
         .help = "write symlinks that lead out of OUT too"},
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
    if (rc == 0)
        rc = get(&g, to, &err);
    if (rc == ERR_EXISTS)
        return say_usage(o.command, "%s%s", err.text, g.force ? "" : "; --force replaces a file");
    return rc != 0 ? say_error(o.command, rc, &err) : say_saved(&g, to);
}
