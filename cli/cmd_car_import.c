/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <stdlib.h>

#include "base/text.h"
#include "cli/car_read.h"
#include "cli/cmd.h"
#include "cli/input.h"
#include "cli/meter.h"
#include "cli/pinned.h"
#include "cli/presence.h"
#include "cli/say.h"
#include "cli/store_option.h"
#include "content/packs.h"

#define COMMAND "colmeia car import"

struct car_import {
    const char *dir, *pin_name;
    bool no_pin, no_sync, json;
    struct store *store;
    struct jobs *jobs;
    struct packs_batch *batch;
    uint64_t blocks, bytes;
    bool incomplete; /* a root that was to be pinned lacks blocks */
    json_t *said;    /* the roots, for --json */
};

/* --- reading --- */

static int take_block(void *self, const struct cid *cid, struct bytes data, uint64_t offset,
                      struct err *err)
{
    struct car_import *c = self;
    (void)offset;
    if (cid_identity(cid, NULL))
        return 0; /* its bytes are in its name */
    return store_batch_put(c->batch, cid, data, err);
}

/* Blocks before a failure stay. */
static int read_car(struct car_import *c, struct car_read *read, struct err *err)
{
    struct err late = {0};
    struct meter meter;
    int rc = store_batch_new(c->store, &c->batch, err);
    if (rc != 0)
        return rc;
    meter_start(&meter, "importing");
    read->progress = &meter.count;
    rc = car_read(read, err);
    meter_stop(&meter);
    int end = store_batch_finish(c->batch, !c->no_sync, rc == 0 ? err : &late);
    if (end != 0)
        packs_batch_free(c->batch);
    c->batch = NULL;
    c->blocks += read->blocks;
    c->bytes += read->bytes;
    return rc != 0 ? rc : end;
}

/* --- roots --- */

static void say_root(struct car_import *c, const struct cid *root, bool pinned,
                     const struct presence_result *look)
{
    char text[CID_TEXT_MAX], missed[CID_TEXT_MAX];
    if (c->json) {
        json_t *one = json_pack("{s:s,s:b,s:I}", "cid", cid_format(root, text), "pinned",
                                (int)pinned, "missing", (json_int_t)look->missing);
        if (!cid_is_none(&look->strange))
            json_object_set_new(one, "unknown_codec",
                                json_string(cid_format(&look->strange, missed)));
        if (look->missing > 0)
            json_object_set_new(one, "first_missing",
                                json_string(cid_format(&look->missed, missed)));
        json_array_append_new(c->said, one);
        return;
    }
    say_line("%s %s", pinned ? "pinned root" : "root", cid_format(root, text));
    struct err err = {0};
    if (!c->no_pin && !cid_is_none(&look->strange)) {
        struct err why = {0};
        int rc = presence_tell_strange(&look->strange, &why);
        err_set(&err, rc, "root %s is not pinned: %s", text, why.text);
        say_error(COMMAND, rc, &err);
    }
    if (look->missing > 0) {
        err_set(&err, ERR_NOTFOUND, "root %s: %llu %s missing, the first of them %s%s", text,
                (unsigned long long)look->missing, look->missing == 1 ? "block is" : "blocks are",
                cid_format(&look->missed, missed), c->no_pin ? "" : "; it is not pinned");
        say_error(COMMAND, ERR_NOTFOUND, &err);
    }
}

static int finish_root(struct car_import *c, const struct cid *root, struct err *err)
{
    struct presence_result look;
    if (cid_identity(root, NULL))
        return 0; /* a place holder */
    int rc = presence_in_store(c->store, root, &look, err);
    if (rc != 0)
        return err_wrap(err, rc, "below a root");
    bool pinned = !c->no_pin && look.missing == 0 && cid_is_none(&look.strange);
    if (pinned)
        rc = pinned_add(c->store, root, true, c->pin_name, err);
    if (rc != 0)
        return rc;
    c->incomplete = c->incomplete || (!c->no_pin && !pinned);
    say_root(c, root, pinned, &look);
    return 0;
}

static int import_one(struct car_import *c, const char *path, struct err *err)
{
    struct car_read read = {.fd = -1, .jobs = c->jobs, .block = take_block, .self = c};
    int rc = input_open(path, &read.fd, err);
    if (rc != 0)
        return rc;
    rc = read_car(c, &read, err);
    input_close(read.fd);
    if (rc != 0)
        err_wrap(err, rc, "%s", input_name(path));
    for (size_t i = 0; rc == 0 && i < read.root_count; i++)
        rc = finish_root(c, &read.roots[i], err);
    free(read.roots);
    return rc;
}

static int import_all(struct car_import *c, char **paths, size_t count, struct err *err)
{
    int rc = pinned_check_name(c->pin_name, err);
    if (rc == 0)
        rc = store_option_open(c->dir, STORE_SHARE, &c->store, err);
    if (rc == 0)
        rc = jobs_new(0, &c->jobs, err);
    for (size_t i = 0; rc == 0 && i < count; i++)
        rc = import_one(c, paths[i], err);
    jobs_free(c->jobs);
    store_close(c->store);
    return rc;
}

static int finish(struct car_import *c, int rc, const struct err *err)
{
    char size[TEXT_SMALL];
    int status = c->incomplete ? 1 : 0;
    if (c->json && rc == 0)
        say_json(json_pack("{s:O,s:I,s:I}", "roots", c->said, "blocks", (json_int_t)c->blocks,
                           "bytes", (json_int_t)c->bytes));
    else if (!c->json)
        say_line("imported %llu blocks, %s", (unsigned long long)c->blocks,
                 text_format_size(c->bytes, size));
    json_decref(c->said);
    return rc != 0 ? say_error(COMMAND, rc, err) : status;
}

int cmd_car_import(int argc, char **argv)
{
    struct car_import c = {0};
    const struct options_row rows[] = {
        STORE_OPTION_MADE_ROW(&c.dir), PINNED_NAME_ROW(&c.pin_name),
        PINNED_NOT_ROW(&c.no_pin),     STORE_OPTION_NO_SYNC_ROW(&c.no_sync),
        OPTIONS_JSON_ROW(&c.json),
    };
    struct options o = {.command = COMMAND,
                        .operands = "[FILE|-]...",
                        .about = "Takes the blocks of CARs (v1 or v2) into a store, each hashed, "
                                 "and pins the roots whose blocks are all there.",
                        OPTIONS_ROWS(rows),
                        .most = OPTIONS_LIST_MAX};
    struct err err = {0};
    int status;
    if (!options_parse(&o, argc, argv, &status))
        return status;
    if (!input_operands(&o, &status))
        return status;
    if (c.json && (c.said = json_array()) == NULL)
        return 3;
    int rc = import_all(&c, o.given, o.count, &err);
    return finish(&c, rc, &err);
}
