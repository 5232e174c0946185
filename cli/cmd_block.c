/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>

#include "cli/cmd.h"
#include "cli/group.h"
#include "cli/input.h"
#include "cli/origin.h"
#include "cli/pinned.h"
#include "cli/say.h"
#include "cli/study_store.h"
#include "content/dag.h"

/* --- get and stat --- */

struct block_look {
    struct origin origin;
    bool json;
};

static int print_block(void *self, const struct options *o, struct err *err)
{
    struct block_look *l = self;
    struct buf block = buf_new(BLOCK_BYTES_MAX);
    struct cid cid;
    int rc = origin_load(&l->origin, o->given[0], &cid, NULL, &block, err);
    if (rc == 0)
        fwrite(block.data, 1, block.size, stdout);
    buf_fini(&block);
    origin_close(&l->origin);
    return rc;
}

static int stat_block(void *self, const struct options *o, struct err *err)
{
    struct block_look *l = self;
    struct buf block = buf_new(BLOCK_BYTES_MAX);
    struct cid cid;
    char text[CID_TEXT_MAX];
    int rc = origin_load(&l->origin, o->given[0], &cid, NULL, &block, err);
    if (rc == 0 && l->json) {
        rc = say_json_row(
            json_pack("{s:s,s:I}", "cid", cid_format(&cid, text), "bytes", (json_int_t)block.size),
            err);
    } else if (rc == 0) {
        say_line("Key: %s", cid_format(&cid, text));
        say_line("Size: %zu", block.size);
    }
    buf_fini(&block);
    origin_close(&l->origin);
    return rc;
}

static int block_get(int argc, char **argv)
{
    struct block_look l = {0};
    const struct options_row rows[] = {ORIGIN_ROWS(&l.origin)};
    struct options o = {.command = "colmeia block get",
                        .operands = "CID[/PATH]",
                        .about = "Writes a block's bytes, hashed, to the standard output.",
                        OPTIONS_ROWS(rows),
                        .least = 1,
                        .most = 1};
    return options_run(&o, argc, argv, print_block, &l);
}

static int block_stat(int argc, char **argv)
{
    struct block_look l = {0};
    const struct options_row rows[] = {ORIGIN_ROWS(&l.origin), OPTIONS_JSON_ROW(&l.json)};
    struct options o = {.command = "colmeia block stat",
                        .operands = "CID[/PATH]",
                        .about = "Says a block's CID and size.",
                        OPTIONS_ROWS(rows),
                        .least = 1,
                        .most = 1};
    return options_run(&o, argc, argv, stat_block, &l);
}

/* --- put --- */

struct block_put {
    const char *dir, *codec_name;
    uint32_t codec;
    bool pin, json;
    struct store *store;
};

static int find_codec(struct block_put *p, struct err *err)
{
    static const struct {
        const char *name;
        uint32_t codec;
    } codecs[] = {{"raw", CID_RAW},
                  {"dag-pb", CID_DAG_PB},
                  {"dag-cbor", CID_DAG_CBOR},
                  {"dag-json", CID_DAG_JSON}};
    for (size_t i = 0; i < sizeof codecs / sizeof codecs[0]; i++)
        if (strcmp(p->codec_name, codecs[i].name) == 0) {
            p->codec = codecs[i].codec;
            return 0;
        }
    return err_set(err, ERR_USAGE, "--codec %s: raw, dag-pb, dag-cbor and dag-json are known",
                   p->codec_name);
}

static int pass_over(void *self, const struct cid *link, struct err *err)
{
    (void)self;
    (void)link;
    (void)err;
    return 0;
}

static int say_put(const struct block_put *p, const struct cid *cid, size_t size, struct err *err)
{
    char text[CID_TEXT_MAX];
    cid_format(cid, text);
    if (p->json)
        return say_json_row(json_pack("{s:s,s:I}", "cid", text, "bytes", (json_int_t)size), err);
    say_line("%s", text);
    return 0;
}

/* A block that its codec does not accept would be one that nobody can read. */
static int put_one(struct block_put *p, const char *path, struct err *err)
{
    struct buf block = buf_new(BLOCK_BYTES_MAX);
    struct cid cid = {.size = 1, .bytes = {1}};
    int rc = input_load(path, &block, err);
    if (rc == 0) {
        cid = cid_of(p->codec, buf_bytes(&block));
        rc = dag_each_link(&cid, buf_bytes(&block), pass_over, NULL, err);
        if (rc != 0)
            err_wrap(err, rc, "%s: no %s", path, p->codec_name);
    }
    if (rc == 0)
        rc = store_put(p->store, &cid, buf_bytes(&block), err);
    if (rc == 0)
        rc = store_sync(p->store, &cid, 1, err);
    if (rc == 0 && p->pin)
        rc = pinned_add(p->store, &cid, true, NULL, err);
    if (rc == 0)
        rc = say_put(p, &cid, block.size, err);
    buf_fini(&block);
    return rc;
}

