/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/text.h"
#include "cli/announce.h"
#include "cli/cmd.h"
#include "cli/input.h"
#include "cli/meter.h"
#include "cli/pinned.h"
#include "cli/say.h"
#include "cli/store_option.h"
#include "content/directory.h"
#include "content/import.h"
#include "content/packs.h"

#define COMMAND   "colmeia add"
#define PATHS_MAX 65536

struct add {
    const char *dir, *profile_name, *chunker, *pin_name;
    bool only_hash, quieter, quiet, json, hidden, recursive, no_copy, no_pin, pin, no_sync, wrap;
    bool raw_leaves, raw_leaves_said, progress;
    uint64_t cid_version, links_max;
    const char **paths;
    size_t path_count;

    struct unixfs_profile profile;
    struct import_options import;
    struct meter meter;
    struct directory *wrapping; /* the folder around all, if wanted */
    size_t skip;                /* of a path: what is in front of the name that is shown */
    const char *shown;          /* the root's own name, where the path has none */
    struct unixfs_child *roots; /* one a path; one alone with `wrap` */
    uint64_t *bytes;            /* of files, below each */
    bool *repeated;             /* with `wrap`: a path that was given before */
    struct announce announce;
};

/* --- the profile --- */

static int parse_chunker(const char *text, uint32_t *out, struct err *err)
{
    uint64_t bytes;
    if (strncmp(text, "size-", 5) != 0)
        return err_set(err, ERR_USAGE, "--chunker is size-N, not \"%s\"", text);
    int rc = text_parse_uint(text + 5, UNIXFS_CHUNK_BYTES_MAX, &bytes, err);
    if (rc != 0)
        return err_wrap(err, rc, "--chunker");
    *out = (uint32_t)bytes;
    return 0;
}

/* A version leaves the profile's kind of leaves, as in an `ipfs` that has the profile applied. */
static int make_profile(struct add *a, struct err *err)
{
    const struct unixfs_profile *p = unixfs_profile_find(a->profile_name);
    if (p == NULL)
        return err_set(err, ERR_USAGE,
                       "there is no profile \"%s\"; there are unixfs-v1-2025 and unixfs-v0-2015",
                       a->profile_name);
    a->profile = *p;
    if (a->cid_version != UINT64_MAX)
        a->profile.cid_version = (unsigned)a->cid_version;
    if (a->raw_leaves_said)
        a->profile.raw_leaves = a->raw_leaves;
    if (a->links_max != UINT64_MAX)
        a->profile.links_max = (uint32_t)a->links_max;
    int rc = a->chunker == NULL ? 0 : parse_chunker(a->chunker, &a->profile.chunk_bytes, err);
    return rc != 0 ? rc : unixfs_profile_check(&a->profile, err);
}

/* --- what is said --- */

static int say_added(struct add *a, const struct cid *cid, const char *name, struct err *err)
{
    char text[CID_TEXT_MAX], *line = NULL;
    if (a->quieter || a->json)
        return 0;
    cid_format(cid, text);
    if (asprintf(&line, a->quiet ? "%s" : "added %s %s", text, name) < 0)
        return err_set(err, ERR_NOMEM, "out of memory");
    bool at_once = !a->announce.hold;
    if (at_once)
        meter_hide(&a->meter);
    announce_line(&a->announce, line);
    if (at_once)
        meter_show(&a->meter);
    free(line);
    return 0;
}

/* Of what lies in a folder; the name of what is given itself is not kept. */
static void look_at_name(struct add *a, const char *name)
{
    const char *slash = strrchr(name, '/');
    if (a->shown == NULL && slash == NULL)
        return;
    const char *last = slash != NULL ? slash + 1 : name;
    if (last[0] != '\0')
        announce_name(&a->announce, bytes_of_text(last));
}

static int added(void *self, const char *path, const struct unixfs_child *child, struct err *err)
{
    struct add *a = self;
    char text[CID_TEXT_MAX], *whole = NULL;
    const char *name = strlen(path) > a->skip ? path + a->skip : "";
    if (a->shown != NULL && a->shown[0] == '\0') /* a stream has its CID as its name */
        return say_added(a, &child->cid, cid_format(&child->cid, text), err);
    look_at_name(a, name);
    if (a->shown == NULL)
        return say_added(a, &child->cid, name, err);
    if (asprintf(&whole, "%s%s%s", a->shown, name[0] == '\0' ? "" : "/", name) < 0)
        return err_set(err, ERR_NOMEM, "out of memory");
    int rc = say_added(a, &child->cid, whole, err);
    free(whole);
    return rc;
}

