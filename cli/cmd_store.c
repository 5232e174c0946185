/* SPDX-License-Identifier: Apache-2.0 */
#include <pthread.h>
#include <stdlib.h>

#include "base/jobs.h"
#include "base/text.h"
#include "cli/cmd.h"
#include "cli/group.h"
#include "cli/say.h"
#include "cli/store_option.h"

/* --- verify --- */

#define WINDOW 32 /* blocks hashed at a time, on all cores */

struct item {
    struct cid cid;
    char *where;
    int rc;
    struct err err;
};

struct store_verify {
    struct store *store;
    struct jobs *jobs;
    bool json;
    struct item items[WINDOW];
    size_t count;
    uint64_t blocks, bytes, damaged, damaged_packs;
    pthread_mutex_t mutex; /* bytes */
};

static void check(void *self, size_t i)
{
    struct store_verify *v = self;
    struct item *item = &v->items[i];
    struct buf block = buf_new(BLOCK_BYTES_MAX);
    item->rc = store_get(v->store, &item->cid, &block, &item->err);
    pthread_mutex_lock(&v->mutex);
    v->bytes += block.size;
    pthread_mutex_unlock(&v->mutex);
    buf_fini(&block);
}

/* In the order in which the store lists them, whichever was hashed first. */
static int say_window(struct store_verify *v, struct err *err)
{
    char text[CID_TEXT_MAX];
    int rc = 0;
    jobs_split(v->jobs, v->count, check, v);
    for (size_t i = 0; i < v->count; i++) {
        struct item *item = &v->items[i];
        bool damaged = item->rc == ERR_CORRUPT || item->rc == ERR_NOTFOUND;
        cid_format(&item->cid, text);
        v->blocks++;
        v->damaged += damaged ? 1 : 0;
        if (item->rc != 0 && !damaged && rc == 0)
            rc = err_set(err, item->rc, "block %s in %s: %s", text, item->where, item->err.text);
        else if (damaged && !v->json)
            say_line("damaged: %s in %s: %s", text, item->where, item->err.text);
        else if (damaged && rc == 0)
            rc = say_json_row(json_pack("{s:s,s:s,s:s}", "damaged", text, "where", item->where,
                                        "why", item->err.text),
                              err);
        free(item->where);
        item->where = NULL;
    }
    v->count = 0;
    return rc;
}

static int take(void *self, const struct cid *cid, const char *where, struct err *err)
{
    struct store_verify *v = self;
    char *copy = strdup(where);
    if (copy == NULL)
        return err_set(err, ERR_NOMEM, "out of memory");
    v->items[v->count++] = (struct item){.cid = *cid, .where = copy};
    return v->count == WINDOW ? say_window(v, err) : 0;
}

/* One that cannot be looked into: which blocks it had is not known. */
static int take_damaged(void *self, const char *where, const struct err *why, struct err *err)
{
    struct store_verify *v = self;
    v->damaged_packs++;
    if (v->json)
        return say_json_row(json_pack("{s:s,s:s}", "damaged_pack", where, "why", why->text), err);
    say_line("damaged: pack %s: %s", where, why->text);
    return 0;
}

static int verify(struct store_verify *v, const char *dir, struct err *err)
{
    int rc = store_option_open(dir, STORE_READ_ONLY, &v->store, err);
    if (rc == 0)
        rc = jobs_new(0, &v->jobs, err);
    if (rc == 0)
        rc = store_each(v->store, take, take_damaged, v, err);
    if (rc == 0)
        rc = say_window(v, err);
    for (size_t i = 0; i < v->count; i++)
        free(v->items[i].where);
    jobs_free(v->jobs);
    store_close(v->store);
    return rc;
}

static int say_verified(const struct store_verify *v)
{
    char size[TEXT_SMALL];
    int status = v->damaged + v->damaged_packs > 0 ? 1 : 0;
    if (v->json)
        return say_json(json_pack("{s:I,s:I,s:I,s:I}", "blocks", (json_int_t)v->blocks, "bytes",
                                  (json_int_t)v->bytes, "damaged_packs",
                                  (json_int_t)v->damaged_packs, "damaged",
                                  (json_int_t)v->damaged)) != 0
                   ? 3
                   : status;
    if (v->damaged_packs > 0)
        say_line("%llu packs damaged", (unsigned long long)v->damaged_packs);
    say_line("%llu blocks, %s: %llu damaged", (unsigned long long)v->blocks,
             text_format_size(v->bytes, size), (unsigned long long)v->damaged);
    return status;
}

