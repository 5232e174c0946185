/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/cmd.h"
#include "cli/options.h"
#include "cli/say.h"
#include "content/store.h"

static int get(const char *dir, const struct cid *root, const char *to, struct err *err)
{
    struct store *store = NULL;
    char path[FILES_PATH_MAX];
    int rc = options_store(dir, path, err);
    if (rc == 0)
        rc = store_open(files_posix(), path, STORE_READ_ONLY, &store, err);
    if (rc == 0)
        rc = store_export(store, root, to, err);
    store_close(store);
    return rc;
}

int cmd_get(int argc, char **argv)
{
    const char *dir = NULL, *to = NULL;
    bool force = false;
    const struct options_row rows[] = {
        {.name = "store", .argument = "DIR", .text = &dir, .help = "a study's folder, or a store"},
        {.name = "output",
         .letter = 'o',
         .argument = "FILE",
         .text = &to,
         .help = "where to write it"},
        {.name = "force", .letter = 'f', .flag = &force, .help = "replace FILE if it is there"},
    };
    struct options o = {.command = "colmeia get",
                        .operands = "CID",
                        .about = "Writes the file CID out of a store, every block hashed. FILE "
                                 "appears whole or not at all.",
                        .rows = rows,
                        .row_count = sizeof rows / sizeof rows[0],
                        .least = 1,
                        .most = 1};
    struct err err = {0};
    struct cid root;
    int status;
    if (!options_parse(&o, argc, argv, &status))
        return status;
    if (dir == NULL || to == NULL)
        return say_usage(o.command, "give --store DIR and -o FILE");
    if (cid_parse(o.given[0], &root, &err) != 0)
        return say_usage(o.command, "%s", err.text);
    if (!force && files_exists(files_posix(), to))
        return say_usage(o.command, "%s is there already; --force replaces it", to);
    int rc = get(dir, &root, to, &err);
    return rc != 0 ? say_error(o.command, rc, &err) : 0;
}
