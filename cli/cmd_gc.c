/* SPDX-License-Identifier: Apache-2.0 */
#include "base/text.h"
#include "cli/cmd.h"
#include "cli/say.h"
#include "cli/store_option.h"
#include "cli/study_store.h"
#include "content/gc.h"

static int collect(const char *dir, struct gc_result *out, struct err *err)
{
    struct store *s = NULL;
    int rc = study_store_refuse(dir, err);
    if (rc == 0)
        rc = store_option_open_present(dir, STORE_WRITE, &s, err);
    if (rc == 0)
        rc = gc_run(s, out, err);
    store_close(s);
    return rc;
}

static void say_missing(const struct gc_result *r)
{
    struct err err = {0};
    err_set(&err, ERR_NOTFOUND,
            "%llu block%s that pins reach %s not here; `colmeia pin add` of each pin names them",
            (unsigned long long)r->missing, r->missing == 1 ? "" : "s",
            r->missing == 1 ? "is" : "are");
    say_error("colmeia gc", ERR_NOTFOUND, &err);
}

int cmd_gc(int argc, char **argv)
{
    const char *dir = NULL;
    bool json = false;
    const struct options_row rows[] = {STUDY_STORE_REFUSED_ROW(&dir), OPTIONS_JSON_ROW(&json)};
    struct options o = {.command = "colmeia gc",
                        .operands = "",
                        .about = "Removes the blocks that no pin reaches. Nobody else may use the "
                                 "store meanwhile.",
                        OPTIONS_ROWS(rows)};
    struct err err = {0};
    struct gc_result r = {0};
    char size[TEXT_SMALL];
    int status;
    if (!options_parse(&o, argc, argv, &status))
        return status;
    int rc = collect(dir, &r, &err);
    if (rc != 0)
        return say_error(o.command, rc, &err);
    if (r.missing > 0)
        say_missing(&r);
    if (json)
        return say_json(json_pack("{s:I,s:I,s:I,s:I}", "removed", (json_int_t)r.blocks_removed,
                                  "removed_bytes", (json_int_t)r.bytes_removed, "kept",
                                  (json_int_t)r.blocks_kept, "missing", (json_int_t)r.missing));
    say_line("removed %llu blocks, %s; kept %llu", (unsigned long long)r.blocks_removed,
             text_format_size(r.bytes_removed, size), (unsigned long long)r.blocks_kept);
    return 0;
}