static int store_verify(int argc, char **argv)
{
    static struct store_verify v;
    v = (struct store_verify){.count = 0};
    const char *dir = NULL;
    const struct options_row rows[] = {
        STORE_OPTION_ROW(&dir),
        {.name = "json",
         .flag = &v.json,
         .help = "say each damaged block as a line of JSON, and the counts as one"},
    };
    struct options o = {.command = "colmeia store verify",
                        .operands = "",
                        .about = "Hashes every block and names each that is damaged. Put it anew, "
                                 "and it takes the damaged one's place.",
                        OPTIONS_ROWS(rows)};
    struct err err = {0};
    int status;
    if (!options_parse(&o, argc, argv, &status))
        return status;
    pthread_mutex_init(&v.mutex, NULL);
    int rc = verify(&v, dir, &err);
    pthread_mutex_destroy(&v.mutex);
    return rc != 0 ? say_error(o.command, rc, &err) : say_verified(&v);
}

/* --- stat --- */

static void say_count(const char *what, uint64_t count, uint64_t bytes)
{
    char size[TEXT_SMALL];
    say_line("%-12s %10llu  %s", what, (unsigned long long)count, text_format_size(bytes, size));
}

/* What the counts leave out is said beside them. */
static int say_damaged(const struct store_stat *s)
{
    struct err err = {0};
    if (s->damaged_packs == 0)
        return 0;
    err_set(&err, ERR_CORRUPT,
            "%llu damaged pack%s not counted; the first: %.500s; `colmeia store verify` names all",
            (unsigned long long)s->damaged_packs, s->damaged_packs == 1 ? "" : "s",
            s->first_damaged.text);
    say_error("colmeia store stat", ERR_CORRUPT, &err);
    return 1;
}

static int say_stat(const char *path, const struct store_stat *s, bool json)
{
    if (json)
        return say_json(json_pack(
            "{s:s,s:I,s:I,s:I,s:I,s:I,s:I,s:I,s:I,s:I}", "store", path, "single_blocks",
            (json_int_t)s->single_blocks, "single_bytes", (json_int_t)s->single_bytes, "packs",
            (json_int_t)s->packs, "pack_blocks", (json_int_t)s->pack_blocks, "pack_bytes",
            (json_int_t)s->pack_bytes, "reference_blocks", (json_int_t)s->reference_blocks,
            "models", (json_int_t)s->models, "model_bytes", (json_int_t)s->model_bytes,
            "damaged_packs", (json_int_t)s->damaged_packs));
    say_line("%s", path);
    say_count("single files", s->single_blocks, s->single_bytes);
    say_count("in packs", s->pack_blocks, s->pack_bytes);
    say_line("%-12s %10llu", "packs", (unsigned long long)s->packs);
    if (s->reference_blocks > 0)
        say_line("%-12s %10llu", "not copied", (unsigned long long)s->reference_blocks);
    if (s->models > 0)
        say_count("models", s->models, s->model_bytes);
    return 0;
}

static int stat_store(const char *dir, struct store_stat *out, char path[FILES_PATH_MAX],
                      struct err *err)
{
    struct store *s = NULL;
    int rc = store_option_path(dir, path, err);
    if (rc == 0)
        rc = store_option_open(dir, STORE_READ_ONLY, &s, err);
    if (rc == 0)
        rc = store_stat(s, out, err);
    store_close(s);
    return rc;
}

static int store_stat_command(int argc, char **argv)
{
    const char *dir = NULL;
    bool json = false;
    const struct options_row rows[] = {STORE_OPTION_ROW(&dir), OPTIONS_JSON_ROW(&json)};
    struct options o = {.command = "colmeia store stat",
                        .operands = "",
                        .about = "How many blocks a store holds, and where they lie.",
                        OPTIONS_ROWS(rows)};
    struct err err = {0};
    struct store_stat s = {0};
    char path[FILES_PATH_MAX];
    int status;
    if (!options_parse(&o, argc, argv, &status))
        return status;
    int rc = stat_store(dir, &s, path, &err);
    if (rc != 0)
        return say_error(o.command, rc, &err);
    int damaged = say_damaged(&s);
    status = say_stat(path, &s, json);
    return status != 0 ? status : damaged;
}

int cmd_store(int argc, char **argv)
{
    static const struct group_row rows[] = {
        {"verify", store_verify, "hash every block and name those that are damaged"},
        {"stat", store_stat_command, "how many blocks there are, and where they lie"},
    };
    return group_run("colmeia store", rows, sizeof rows / sizeof rows[0], argc, argv);
}

/* The words of those who know `ipfs`. */
int cmd_store_repo(int argc, char **argv)
{
    static const struct group_row rows[] = {
        {"gc", cmd_gc, "remove what no pin reaches (colmeia gc)"},
        {"verify", store_verify, "hash every block (colmeia store verify)"},
        {"stat", store_stat_command, "how many blocks there are (colmeia store stat)"},
    };
    return group_run("colmeia repo", rows, sizeof rows / sizeof rows[0], argc, argv);
}
