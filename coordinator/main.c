/* SPDX-License-Identifier: Apache-2.0 */
/*
 * colmeia-coordinator -- leads a study: its founding, its sites, its rounds.
 */
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/command.h"
#include "coordinator/admission.h"
#include "coordinator/coordinator.h"
#include "coordinator/founding.h"
#include "transport/world_real.h"

static const struct command_table table;

/* --- what a person reads --- */

static int print_invitation(const struct invitation *i, bool json, struct err *err)
{
    char study[CID_TEXT_MAX], plan[CID_TEXT_MAX];
    struct buf text = buf_new(INVITATION_STRING_MAX);
    int rc = invitation_format(i, &text, err);
    if (rc == 0 && json) {
        json_t *object = json_pack("{s:s,s:s,s:s,s:s,s:s}", "study", cid_format(&i->study, study),
                                   "plan", cid_format(&i->plan, plan), "control", i->control,
                                   "https", i->urls[0], "invitation", buf_text(&text));
        json_dumpf(object, stdout, JSON_COMPACT);
        putchar('\n');
        json_decref(object);
    } else if (rc == 0) {
        puts(buf_text(&text));
    }
    buf_fini(&text);
    return rc;
}

/* --- init --- */

static const char init_help[] =
    "usage: colmeia-coordinator init DIR --plan FILE [--model FILE] [--listen HOST] [--json]\n"
    "\n"
    "Makes the folder of a new study and prints the invitation for its sites.\n"
    "\n"
    "  --plan FILE    what is trained, how, and by which rules (TOML)\n"
    "  --model FILE   the initial model (safetensors); default: made from the plan\n"
    "  --listen HOST  name or IPv4 address under which sites reach this machine; HOST:PORT takes\n"
    "                 PORT and the two behind it, HOST:0 three free ones; default 127.0.0.1:8470\n"
    "  --json         print {study, plan, control, https, invitation}\n";

static int init(int argc, char **argv)
{
    static const struct option options[] = {
        {"plan", required_argument, NULL, 'p'},   {"model", required_argument, NULL, 'm'},
        {"listen", required_argument, NULL, 'l'}, {"json", no_argument, NULL, 'j'},
        {"help", no_argument, NULL, 'h'},         {NULL, 0, NULL, 0}};
    const char *plan = NULL, *model = NULL, *listen = NULL;
    bool json = false;
    struct invitation invitation;
    struct err err = {0};
    for (int o; (o = getopt_long(argc, argv, "h", options, NULL)) != -1;) {
        if (o == 'p')
            plan = optarg;
        else if (o == 'm')
            model = optarg;
        else if (o == 'l')
            listen = optarg;
        else if (o == 'j')
            json = true;
        else
            return o == 'h' ? (fputs(init_help, stdout), 0)
                            : command_misused(&table, "init", "unknown option");
    }
    if (optind + 1 != argc)
        return command_misused(&table, "init", "give one folder");
    if (plan == NULL)
        return command_misused(&table, "init", "--plan FILE is needed");
    const char *dir = argv[optind];
    int rc = founding_make(dir, plan, model, listen, &invitation, &err);
    if (rc == 0)
        rc = print_invitation(&invitation, json, &err);
    if (rc != 0)
        return command_fail(&table, rc, &err);
    fprintf(stderr,
            "The study's folder is %s. Give the invitation above to every site; admit each with\n"
            "    %s admit %s SITE-STRING\n"
            "and start the study with\n"
            "    %s run %s\n"
            "keys/founder.key signs plans and admissions: keep a copy of it in a safe place.\n",
            dir, table.program, dir, table.program, dir);
    return 0;
}

/* --- admit --- */

static const char admit_help[] =
    "usage: colmeia-coordinator admit DIR SITE-STRING [--json]\n"
    "\n"
    "Admits the site whose string (from `colmeia-worker init`) is given, whether the coordinator\n"
    "runs or not.\n"
    "\n"
    "  --json  print {site, from}\n";