static int say_roots(const struct add *a, size_t count)
{
    char text[CID_TEXT_MAX];
    int status = 0;
    for (size_t i = 0; status == 0 && i < count; i++) {
        const struct unixfs_child *root = &a->roots[i];
        cid_format(&root->cid, text);
        if (a->json)
            status = say_json(json_pack(
                "{s:s,s:I,s:I,s:s}", "cid", text, "bytes", (json_int_t)a->bytes[i], "total_bytes",
                (json_int_t)root->total_bytes, "path", a->wrap ? "" : a->paths[i]));
        else if (a->quieter)
            say_line("%s", text);
    }
    return status;
}

/* --- adding --- */

/* What is shown of the path: from its last name on, as `ipfs add` does. `real` is to be freed. */
static int name_path(struct add *a, const char *path, char **real, struct err *err)
{
    size_t size = strlen(path), start;
    char shown[SAY_SHORT];
    *real = NULL;
    while (size > 1 && path[size - 1] == '/')
        size--;
    for (start = size; start > 0 && path[start - 1] != '/';)
        start--;
    a->skip = start;
    a->shown = NULL;
    const char *name = path + start;
    if (size > start && strncmp(name, ".", size - start) != 0 &&
        strncmp(name, "..", size - start) != 0)
        return 0;
    *real = realpath(path, NULL);
    if (*real == NULL)
        return err_errno(err, "%s", say_short(path, shown));
    a->skip = path[size - 1] == '/' ? size : size + 1;
    a->shown = strrchr(*real, '/') + 1;
    if (a->shown[0] == '\0')
        a->shown = "/";
    return 0;
}

static int put_block(void *self, const struct cid *cid, struct bytes block, struct err *err)
{
    struct add *a = self;
    return a->import.batch == NULL ? 0 : store_batch_put(a->import.batch, cid, block, err);
}

static int wrapped_name(const struct add *a, const char *path, const char *real, char **out,
                        struct err *err)
{
    char *name = real != NULL ? strdup(a->shown) : strdup(path + a->skip);
    if (name == NULL)
        return err_set(err, ERR_NOMEM, "out of memory");
    for (size_t size = strlen(name); size > 1 && name[size - 1] == '/';)
        name[--size] = '\0';
    *out = name;
    return 0;
}

/* Into the folder around all: a path by its last name, a stream by its CID. */
static int wrap_root(struct add *a, const char *path, const char *real,
                     const struct unixfs_child *root, struct err *err)
{
    char text[CID_TEXT_MAX], *name = NULL;
    if (strcmp(path, "-") == 0)
        return directory_add(a->wrapping, cid_format(&root->cid, text), root, err);
    int rc = wrapped_name(a, path, real, &name, err);
    if (rc == 0)
        announce_name(&a->announce, bytes_of_text(name));
    if (rc == 0)
        rc = directory_add(a->wrapping, name, root, err);
    free(name);
    return rc;
}

struct wrapped {
    const char *path;
    char *name;
    size_t i;
};

static int compare_wrapped(const void *left, const void *right)
{
    const struct wrapped *a = left, *b = right;
    int names = strcmp(a->name, b->name), paths = names != 0 ? 0 : strcmp(a->path, b->path);
    return names != 0 ? names : paths != 0 ? paths : a->i < b->i ? -1 : 1;
}

static int name_wrapped(struct add *a, struct wrapped *all, size_t *count, struct err *err)
{
    int rc = 0;
    for (size_t i = 0; rc == 0 && i < a->path_count; i++) {
        char *real = NULL;
        struct wrapped *w = &all[*count];
        *w = (struct wrapped){.path = a->paths[i], .i = i};
        if (strcmp(w->path, "-") == 0)
            continue;
        rc = name_path(a, w->path, &real, err);
        if (rc == 0)
            rc = wrapped_name(a, w->path, real, &w->name, err);
        free(real);
        *count += rc == 0 ? 1 : 0;
    }
    return rc;
}

/* One folder has a name once: said before anything is read. A path that is given again is no second
 * thing. */
static int check_wrapped(struct add *a, struct err *err)
{
    size_t count = 0;
    struct wrapped *all = calloc(a->path_count, sizeof *all);
    a->repeated = calloc(a->path_count, sizeof *a->repeated);
    if (all == NULL || a->repeated == NULL) {
        free(all);
        return err_set(err, ERR_NOMEM, "out of memory");
    }
    int rc = name_wrapped(a, all, &count, err);
    if (rc == 0)
        qsort(all, count, sizeof *all, compare_wrapped);
    for (size_t i = 1; rc == 0 && i < count; i++) {
        char one[SAY_SHORT], other[SAY_SHORT];
        if (strcmp(all[i - 1].path, all[i].path) == 0)
            a->repeated[all[i].i] = true;
        else if (strcmp(all[i - 1].name, all[i].name) == 0)
            rc = err_set(err, ERR_USAGE, "%s and %s would have the same name in the folder around",
                         say_short(all[i - 1].path, one), say_short(all[i].path, other));
    }
    for (size_t i = 0; i < count; i++)
        free(all[i].name);
    free(all);
    return rc;
}

