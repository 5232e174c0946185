/* SPDX-License-Identifier: Apache-2.0 */
/*
 * colmeia-coordinator -- leads a study: its founding, its sites, its rounds.
 */
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>

#include "coordinator/admission.h"
#include "coordinator/coordinator.h"
#include "coordinator/founding.h"
#include "transport/world_real.h"

#define EXIT_NO          1
#define EXIT_USAGE       2
#define EXIT_ENVIRONMENT 3

struct command {
    const char *name;
    int (*run)(int argc, char **argv); /* argv[0] is the command */
    const char *arguments, *does;
};

static const char program[] = "colmeia-coordinator";

/* --- what a person reads --- */

static int fail(int rc, const struct err *err)
{
    fprintf(stderr, "%s: %s\n", program, err->text);
    return rc == ERR_EXISTS ? EXIT_NO : err_exit(rc);
}

static int misused(const char *command, const char *why)
{
    fprintf(stderr, "%s: %s: %s; see `%s %s --help`\n", program, command, why, program, command);
    return EXIT_USAGE;
}

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
            return o == 'h' ? (fputs(init_help, stdout), 0) : misused("init", "unknown option");
    }
    if (optind + 1 != argc)
        return misused("init", "give one folder");
    if (plan == NULL)
        return misused("init", "--plan FILE is needed");
    const char *dir = argv[optind];
    int rc = founding_make(dir, plan, model, listen, &invitation, &err);
    if (rc == 0)
        rc = print_invitation(&invitation, json, &err);
    if (rc != 0)
        return fail(rc, &err);
    fprintf(stderr,
            "The study's folder is %s. Give the invitation above to every site; admit each with\n"
            "    %s admit %s SITE-STRING\n"
            "and start the study with\n"
            "    %s run %s\n"
            "keys/founder.key signs plans and admissions: keep a copy of it in a safe place.\n",
            dir, program, dir, program, dir);
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
            return o == 'h' ? (fputs(admit_help, stdout), 0) : misused("admit", "unknown option");
    }
    if (optind + 2 != argc)
        return misused("admit", "give a folder and a site string");
    int rc = admission_add(argv[optind], argv[optind + 1], name, &from, &err);
    if (rc != 0)
        return fail(rc, &err);
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
        fprintf(stderr, "%s: %s\n", program, c->failure);
    return 0;
}

static int run(int argc, char **argv)
{
    static const struct option options[] = {{"help", no_argument, NULL, 'h'}, {NULL, 0, NULL, 0}};
    struct world_real *world = NULL;
    struct err err = {0};
    for (int o; (o = getopt_long(argc, argv, "h", options, NULL)) != -1;)
        return o == 'h' ? (fputs(run_help, stdout), 0) : misused("run", "unknown option");
    if (optind + 1 != argc)
        return misused("run", "give one folder");
    struct coordinator *c = calloc(1, sizeof *c);
    if (c == NULL)
        return EXIT_ENVIRONMENT;
    int rc = serve(c, argv[optind], &world, &err);
    int code = rc != 0 ? fail(rc, &err) : c->exit_code;
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
                            : misused("invitation", "unknown option");
    }
    if (optind + 1 != argc)
        return misused("invitation", "give one folder");
    int rc = folder_invitation(argv[optind], &i, &err);
    if (rc == 0)
        rc = print_invitation(&i, json, &err);
    return rc == 0 ? 0 : fail(rc, &err);
}

/* --- the table --- */

static const struct command commands[] = {
    {"init", init, "DIR --plan FILE", "make a new study's folder, print its invitation"},
    {"admit", admit, "DIR SITE-STRING", "admit a site, also while `run` is at work"},
    {"run", run, "DIR", "serve the study until it is finished"},
    {"invitation", invitation, "DIR", "print the invitation once more"},
};

static void print_help(FILE *to)
{
    fprintf(to, "usage: %s COMMAND ...\n\n", program);
    for (size_t i = 0; i < sizeof commands / sizeof commands[0]; i++)
        fprintf(to, "  %-10s %-16s  %s\n", commands[i].name, commands[i].arguments,
                commands[i].does);
    fprintf(
        to,
        "\n`%s COMMAND --help` says more; --version prints the version.\n"
        "Exit: 0 done, 1 the answer is no, 2 usage or configuration, 3 the environment failed.\n",
        program);
}

int main(int argc, char **argv)
{
    struct err err = {0};
    const char *name = argc > 1 ? argv[1] : "";
    if (strcmp(name, "--version") == 0) {
        printf("%s %s\n", program, VERSION);
        return 0;
    }
    if (strcmp(name, "--help") == 0 || strcmp(name, "-h") == 0) {
        print_help(stdout);
        return 0;
    }
    int rc = key_setup(&err);
    if (rc != 0)
        return fail(rc, &err);
    for (size_t i = 0; i < sizeof commands / sizeof commands[0]; i++)
        if (strcmp(name, commands[i].name) == 0)
            return commands[i].run(argc - 1, argv + 1);
    if (name[0] != '\0')
        fprintf(stderr, "%s: there is no command \"%s\"\n", program, name);
    print_help(stderr);
    return EXIT_USAGE;
}