static int admit(int argc, char **argv)
{
    static const struct option options[] = {
        {"json", no_argument, NULL, 'j'}, {"help", no_argument, NULL, 'h'}, {NULL, 0, NULL, 0}};
    bool json = false;
    char name[SITE_NAME_MAX];
    uint64_t from;
    struct err err = {0};
    for (int o; (o = getopt_long(argc, argv, "h", options, NULL)) != -1;) {
        if (o == 'j')
            json = true;
        else
            return o == 'h' ? (fputs(admit_help, stdout), 0)
                            : command_misused(&table, "admit", "unknown option");
    }
    if (optind + 2 != argc)
        return command_misused(&table, "admit", "give a folder and a site string");
    int rc = admission_add(argv[optind], argv[optind + 1], name, &from, &err);
    if (rc != 0)
        return command_fail(&table, rc, &err);
    if (json)
        printf("{\"site\":\"%s\",\"from\":%llu}\n", name, (unsigned long long)from);
    else
        printf("site %s is admitted from round %llu on\n", name, (unsigned long long)from);
    return 0;
}

/* --- run --- */

static const char run_help[] =
    "usage: colmeia-coordinator run DIR\n"
    "\n"
    "Serves the study in DIR until its last round is closed. SIGINT and SIGTERM end it in order;\n"
    "started again, it goes on where it was.\n";

static int serve(struct coordinator *c, const char *dir, struct world_real **world, struct err *err)
{
    int rc = coordinator_open(c, dir, files_posix(), err);
    if (rc != 0)
        return rc;
    const struct bus_server_config bus = {
        .control = c->folder.control, .hints = c->folder.hints, .curve = c->folder.curve};
    rc = world_real_coordinator(&bus, world, err);
    if (rc == 0)
        rc = coordinator_start(c, world_real_table(*world), err);
    if (rc == 0)
        rc = serve_open(c, err);
    if (rc != 0)
        return rc;
    round_log_say(&c->log, "study %s: round %llu of %llu, control %s, blocks https://%s:%u",
                  c->study.charter.name, (unsigned long long)c->round->number,
                  (unsigned long long)plan_rounds(&c->study.plan), c->folder.control,
                  c->folder.bind, (unsigned)c->folder.https_port);
    if (coordinator_run(c) != 0)
        fprintf(stderr, "%s: %s\n", table.program, c->failure);
    return 0;
}

static int run(int argc, char **argv)
{
    static const struct option options[] = {{"help", no_argument, NULL, 'h'}, {NULL, 0, NULL, 0}};
    struct world_real *world = NULL;
    struct err err = {0};
    for (int o; (o = getopt_long(argc, argv, "h", options, NULL)) != -1;)
        return o == 'h' ? (fputs(run_help, stdout), 0)
                        : command_misused(&table, "run", "unknown option");
    if (optind + 1 != argc)
        return command_misused(&table, "run", "give one folder");
    struct coordinator *c = calloc(1, sizeof *c);
    if (c == NULL)
        return COMMAND_ENVIRONMENT;
    int rc = serve(c, argv[optind], &world, &err);
    int code = rc != 0 ? command_fail(&table, rc, &err) : c->exit_code;
    coordinator_close(c);
    world_real_close(world);
    free(c);
    return code;
}

/* --- invitation --- */

static const char invitation_help[] = "usage: colmeia-coordinator invitation DIR [--json]\n"
                                      "\n"
                                      "Prints the study's invitation once more.\n"
                                      "\n"
                                      "  --json  as init's\n";

static int invitation(int argc, char **argv)
{
    static const struct option options[] = {
        {"json", no_argument, NULL, 'j'}, {"help", no_argument, NULL, 'h'}, {NULL, 0, NULL, 0}};
    struct invitation i;
    bool json = false;
    struct err err = {0};
    for (int o; (o = getopt_long(argc, argv, "h", options, NULL)) != -1;) {
        if (o == 'j')
            json = true;
        else
            return o == 'h' ? (fputs(invitation_help, stdout), 0)
                            : command_misused(&table, "invitation", "unknown option");
    }
    if (optind + 1 != argc)
        return command_misused(&table, "invitation", "give one folder");
    int rc = folder_invitation(argv[optind], &i, &err);
    if (rc == 0)
        rc = print_invitation(&i, json, &err);
    return rc == 0 ? 0 : command_fail(&table, rc, &err);
}

/* --- the table --- */

static const struct command commands[] = {
    {"init", init, "DIR --plan FILE", "make a new study's folder, print its invitation"},
    {"admit", admit, "DIR SITE-STRING", "admit a site, also while `run` is at work"},
    {"run", run, "DIR", "serve the study until it is finished"},
    {"invitation", invitation, "DIR", "print the invitation once more"},
};

static const struct command_table table = {"colmeia-coordinator", commands,
                                           sizeof commands / sizeof commands[0]};

int main(int argc, char **argv)
{
    return command_main(&table, argc, argv);
}