static int put_all(struct block_put *p, char **paths, size_t count, struct err *err)
{
    int rc = find_codec(p, err);
    if (rc == 0)
        rc = store_option_open(p->dir, STORE_SHARE, &p->store, err);
    for (size_t i = 0; rc == 0 && i < count; i++)
        rc = put_one(p, paths[i], err);
    store_close(p->store);
    return rc;
}

static int block_put(int argc, char **argv)
{
    struct block_put p = {.codec_name = "raw"};
    const struct options_row rows[] = {
        {.name = "codec",
         .argument = "NAME",
         .text = &p.codec_name,
         .help = "raw (if not given), dag-pb, dag-cbor or dag-json: checked"},
        {.name = "cid-codec", .argument = "NAME", .text = &p.codec_name, .help = "the same"},
        {.name = "pin", .flag = &p.pin, .help = "and pin it, with what it links to"},
        STORE_OPTION_MADE_ROW(&p.dir),
        OPTIONS_JSON_LINES_ROW(&p.json),
    };
    struct options o = {.command = "colmeia block put",
                        .operands = "[FILE|-]...",
                        .about = "Stores each file, or the standard input, as one block and prints "
                                 "its CID.",
                        OPTIONS_ROWS(rows),
                        .most = OPTIONS_LIST_MAX};
    struct err err = {0};
    int status;
    if (!options_parse(&o, argc, argv, &status))
        return status;
    if (!input_operands(&o, &status))
        return status;
    int rc = put_all(&p, o.given, o.count, &err);
    return rc != 0 ? say_error(o.command, rc, &err) : 0;
}

/* --- rm --- */

struct block_rm {
    const char *dir;
    bool force;
};

static int remove_one(void *self, struct store *s, const char *text, struct err *err)
{
    const struct block_rm *r = self;
    struct cid cid, by = {0};
    char pin[CID_TEXT_MAX];
    int rc = options_cid(text, &cid, err);
    if (rc != 0)
        return rc;
    if (!store_has(s, &cid) && !r->force)
        return err_set(err, ERR_NOTFOUND, "block %s is not here", text);
    rc = pinned_by(s, &cid, &by, err);
    if (rc == 0 && !cid_is_none(&by))
        rc = err_set(err, ERR_DENIED, "block %s is kept by the pin %s", text, cid_format(&by, pin));
    if (rc == 0)
        rc = store_delete(s, &cid, err);
    if (rc == 0 && store_has(s, &cid))
        rc = err_set(err, ERR_DENIED,
                     "block %s lies in a pack with others; `colmeia gc` removes what no pin keeps",
                     text);
    if (rc == 0)
        say_line("removed %s", text);
    return rc;
}

static int remove_all(void *self, const struct options *o, struct err *err)
{
    struct block_rm *r = self;
    int rc = study_store_refuse(r->dir, err);
    return rc != 0 ? rc : store_option_each(r->dir, STORE_WRITE, o, remove_one, r, err);
}

static int block_rm(int argc, char **argv)
{
    struct block_rm r = {0};
    const struct options_row rows[] = {
        {.name = "force", .letter = 'f', .flag = &r.force, .help = "no error if it is not there"},
        STUDY_STORE_REFUSED_ROW(&r.dir),
    };
    struct options o = {.command = "colmeia block rm",
                        .operands = "CID...",
                        .about = "Removes blocks that no pin keeps.",
                        OPTIONS_ROWS(rows),
                        .least = 1,
                        .most = OPTIONS_LIST_MAX};
    return options_run(&o, argc, argv, remove_all, &r);
}

int cmd_block(int argc, char **argv)
{
    static const struct group_row rows[] = {
        {"get", block_get, "a block's bytes"},
        {"put", block_put, "store files as one block each"},
        {"stat", block_stat, "a block's CID and size"},
        {"rm", block_rm, "remove blocks that no pin keeps"},
    };
    return group_run("colmeia block", rows, sizeof rows / sizeof rows[0], argc, argv);
}
