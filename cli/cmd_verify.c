/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <sys/resource.h>

#include "base/jobs.h"
#include "base/journal.h"
#include "cli/cmd.h"
#include "cli/options.h"
#include "cli/say.h"
#include "study/verify.h"

struct progress {
    bool worker, told;
};

static void print_round(void *self, uint64_t round, const struct cid *record,
                        const struct cid *next, enum verify_depth depth)
{
    const struct progress *p = self;
    char a[CID_TEXT_MAX], b[CID_TEXT_MAX];
    const char *how = depth == VERIFY_FULL ? "recomputed"
                      : p->worker          ? "signatures only (not held here)"
                                           : "signatures only (deleted by plan)";
    if (p->told)
        say_line("round %llu, record %s, model %s: %s", (unsigned long long)round,
                 cid_format(record, a), cid_format(next, b), how);
}

static bool is_there(const char *dir, const char *name)
{
    char path[FILES_PATH_MAX];
    return files_join(path, dir, name, NULL) == 0 && files_exists(files_posix(), path);
}

/* The journal is no part of the study, but a damaged one is worth knowing before `run` says so. */
static int check_journal(const char *dir, struct err *err)
{
    char path[FILES_PATH_MAX];
    int rc = files_join(path, dir, "journal", err);
    if (rc != 0 || !files_exists(files_posix(), path))
        return rc;
    rc = journal_check(files_posix(), path, NULL, NULL, err);
    return rc != 0 ? err_wrap(err, rc, "journal") : 0;
}

/* A round may have a thousand packs open at once. */
static void allow_many_files(void)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
        limit.rlim_cur = limit.rlim_max;
        (void)setrlimit(RLIMIT_NOFILE, &limit);
    }
}

static int verify(struct verify_options *v, struct verify_result *out, struct err *err)
{
    int rc = files_exists(files_posix(), v->dir)
                 ? check_journal(v->dir, err)
                 : err_set(err, ERR_USAGE, "there is no folder %s", v->dir);
    if (rc == 0)
        rc = jobs_new(0, &v->jobs, err);
    if (rc == 0)
        rc = verify_study(v, out, err);
    jobs_free(v->jobs);
    return rc;
}

static int print_bad(const struct options *o, bool json, int rc, const struct verify_result *found,
                     const struct err *err)
{
    char text[CID_TEXT_MAX];
    if (!json)
        return say_error(o->command, rc, err);
    int status = say_json(json_pack(
        "{s:b,s:s,s:s,s:s?}", "verified", 0, "code", err_name(rc), "error", err->text, "record",
        cid_is_none(&found->bad_record) ? NULL : cid_format(&found->bad_record, text)));
    return status != 0 ? status : say_status(rc);
}

static int print_good(bool json, const struct verify_options *v, const struct verify_result *found)
{
    char study[CID_TEXT_MAX], model[CID_TEXT_MAX];
    if (json)
        return say_json(json_pack(
            "{s:b,s:b,s:s,s:I,s:I,s:s,s:b}", "verified", 1, "anchored",
            cid_is_none(&v->study) ? 0 : 1, "study", cid_format(&found->study, study), "rounds",
            (json_int_t)found->rounds, "recomputed", (json_int_t)found->recomputed, "model",
            cid_format(&found->final_model, model), "model_held", found->final_held ? 1 : 0));
    if (found->recomputed < found->rounds)
        fprintf(stderr, "note: %llu of %llu rounds: signatures only (%s)\n",
                (unsigned long long)(found->rounds - found->recomputed),
                (unsigned long long)found->rounds, v->worker ? "not held here" : "deleted by plan");
    if (!found->final_held)
        fprintf(stderr, "note: the final model itself is not held here\n");
    say_line("verified %llu rounds, final model %s", (unsigned long long)found->rounds,
             cid_format(&found->final_model, model));
    return 0;
}

int cmd_verify(int argc, char **argv)
{
    struct progress progress = {.worker = false};
    struct verify_options v = {.round = print_round, .self = &progress};
    struct verify_result found = {.rounds = 0};
    bool json = false;
    const struct options_row rows[] = {
        {.name = "study",
         .argument = "CID",
         .cid = &v.study,
         .help = "the study's id as you were given it: the trust anchor"},
        {.name = "head",
         .argument = "CID",
         .cid = &v.head,
         .help = "the round record to begin from, not DIR/head"},
        {.name = "verbose", .letter = 'v', .flag = &progress.told, .help = "a line a round"},
        {.name = "json", .flag = &json, .help = "say the result as JSON"},
    };
    struct options o = {.command = "colmeia verify",
                        .operands = "DIR",
                        .about = "Recomputes a study from its folder: every signature, link, hash "
                                 "and average from the charter on.\nNames the first record that "
                                 "lies.",
                        .rows = rows,
                        .row_count = sizeof rows / sizeof rows[0],
                        .least = 1,
                        .most = 1};
    struct err err = {0};
    char text[CID_TEXT_MAX];
    int status;
    if (!options_parse(&o, argc, argv, &status))
        return status;
    progress.told = progress.told && !json;
    v.dir = o.given[0];
    v.worker = progress.worker = is_there(v.dir, "site");
    allow_many_files();
    int rc = verify(&v, &found, &err);
    if (rc != 0)
        return print_bad(&o, json, rc, &found, &err);
    if (cid_is_none(&v.study))
        fprintf(stderr,
                "note: no trust anchor was given: this is a study, but is it yours? Ask with "
                "--study %s\n",
                cid_format(&found.study, text));
    return print_good(json, &v, &found);
}
