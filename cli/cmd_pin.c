/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>

#include "cli/cmd.h"
#include "cli/group.h"
#include "cli/origin.h"
#include "cli/pinned.h"
#include "cli/presence.h"
#include "cli/say.h"

/* --- add --- */

struct pin_add {
    struct origin origin;
    const char *name;
    bool direct, recursive;
};

/* `gc` would take what such a block links for garbage. */
static int refuse_strange(const struct cid *cid, struct err *err)
{
    struct err why = {0};
    int rc = presence_tell_strange(cid, &why);
    return err_set(err, rc, "%s; --direct pins the block alone", why.text);
}

/* A pin promises that all of it is here. */
static int check_presence(const struct origin *o, const struct cid *root, bool direct,
                          struct err *err)
{
    char text[CID_TEXT_MAX], missed[CID_TEXT_MAX];
    struct presence_result look;
    if (direct && !store_has(o->store, root))
        return err_set(err, ERR_NOTFOUND, "block %s is not here", cid_format(root, text));
    if (direct)
        return 0;
    int rc = presence_in_store(o->store, root, &look, err);
    if (rc == 0 && !cid_is_none(&look.strange))
        rc = refuse_strange(&look.strange, err);
    if (rc == 0 && look.missing > 0)
        rc = err_set(err, ERR_NOTFOUND, "%s: block %s is not here, %llu missing in all",
                     cid_format(root, text), cid_format(&look.missed, missed),
                     (unsigned long long)look.missing);
    return rc;
}

static int pin_one(struct pin_add *p, const char *target, struct err *err)
{
    struct origin *o = &p->origin;
    struct buf block = buf_new(BLOCK_BYTES_MAX);
    char text[CID_TEXT_MAX];
    struct cid cid;
    int rc = origin_find(o, target, &cid, NULL, err);
    if (rc == 0 && !p->direct && presence_strange(&cid))
        rc = refuse_strange(&cid, err);
    else if (rc == 0 && !p->direct)
        rc = origin_fetch(o, &cid, true, err);
    else if (rc == 0 && o->sources != NULL)
        rc = block_source_get(&o->source, &cid, &block, err);
    if (rc == 0 && !cid_identity(&cid, NULL))
        rc = check_presence(o, &cid, p->direct, err);
    if (rc == 0)
        rc = pinned_add(o->store, &cid, !p->direct, p->name, err);
    if (rc == 0)
        say_line("pinned %s %s", cid_format(&cid, text), p->direct ? "directly" : "recursively");
    buf_fini(&block);
    return rc;
}

static int add_pins(void *self, const struct options *o, struct err *err)
{
    struct pin_add *p = self;
    int rc = pinned_check_name(p->name, err);
    p->direct = p->direct || !p->recursive;
    if (rc == 0)
        rc = origin_open(&p->origin, true, err);
    for (size_t i = 0; rc == 0 && i < o->count; i++)
        rc = pin_one(p, o->given[i], err);
    origin_close(&p->origin);
    return rc;
}

static int pin_add(int argc, char **argv)
{
    struct pin_add p = {.recursive = true};
    const struct options_row rows[] = {
        {.name = "name",
         .letter = 'n',
         .argument = "NAME",
         .text = &p.name,
         .help = "the pin's name"},
        {.name = "direct", .flag = &p.direct, .help = "the block alone, not what it reaches"},
        {.name = "recursive",
         .letter = 'r',
         .flag = &p.recursive,
         .help = "and what it reaches: so in any case; =false is --direct"},
        ORIGIN_MADE_ROWS(&p.origin),
    };
    struct options o = {.command = "colmeia pin add",
                        .operands = "CID[/PATH]...",
                        .about = "Keeps what a CID reaches: `gc` removes nothing of it. All of it "
                                 "must be in the store, or with --from is fetched.",
                        OPTIONS_ROWS(rows),
                        .least = 1,
                        .most = OPTIONS_LIST_MAX};
    return options_run(&o, argc, argv, add_pins, &p);
}

/* A pin is asked for as it was set: by a CID, or by a path that leads to one. */
static int find_pinned(struct store *s, const char *text, struct cid *out, struct err *err)
{
    struct origin o = {.store = s, .source = store_source(s)};
    return origin_find(&o, text, out, NULL, err);
}

/* --- ls --- */

struct pin_ls {
    const char *dir, *type;
    bool quiet, json, names;
};

