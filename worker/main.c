/* SPDX-License-Identifier: Apache-2.0 */
/*
 * colmeia-worker -- a site's side of a study: its folder, its string, its work.
 */
#include <getopt.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/cert.h"
#include "base/command.h"
#include "base/log.h"
#include "model/gemm.h"
#include "transport/world_real.h"
#include "worker/home.h"
#include "worker/program.h"
#include "worker/worker.h"

#define STALL_SECONDS   30  /* a transfer that moves nothing for so long is begun again */
#define GIVE_UP_SECONDS 120 /* without any progress; then the task's retry begins it again */

static const struct command_table table;

/* --- what a person reads --- */

static int print_json(const char *dir, const char *string, struct err *err)
{
    char id[CID_TEXT_MAX], study[CID_TEXT_MAX], plan[CID_TEXT_MAX];
    struct home f;
    int rc = home_open(dir, &f, err);
    if (rc != 0)
        return rc;
    json_t *object =
        json_pack("{s:s,s:s,s:s,s:s,s:s}", "name", f.site.name, "id", cid_format(&f.site.cid, id),
                  "study", cid_format(&f.invitation.study, study), "plan",
                  cid_format(&f.policy.plan, plan), "site", string);
    json_dumpf(object, stdout, JSON_COMPACT);
    putchar('\n');
    json_decref(object);
    home_close(&f);
    return 0;
}

static int print_site(const char *dir, struct buf *string, bool json, struct err *err)
{
    if (json)
        return print_json(dir, buf_text(string), err);
    puts(buf_text(string));
    return 0;
}

/* --- init --- */

static const char init_help[] =
    "usage: colmeia-worker init DIR --name NAME --study INVITATION [--data PATH] [--json]\n"
    "\n"
    "Makes this site's folder for one study: its keys, and a configuration that approves exactly\n"
    "the plan which the invitation names. Prints the site's string, by which the coordinator's\n"
    "people admit it.\n"
    "\n"
    "  --name NAME         the site's name in the study: 1 to 64 of a-z 0-9 - _ .\n"
    "  --study INVITATION  what `colmeia-coordinator init` printed\n"
    "  --data PATH         what the trainer reads: a table (CSV) or images (IDX); for a program\n"
    "                      of your own any file or folder. It never leaves this machine. May be\n"
    "                      left out for the trainers `null` and `constant`\n"
    "  --json              print {name, id, study, plan, site}\n";

static int init(int argc, char **argv)
{
    static const struct option options[] = {
        {"name", required_argument, NULL, 'n'},  {"data", required_argument, NULL, 'd'},
        {"study", required_argument, NULL, 's'}, {"json", no_argument, NULL, 'j'},
        {"help", no_argument, NULL, 'h'},        {NULL, 0, NULL, 0}};
    const char *name = NULL, *data = NULL, *study = NULL;
    bool json = false;
    struct err err = {0};
    for (int o; (o = getopt_long(argc, argv, "h", options, NULL)) != -1;) {
        if (o == 'n')
            name = optarg;
        else if (o == 'd')
            data = optarg;
        else if (o == 's')
            study = optarg;
        else if (o == 'j')
            json = true;
        else
            return o == 'h' ? (fputs(init_help, stdout), 0)
                            : command_misused(&table, "init", "unknown option");
    }
    if (optind + 1 != argc)
        return command_misused(&table, "init", "give one folder");
    if (name == NULL || study == NULL)
        return command_misused(&table, "init", "--name NAME and --study INVITATION are needed");
    const char *dir = argv[optind];
    struct buf string = buf_new(SITE_STRING_MAX);
    int rc = home_init(dir, name, data, study, &string, &err);
    if (rc == 0)
        rc = print_site(dir, &string, json, &err);
    buf_fini(&string);
    if (rc != 0)
        return command_fail(&table, rc, &err);
    fprintf(
        stderr,
        "This site's folder is %s; its config.toml approves the invitation's plan and no other.\n"
        "Give the string above to the coordinator's people, and start the worker with\n"
        "    %s run %s\n",
        dir, table.program, dir);
    return 0;
}

/* --- site --- */

static const char site_help[] = "usage: colmeia-worker site DIR [--json]\n"
                                "\n"
                                "Prints the site's string once more.\n"
                                "\n"
                                "  --json  as init's\n";

static int site(int argc, char **argv)
{
    static const struct option options[] = {
        {"json", no_argument, NULL, 'j'}, {"help", no_argument, NULL, 'h'}, {NULL, 0, NULL, 0}};
    bool json = false;
    struct err err = {0};
    for (int o; (o = getopt_long(argc, argv, "h", options, NULL)) != -1;) {
        if (o == 'j')
            json = true;
        else
            return o == 'h' ? (fputs(site_help, stdout), 0)
                            : command_misused(&table, "site", "unknown option");
    }
    if (optind + 1 != argc)
        return command_misused(&table, "site", "give one folder");
    struct buf string = buf_new(SITE_STRING_MAX);
    int rc = home_site_string(argv[optind], &string, &err);
    if (rc == 0)
        rc = print_site(argv[optind], &string, json, &err);
    buf_fini(&string);
    return rc == 0 ? 0 : command_fail(&table, rc, &err);
}

/* --- trainer --- */

static const char trainer_help[] =
    "usage: colmeia-worker trainer DIR [--json]\n"
    "\n"
    "Starts the program that [trainer] in DIR/config.toml names, shakes hands with it, and prints\n"
    "its name, version, capabilities and digest, which a plan may pin. Trains nothing.\n"
    "\n"
    "  --json  print {name, version, capabilities, digest}\n";

