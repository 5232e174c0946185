/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <stdlib.h>

#include "cli/cmd.h"
#include "cli/options.h"
#include "cli/say.h"
#include "cli/simulate_run.h"
#include "cli/simulate_setup.h"
#include "cli/simulate_world.h"

/* --- the clients' data --- */

struct data_files {
    const char *dir;
    size_t count;
    char **paths; /* (count), in name order */
};

static bool ends_with(const char *text, const char *end)
{
    size_t size = strlen(text), tail = strlen(end);
    return size >= tail && strcmp(text + size - tail, end) == 0;
}

static int add_file(void *arg, const char *name, struct err *err)
{
    struct data_files *d = arg;
    char path[FILES_PATH_MAX];
    if (!ends_with(name, ".csv") && !ends_with(name, "images-idx3-ubyte"))
        return 0;
    if (d->count == SIMULATE_SITES_MAX)
        return err_set(err, ERR_USAGE, "more than %d data files", SIMULATE_SITES_MAX);
    int rc = files_join(path, d->dir, name, err);
    if (rc != 0)
        return rc;
    char **more = realloc(d->paths, (d->count + 1) * sizeof *more);
    if (more == NULL)
        return err_set(err, ERR_NOMEM, "out of memory");
    d->paths = more;
    more[d->count] = strdup(path);
    if (more[d->count] == NULL)
        return err_set(err, ERR_NOMEM, "out of memory");
    d->count++;
    return 0;
}

static int list_data(const char *dir, struct data_files *out, struct err *err)
{
    const struct files *f = files_posix();
    out->dir = dir;
    int rc = f->list(f->self, dir, add_file, out, err);
    if (rc == 0 && out->count == 0)
        rc = err_set(err, ERR_USAGE, "no file *.csv or *images-idx3-ubyte");
    return rc != 0 ? err_wrap(err, rc == ERR_NOTFOUND ? ERR_USAGE : rc, "data folder %.512s", dir)
                   : 0;
}

static void free_data(struct data_files *d)
{
    for (size_t i = 0; i < d->count; i++)
        free(d->paths[i]);
    free(d->paths);
}

/* How many clients: as many as there are files, or the first so many of them. */
static int count_clients(const struct data_files *d, uint64_t asked, size_t *out, struct err *err)
{
    *out = asked != 0 ? (size_t)asked : d->count;
    if (*out == 0)
        return err_set(err, ERR_USAGE, "give --data DIR, or --clients N");
    if (d->count > 0 && *out > d->count)
        return err_set(err, ERR_USAGE, "%zu clients, and %zu data files in %.512s", *out, d->count,
                       d->dir);
    return 0;
}

/* --- what is said at the end --- */

static json_t *cid_or_null(const struct cid *cid)
{
    char text[CID_TEXT_MAX];
    return cid_is_none(cid) ? json_null() : json_string(cid_format(cid, text));
}

static double seconds_a_round(const struct simulate_result *r)
{
    return r->run > 0 ? r->seconds / (double)r->run : 0;
}

static int print_json(const struct simulate_result *r, size_t clients)
{
    return say_json(json_pack("{s:b,s:o,s:o,s:o,s:I,s:I,s:I,s:I,s:f,s:f}", "finished", r->finished,
                              "study", cid_or_null(&r->study), "head", cid_or_null(&r->head),
                              "model", cid_or_null(&r->model), "clients", (json_int_t)clients,
                              "rounds", (json_int_t)r->rounds, "planned", (json_int_t)r->planned,
                              "rounds_run", (json_int_t)r->run, "seconds", r->seconds,
                              "seconds_a_round", seconds_a_round(r)));
}

static void print_text(const struct simulate_setup *s, const struct simulate_result *r)
{
    char text[CID_TEXT_MAX], study[FILES_PATH_MAX];
    say_line("%llu rounds in %.2f s, %.3f s a round", (unsigned long long)r->run, r->seconds,
             seconds_a_round(r));
    if (!r->finished)
        say_line("stopped in round %llu of %llu; the same command goes on there",
                 (unsigned long long)r->rounds + 1, (unsigned long long)r->planned);
    else if (simulate_setup_study(s->out, study, NULL) == 0)
        say_line("recompute it with: colmeia verify %s --study %s", study,
                 cid_format(&r->study, text));
}

/* --- the command --- */

static int simulate(struct simulate_setup *s, const char *dir, uint64_t asked, bool json)
{
    static const char command[] = "colmeia simulate";
    struct data_files data = {.count = 0};
    struct simulate_result result = {.rounds = 0};
    struct err err = {0};
    int rc = dir == NULL ? 0 : list_data(dir, &data, &err);
    if (rc == 0)
        rc = count_clients(&data, asked, &s->clients, &err);
    s->data = dir == NULL ? NULL : data.paths;
    if (rc == 0)
        rc = simulate_setup_make(s, &err);
    if (rc == 0)
        rc = simulate_run(s->out, s->clients, json, &result, &err);
    free_data(&data);
    if (rc != 0)
        return say_error(command, rc, &err);
    if (result.failure[0] != '\0') {
        err_set(&err, ERR_IO, "%s", result.failure);
        return say_error(command, ERR_IO, &err);
    }
    int status = 0;
    if (json)
        status = print_json(&result, s->clients);
    else
        print_text(s, &result);
    return status != 0 ? status : result.finished ? 0 : 1;
}

int cmd_simulate(int argc, char **argv)
{
    struct simulate_setup s = {.out = NULL};
    const char *data = NULL;
    uint64_t clients = 0;
    bool json = false;
    const struct options_row rows[] = {
        {.name = "out",
         .letter = 'o',
         .argument = "DIR",
         .text = &s.out,
         .help = "where the study's and the sites' folders are made; one that is there goes on"},
        {.name = "data",
         .argument = "DIR",
         .text = &data,
         .help = "one file a client, in name order: *.csv or *images-idx3-ubyte"},
        {.name = "clients",
         .argument = "N",
         .number = &clients,
         .most = SIMULATE_SITES_MAX,
         .help = "how many; default: as many as there are files"},
        {.name = "model",
         .argument = "FILE",
         .text = &s.model,
         .help = "the initial model; default: made from the plan"},
        {.name = "json", .flag = &json, .help = "no line a round; the result as JSON"},
    };
    struct options o = {.command = "colmeia simulate",
                        .operands = "PLAN",
                        .about = "Runs a study with its coordinator and all its sites in this "
                                 "process, without a network: the same code, the same records, "
                                 "the same models. Interrupted, the same command goes on.",
                        .rows = rows,
                        .row_count = sizeof rows / sizeof rows[0],
                        .least = 1,
                        .most = 1};
    int status;
    if (!options_parse(&o, argc, argv, &status))
        return status;
    if (s.out == NULL)
        return say_usage(o.command, "give --out DIR");
    s.plan = o.given[0];
    return simulate(&s, data, clients, json);
}