static int say_pin(void *self, const struct pin *pin, struct err *err)
{
    const struct pin_ls *l = self;
    char text[CID_TEXT_MAX];
    const char *kind = pin->recursive ? "recursive" : "direct";
    if (strcmp(l->type, "all") != 0 && strcmp(l->type, kind) != 0)
        return 0;
    cid_format(&pin->cid, text);
    if (l->json)
        return say_json_row(
            json_pack("{s:s,s:s,s:s}", "cid", text, "kind", kind, "name", pin->name), err);
    if (l->quiet)
        say_line("%s", text);
    else
        say_line("%s %s%s%s", text, kind, pin->name[0] != '\0' ? " " : "", pin->name);
    return 0;
}

static int say_one(void *self, struct store *s, const char *text, struct err *err)
{
    struct cid cid;
    struct pin pin;
    char shown[CID_TEXT_MAX];
    int rc = find_pinned(s, text, &cid, err);
    if (rc != 0)
        return rc;
    rc = pins_get(store_files(s), store_root(s), &cid, &pin, err);
    return rc != 0 ? err_wrap(err, rc, "%s", cid_format(&cid, shown)) : say_pin(self, &pin, err);
}

static int say_pins(void *self, const struct options *o, struct err *err)
{
    struct pin_ls *l = self;
    struct store *s = NULL;
    if (strcmp(l->type, "all") != 0 && strcmp(l->type, "direct") != 0 &&
        strcmp(l->type, "recursive") != 0)
        return err_set(err, ERR_USAGE, "--type: \"%s\" is not direct, recursive or all", l->type);
    if (o->count > 0)
        return store_option_each(l->dir, STORE_READ_ONLY, o, say_one, l, err);
    int rc = store_option_open(l->dir, STORE_READ_ONLY, &s, err);
    if (rc == 0)
        rc = pins_each(store_files(s), store_root(s), say_pin, l, err);
    store_close(s);
    return rc;
}

static int pin_ls(int argc, char **argv)
{
    struct pin_ls l = {.type = "all"};
    const struct options_row rows[] = {
        {.name = "quiet", .letter = 'q', .flag = &l.quiet, .help = "say CIDs alone"},
        {.name = "type",
         .letter = 't',
         .argument = "TYPE",
         .text = &l.type,
         .help = "direct, recursive or all (default)"},
        {.name = "names", .letter = 'n', .flag = &l.names, .help = "they are said in any case"},
        STORE_OPTION_ROW(&l.dir),
        OPTIONS_JSON_LINES_ROW(&l.json),
    };
    struct options o = {.command = "colmeia pin ls",
                        .operands = "[CID[/PATH]]...",
                        .about = "Lists the pins, or those of the CIDs that are named.",
                        OPTIONS_ROWS(rows),
                        .most = OPTIONS_LIST_MAX};
    return options_run(&o, argc, argv, say_pins, &l);
}

/* --- rm --- */

static int unpin(void *self, struct store *s, const char *text, struct err *err)
{
    struct cid cid;
    char shown[CID_TEXT_MAX];
    (void)self;
    int rc = find_pinned(s, text, &cid, err);
    if (rc != 0)
        return rc;
    rc = pins_remove(store_files(s), store_root(s), &cid, err);
    if (rc != 0)
        return err_wrap(err, rc, "%s", cid_format(&cid, shown));
    say_line("unpinned %s", cid_format(&cid, shown));
    return 0;
}

static int unpin_all(void *self, const struct options *o, struct err *err)
{
    const char *const *dir = self;
    return store_option_each(*dir, STORE_SHARE, o, unpin, NULL, err);
}

static int pin_rm(int argc, char **argv)
{
    const char *dir = NULL;
    const struct options_row rows[] = {STORE_OPTION_ROW(&dir)};
    struct options o = {.command = "colmeia pin rm",
                        .operands = "CID[/PATH]...",
                        .about = "Removes pins; the blocks stay until `gc`.",
                        OPTIONS_ROWS(rows),
                        .least = 1,
                        .most = OPTIONS_LIST_MAX};
    return options_run(&o, argc, argv, unpin_all, &dir);
}

int cmd_pin(int argc, char **argv)
{
    static const struct group_row rows[] = {
        {"add", pin_add, "keep what a CID reaches"},
        {"ls", pin_ls, "the pins"},
        {"rm", pin_rm, "keep it no longer"},
    };
    return group_run("colmeia pin", rows, sizeof rows / sizeof rows[0], argc, argv);
}
