/* SPDX-License-Identifier: Apache-2.0 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/text.h"
#include "cli/cmd.h"
#include "cli/entry_kind.h"
#include "cli/origin.h"
#include "cli/say.h"
#include "content/directory.h"

struct ls {
    struct origin origin;
    bool json;
    struct buf block; /* of an entry */
};

/* Kind and size are in the entry's own block, which need not be here. */
static int look(struct ls *l, const struct hamt_entry *entry, struct entry_kind *out,
                struct err *err)
{
    *out = (struct entry_kind){.name = "unknown"};
    if (cid_codec(&entry->cid) == CID_RAW && entry->total_bytes > 0) {
        *out = (struct entry_kind){.name = "file", .has_bytes = true, .bytes = entry->total_bytes};
        return 0;
    }
    int rc = block_source_get(&l->origin.source, &entry->cid, &l->block, err);
    if (rc == ERR_NOTFOUND)
        return 0;
    return rc != 0 ? rc : entry_kind_of(&entry->cid, buf_bytes(&l->block), out, err);
}

/* JSON holds text only: bytes that are none are said as \xNN. */
static int say_as_json(const struct hamt_entry *entry, const char *cid,
                       const struct entry_kind *kind, struct err *err)
{
    struct buf name = buf_new(BLOCK_BYTES_MAX);
    if (text_is_utf8(entry->name))
        buf_append(&name, entry->name.data, entry->name.size);
    else
        say_clean(&name, entry->name);
    json_t *object = json_pack("{s:s,s:s,s:s,s:I}", "name", buf_text(&name), "cid", cid, "type",
                               kind->name, "total_bytes", (json_int_t)entry->total_bytes);
    buf_fini(&name);
    if (object != NULL && kind->has_bytes)
        json_object_set_new(object, "bytes", json_integer((json_int_t)kind->bytes));
    return say_json_row(object, err);
}

static int say_entry(void *self, const struct hamt_entry *entry, struct err *err)
{
    struct ls *l = self;
    struct entry_kind kind;
    char cid[CID_TEXT_MAX], size[24] = "-";
    int rc = look(l, entry, &kind, err);
    if (rc != 0)
        return err_wrap(err, rc, "%.*s", (int)(entry->name.size < 255 ? entry->name.size : 255),
                        (const char *)entry->name.data);
    cid_format(&entry->cid, cid);
    if (l->json)
        return say_as_json(entry, cid, &kind, err);
    if (kind.has_bytes)
        snprintf(size, sizeof size, "%" PRIu64, kind.bytes);
    struct buf name = buf_new(BLOCK_BYTES_MAX);
    say_clean(&name, entry->name); /* a NUL too, where a string would end */
    say_line("%s %s %s%s", cid, size, buf_text(&name), kind.folder ? "/" : "");
    buf_fini(&name);
    return 0;
}

static int list(void *self, const struct options *o, struct err *err)
{
    struct ls *l = self;
    struct buf block = buf_new(BLOCK_BYTES_MAX);
    struct entry_kind kind;
    struct cid root;
    l->block = buf_new(BLOCK_BYTES_MAX);
    int rc = origin_load(&l->origin, o->given[0], &root, NULL, &block, err);
    if (rc == 0)
        rc = entry_kind_of(&root, buf_bytes(&block), &kind, err);
    if (rc == 0 && !kind.folder)
        rc = err_set(err, ERR_UNSUPPORTED, "%s is a %s, not a folder; `colmeia stat` tells more",
                     o->given[0], kind.name);
    if (rc == 0)
        rc = directory_each(&l->origin.source, buf_bytes(&block), say_entry, NULL, l, err);
    buf_fini(&l->block);
    buf_fini(&block);
    origin_close(&l->origin);
    return rc;
}

int cmd_ls(int argc, char **argv)
{
    struct ls l = {0};
    const struct options_row rows[] = {ORIGIN_ROWS(&l.origin), OPTIONS_JSON_LINES_ROW(&l.json)};
    struct options o = {.command = "colmeia ls",
                        .operands = "CID[/PATH]",
                        .about = "Lists a folder: CID, size (- for a folder, and for what is not "
                                 "here) and name of each entry.",
                        OPTIONS_ROWS(rows),
                        .least = 1,
                        .most = 1};
    return options_run(&o, argc, argv, list, &l);
}