static void print_trainer(const struct program *p, bool json)
{
    char digest[2 * HASH_BYTES + 1];
    json_t *words = json_array();
    bytes_format_hex(bytes_of(p->digest, HASH_BYTES), digest);
    if (p->hello.trains)
        json_array_append_new(words, json_string("train"));
    if (p->hello.evaluates)
        json_array_append_new(words, json_string("evaluate"));
    json_t *object = json_pack("{s:s,s:s,s:o,s:s}", "name", p->hello.name, "version",
                               p->hello.version, "capabilities", words, "digest", digest);
    if (json) {
        json_dumpf(object, stdout, JSON_COMPACT);
        putchar('\n');
    } else {
        struct buf name = buf_new(8 * CONTRACT_NAME_MAX), version = buf_new(8 * CONTRACT_NAME_MAX);
        log_escape(&name, bytes_of_text(p->hello.name));
        log_escape(&version, bytes_of_text(p->hello.version));
        printf("name          %s\nversion       %s\ncapabilities %s%s\ndigest        %s\n",
               buf_text(&name), buf_text(&version), p->hello.trains ? " train" : "",
               p->hello.evaluates ? " evaluate" : "", digest);
        buf_fini(&name);
        buf_fini(&version);
    }
    json_decref(object);
}

static int trainer(int argc, char **argv)
{
    static const struct option options[] = {
        {"json", no_argument, NULL, 'j'}, {"help", no_argument, NULL, 'h'}, {NULL, 0, NULL, 0}};
    enum refusal_code code;
    bool json = false;
    struct home home;
    struct program program;
    struct err err = {0};
    for (int o; (o = getopt_long(argc, argv, "h", options, NULL)) != -1;) {
        if (o == 'j')
            json = true;
        else
            return o == 'h' ? (fputs(trainer_help, stdout), 0)
                            : command_misused(&table, "trainer", "unknown option");
    }
    if (optind + 1 != argc)
        return command_misused(&table, "trainer", "give one folder");
    int rc = home_open(argv[optind], &home, &err);
    if (rc != 0)
        return command_fail(&table, rc, &err);
    program_init(&program, home.dir, home.site.name);
    rc = program_start(&program, &home.policy.trainer, NULL, NULL, &code, &err);
    if (rc == 0)
        print_trainer(&program, json);
    else if (code != REFUSAL_NONE)
        err_wrap(&err, rc, "%s", refusal_name(code));
    program_stop(&program);
    home_close(&home);
    return rc == 0 ? 0 : command_fail(&table, rc, &err);
}

/* --- run --- */

static const char run_help[] =
    "usage: colmeia-worker run DIR\n"
    "\n"
    "Takes part in the study until it is finished. SIGINT and SIGTERM end it in order; started\n"
    "again, it goes on where it was. A worker that is not admitted yet says so and goes on "
    "trying.\n";

/* The coordinator as the invitation describes it. */
static int open_world(const struct home *f, struct world_real **out, struct err *err)
{
    char pin[64];
    cert_format_pin(f->invitation.pin, pin);
    const struct world_real_worker config = {.bus = {.control = f->invitation.control,
                                                     .hints = f->invitation.hints,
                                                     .server = f->invitation.curve,
                                                     .curve = f->curve},
                                             .url_count = f->invitation.url_count,
                                             .urls = f->invitation.urls,
                                             .pin = pin,
                                             .stall_seconds = STALL_SECONDS,
                                             .give_up_seconds = GIVE_UP_SECONDS};
    return world_real_worker(&config, out, err);
}

static int work(struct worker *w, struct home *f, struct err *err)
{
    struct world_real *world = NULL;
    int rc = open_world(f, &world, err);
    if (rc == 0) {
        rc = worker_open(w, f, world_real_table(world), err);
        if (rc == 0) {
            perform_say(w, NULL, "site %s is at work in %s", f->site.name, f->dir);
            rc = worker_run(w, err);
        }
        worker_close(w);
    }
    world_real_close(world);
    return rc;
}

static int run(int argc, char **argv)
{
    static const struct option options[] = {{"help", no_argument, NULL, 'h'}, {NULL, 0, NULL, 0}};
    struct home home;
    struct err err = {0};
    for (int o; (o = getopt_long(argc, argv, "h", options, NULL)) != -1;)
        return o == 'h' ? (fputs(run_help, stdout), 0)
                        : command_misused(&table, "run", "unknown option");
    if (optind + 1 != argc)
        return command_misused(&table, "run", "give one folder");
    int rc = home_open(argv[optind], &home, &err);
    if (rc != 0)
        return command_fail(&table, rc, &err);
    struct worker *w = calloc(1, sizeof *w);
    if (w == NULL) {
        home_close(&home);
        return COMMAND_ENVIRONMENT;
    }
    gemm_setup();
    rc = work(w, &home, &err);
    int code = rc != 0 ? command_fail(&table, rc, &err) : w->exit_code;
    free(w);
    home_close(&home);
    return code;
}

/* --- the table --- */

static const struct command commands[] = {
    {"init", init, "DIR --name NAME --study INVITATION",
     "make this site's folder, print its string"},
    {"run", run, "DIR", "take part until the study is finished"},
    {"site", site, "DIR", "print the site's string once more"},
    {"trainer", trainer, "DIR", "try the site's own trainer out, print its digest"},
};

static const struct command_table table = {"colmeia-worker", commands,
                                           sizeof commands / sizeof commands[0]};

int main(int argc, char **argv)
{
    return command_main(&table, argc, argv);
}
