/* SPDX-License-Identifier: Apache-2.0 */
#include "base/jobs.h"
#include "cli/cmd.h"
#include "cli/options.h"
#include "cli/say.h"
#include "content/store.h"

struct add {
    const char *path, *dir;
    bool only_hash;
    uint64_t bytes;
    struct cid root;
};

static int import(struct add *a, struct jobs *jobs, struct err *err)
{
    struct store *store = NULL;
    char path[FILES_PATH_MAX];
    int rc = options_store(a->dir, path, err);
    if (rc == 0)
        rc = store_open(files_posix(), path, STORE_WRITE, &store, err);
    if (rc == 0)
        rc = store_import(store, a->path, jobs, &a->root, err);
    if (rc == 0)
        rc = store_model_path(store, &a->root, path, &a->bytes, err);
    store_close(store);
    return rc;
}

static int add(struct add *a, struct err *err)
{
    struct jobs *jobs = NULL;
    int rc = jobs_new(0, &jobs, err);
    if (rc == 0)
        rc = a->only_hash ? unixfs_hash_file(files_posix(), a->path, jobs, &a->root, &a->bytes, err)
                          : import(a, jobs, err);
    jobs_free(jobs);
    return rc;
}

int cmd_add(int argc, char **argv)
{
    struct add a = {0};
    bool json = false;
    const struct options_row rows[] = {
        {.name = "store",
         .argument = "DIR",
         .text = &a.dir,
         .help = "the store that gets the file, made if absent; or a study's folder"},
        {.name = "only-hash",
         .letter = 'n',
         .flag = &a.only_hash,
         .help = "say the CID and store nothing"},
        {.name = "json", .flag = &json, .help = "say it as JSON"},
    };
    struct options o = {.command = "colmeia add",
                        .operands = "FILE",
                        .about = "Imports a file as UnixFS blocks (profile unixfs-v1-2025) and "
                                 "prints the CID of its root.",
                        .rows = rows,
                        .row_count = sizeof rows / sizeof rows[0],
                        .least = 1,
                        .most = 1};
    struct err err = {0};
    char text[CID_TEXT_MAX];
    int status;
    if (!options_parse(&o, argc, argv, &status))
        return status;
    if ((a.dir == NULL) == !a.only_hash)
        return say_usage(o.command, "give --store DIR, or --only-hash");
    a.path = o.given[0];
    int rc = add(&a, &err);
    if (rc != 0)
        return say_error(o.command, rc, &err);
    if (json)
        return say_json(
            json_pack("{s:s,s:I}", "cid", cid_format(&a.root, text), "bytes", (json_int_t)a.bytes));
    say_line("%s", cid_format(&a.root, text));
    return 0;
}