static int add_path(struct add *a, size_t i, struct err *err)
{
    const char *path = a->paths[i];
    char *real = NULL;
    uint64_t before = atomic_load(&a->meter.count.done);
    struct unixfs_child root;
    struct stat st;
    char shown[SAY_SHORT];
    int rc;
    if (strcmp(path, "-") == 0) {
        a->shown = "";
        rc = import_stream(&a->import, STDIN_FILENO, &root, err);
    } else {
        rc = lstat(path, &st) == 0 ? name_path(a, path, &real, err)
                                   : err_errno(err, "%s", say_short(path, shown));
        if (rc == 0)
            rc = import_path(&a->import, path, &root, err);
    }
    if (rc == 0 && a->wrap)
        rc = wrap_root(a, path, real, &root, err);
    free(real);
    if (rc != 0)
        return rc;
    a->roots[i] = root;
    a->bytes[i] = atomic_load(&a->meter.count.done) - before;
    return 0;
}

/* All paths. `count`: how many roots there are, of a failure too: then of the paths before it, and
 * only those are told of. */
static int add_all(struct add *a, size_t *count, struct err *err)
{
    size_t mark = 0;
    int rc = a->wrap ? check_wrapped(a, err) : 0;
    if (rc == 0 && a->wrap)
        rc = directory_new(&a->profile, &a->wrapping, err);
    *count = 0;
    for (size_t i = 0; rc == 0 && i < a->path_count; i++) {
        mark = a->wrap ? 0 : announce_mark(&a->announce);
        if (a->repeated == NULL || !a->repeated[i])
            rc = add_path(a, i, err);
        *count += rc == 0 && !a->wrap ? 1 : 0;
    }
    if (rc == 0 && a->wrap) {
        a->bytes[0] = atomic_load(&a->meter.count.done);
        rc = directory_finish(a->wrapping, put_block, a, &a->roots[0], err);
        if (rc == 0)
            rc = say_added(a, &a->roots[0].cid, "", err);
        *count = rc == 0 ? 1 : 0;
        mark = 0;
    }
    if (rc != 0)
        announce_cut(&a->announce, mark);
    directory_free(a->wrapping);
    return rc;
}

/* On the disk and pinned. */
static int keep(struct add *a, struct store *store, size_t count, struct err *err)
{
    int rc = store_batch_finish(a->import.batch, !a->no_sync, err);
    if (rc == 0)
        a->import.batch = NULL;
    for (size_t i = 0; rc == 0 && a->pin && !a->no_pin && i < count; i++)
        rc = pinned_add(store, &a->roots[i].cid, true, a->pin_name, err);
    return rc;
}

/* What was added before a failure is kept as if it had been all. */
static int store_all(struct add *a, size_t *count, struct err *err)
{
    struct store *store = NULL;
    struct err late = {0};
    int rc = store_option_open(a->dir, STORE_SHARE, &store, err);
    if (rc == 0)
        rc = store_batch_new(store, &a->import.batch, err);
    if (rc == 0)
        rc = add_all(a, count, err);
    int kept = rc == 0 || *count > 0 ? keep(a, store, *count, rc == 0 ? err : &late) : 0;
    if (kept != 0) {
        announce_cut(&a->announce, 0);
        *count = 0;
        rc = rc != 0 ? rc : kept;
    }
    packs_batch_free(a->import.batch);
    store_close(store);
    return rc;
}

static uint64_t measure(const struct add *a)
{
    uint64_t bytes = 0;
    for (size_t i = 0; i < a->path_count; i++) {
        uint64_t more = strcmp(a->paths[i], "-") == 0 ? 0 : import_measure(a->paths[i], a->hidden);
        if (more == 0 && a->path_count == 1)
            return 0;
        bytes += more;
    }
    return bytes;
}

static int run(struct add *a)
{
    struct err err = {0};
    struct jobs *jobs = NULL;
    size_t count = 0;
    announce_init(&a->announce, COMMAND, !a->only_hash);
    a->roots = calloc(a->path_count, sizeof *a->roots);
    a->bytes = calloc(a->path_count, sizeof *a->bytes);
    int rc = a->roots == NULL || a->bytes == NULL ? err_set(&err, ERR_NOMEM, "out of memory")
                                                  : jobs_new(0, &jobs, &err);
    meter_start(&a->meter, "adding");
    if (rc == 0) {
        if (a->meter.runs)
            progress_count_set(&a->meter.count, 0, measure(a));
        a->import = (struct import_options){.profile = &a->profile,
                                            .hidden = a->hidden,
                                            .no_copy = a->no_copy,
                                            .jobs = jobs,
                                            .progress = &a->meter.count,
                                            .added = added,
                                            .self = a};
        rc = a->only_hash ? add_all(a, &count, &err) : store_all(a, &count, &err);
    }
    meter_stop(&a->meter);
    jobs_free(jobs);
    announce_tell(&a->announce);
    announce_warn(&a->announce);
    int status = say_roots(a, count);
    if (rc != 0) {
        fflush(stdout);
        status = say_error(COMMAND, rc, &err);
    }
    announce_fini(&a->announce);
    free(a->repeated);
    free(a->roots);
    free(a->bytes);
    return status;
}

#define ROW(long_name, short_name, ...)                                                            \
    {                                                                                              \
        .name = (long_name), .letter = (short_name), __VA_ARGS__                                   \
    }

static bool parse(struct add *a, int argc, char **argv, struct options *o, int *status)
{
    const struct options_row rows[] = {
        ROW("profile", 0, .argument = "NAME", .text = &a->profile_name,
            .help = "unixfs-v1-2025 (default) or unixfs-v0-2015"),
        ROW("chunker", 's', .argument = "size-N", .text = &a->chunker,
            .help = "bytes of a leaf, instead of the profile's"),
        ROW("cid-version", 0, .argument = "N", .number = &a->cid_version, .most = 1,
            .help = "1 or 0, instead of the profile's"),
        ROW("raw-leaves", 0, .flag = &a->raw_leaves, .said = &a->raw_leaves_said,
            .help = "raw leaves, or with =false wrapped ones, instead of the profile's"),
        ROW("max-file-links", 0, .argument = "N", .number = &a->links_max, .most = UNIXFS_LINKS_MAX,
            .help = "links of a file's node, instead of the profile's"),
        ROW("only-hash", 'n', .flag = &a->only_hash, .help = "say the CID and store nothing"),
        ROW("quiet", 'q', .flag = &a->quiet, .help = "say CIDs alone"),
        ROW("quieter", 'Q', .flag = &a->quieter, .help = "say the CID of each PATH alone"),
        ROW("hidden", 'H', .flag = &a->hidden,
            .help = "take names that begin with a dot along in folders"),
        ROW("recursive", 'r', .flag = &a->recursive, .help = "folders are taken whole in any case"),
        ROW("progress", 'p', .flag = &a->progress, .help = "a terminal sees it in any case"),
        ROW("pin", 0, .flag = &a->pin, .help = "pin each PATH, as is done in any case"),
        ROW("wrap-with-directory", 'w', .flag = &a->wrap, .help = "put a folder around all"),
        ROW("nocopy", 0, .flag = &a->no_copy,
            .help = "index files where they lie: they must stay there as they are"),
        PINNED_NAME_ROW(&a->pin_name),
        PINNED_NOT_ROW(&a->no_pin),
        STORE_OPTION_NO_SYNC_ROW(&a->no_sync),
        STORE_OPTION_MADE_ROW(&a->dir),
        OPTIONS_JSON_LINES_ROW(&a->json),
    };
    o->rows = rows;
    o->row_count = sizeof rows / sizeof rows[0];
    bool go_on = options_parse(o, argc, argv, status);
    o->rows = NULL;
    return go_on;
}

int cmd_add(int argc, char **argv)
{
    struct add a = {.profile_name = "unixfs-v1-2025",
                    .cid_version = UINT64_MAX,
                    .links_max = UINT64_MAX,
                    .pin = true};
    struct options o = {.command = COMMAND,
                        .operands = "[PATH|-]...",
                        .about = "Imports files and folders as UnixFS blocks and prints the CIDs "
                                 "that IPFS gives them under the same profile. `-`, or no PATH: "
                                 "the standard input.",
                        .most = PATHS_MAX};
    struct err err = {0};
    int status;
    if (!parse(&a, argc, argv, &o, &status))
        return status;
    if (!input_operands(&o, &status))
        return status;
    a.paths = (const char **)o.given;
    a.path_count = o.count;
    int rc = make_profile(&a, &err);
    if (rc == 0)
        rc = pinned_check_name(a.pin_name, &err);
    return rc != 0 ? say_error(COMMAND, rc, &err) : run(&a);
}
