/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <time.h>

#include "cli/cmd.h"
#include "cli/log_line.h"
#include "cli/options.h"
#include "cli/say.h"

#define STATUS_BYTES_MAX (16u << 20)
#define SILENT_SECONDS   10 /* a program that runs rewrites its status every second */

enum life {
    RUNNING,
    FINISHED,
    NOT_RUNNING,
    NOT_RESPONDING
};

static const char *text_of(const json_t *status, const char *key)
{
    const char *text = json_string_value(json_object_get(status, key));
    return text == NULL ? "" : text;
}

static double age_of(const json_t *status)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9 -
           json_number_value(json_object_get(status, "updated"));
}

static enum life life_of(const json_t *status)
{
    json_int_t pid = json_integer_value(json_object_get(status, "pid"));
    bool finished = strcmp(text_of(status, "phase"), "finished") == 0;
    bool lives = json_is_true(json_object_get(status, "running")) && pid > 0 && pid <= INT32_MAX &&
                 (kill((pid_t)pid, 0) == 0 || errno == EPERM);
    if (!lives)
        return finished ? FINISHED : NOT_RUNNING;
    return age_of(status) > SILENT_SECONDS ? NOT_RESPONDING : RUNNING;
}

static void print(const char *pattern, const json_t *fields)
{
    struct buf line = buf_new(STATUS_BYTES_MAX);
    log_line_fill(pattern, fields, &line);
    if (line.size > 0)
        puts(buf_text(&line));
    buf_fini(&line);
}

static void print_life(const json_t *status, enum life life)
{
    static const char *const patterns[] = {
        [RUNNING] = "{program} of {name} is running (process {pid})",
        [FINISHED] = "{program} of {name} has finished",
        [NOT_RUNNING] = "{program} of {name} is not running",
        [NOT_RESPONDING] = "{program} of {name} is not responding (process {pid})"};
    print(patterns[life], status);
    if (life == NOT_RESPONDING)
        printf("last heard of %.0f seconds ago\n", age_of(status));
}

static void print_sites(const json_t *sites)
{
    size_t i;
    json_t *site;
    if (json_array_size(sites) > 0)
        puts("sites:");
    json_array_foreach((json_t *)sites, i, site)
    {
        bool online = json_is_true(json_object_get(site, "online"));
        print(online ? "  {name}: online, {state}" : "  {name}: offline, {state}", site);
        if (!online)
            print("[    last seen {seen_seconds_ago:seconds} ago]", site);
    }
}

static void print_status(const json_t *status, enum life life)
{
    print_life(status, life);
    print("[study    {study}]", status);
    print("[plan     {plan}]", status);
    /* `rounds` is 0 where the program does not know yet. */
    bool counted = json_integer_value(json_object_get(status, "rounds")) > 0;
    print(counted ? "[round    {round} of {rounds}][ ({rule})][, {phase}]"
                  : "[round    {round}][ ({rule})][, {phase}]",
          status);
    print("[model    {model}]", status);
    print("[head     {head}]", status);
    if (life != FINISHED) {
        print("[waits    {waits_for}][: {whom}]", status);
        print("[progress {sentence}]", json_object_get(status, "progress"));
        print("[until    {seconds_left:seconds} from now]", status);
    }
    print("[advice   {advice}]", status);
    print("[failure  {failure}]", status);
    if (life == RUNNING || life == NOT_RESPONDING)
        print_sites(json_object_get(status, "sites"));
}

static int load(const char *dir, json_t **out, struct err *err)
{
    char path[FILES_PATH_MAX];
    struct buf text = buf_new(STATUS_BYTES_MAX);
    json_error_t why;
    int rc = files_join(path, dir, "status.json", err);
    if (rc == 0)
        rc = files_load(files_posix(), path, &text, err);
    if (rc == ERR_NOTFOUND)
        rc = err_set(err, ERR_NOTFOUND, "%.600s: no program has run here yet", path);
    if (rc == 0) {
        *out = json_loadb((const char *)text.data, text.size, 0, &why);
        if (!json_is_object(*out)) {
            json_decref(*out);
            rc = err_set(err, ERR_CORRUPT, "%.600s: not a status", path);
        }
    }
    buf_fini(&text);
    return rc;
}

int cmd_status(int argc, char **argv)
{
    bool json = false;
    const struct options_row rows[] = {
        {.name = "json", .flag = &json, .help = "the status as the program wrote it"},
    };
    struct options o = {.command = "colmeia status",
                        .operands = "DIR",
                        .about = "What a coordinator or worker waits for, whom, until when, and "
                                 "what a person could do.\nExit status 0: it runs or has "
                                 "finished; 1: it does not.",
                        .rows = rows,
                        .row_count = sizeof rows / sizeof rows[0],
                        .least = 1,
                        .most = 1};
    struct err err = {0};
    json_t *status = NULL;
    int exit_status;
    if (!options_parse(&o, argc, argv, &exit_status))
        return exit_status;
    int rc = load(o.given[0], &status, &err);
    if (rc != 0)
        return say_error(o.command, rc, &err);
    enum life life = life_of(status);
    exit_status = life == RUNNING || life == FINISHED ? 0 : 1;
    if (json) {
        int said = say_json(status);
        return said != 0 ? said : exit_status;
    }
    print_status(status, life);
    json_decref(status);
    return exit_status;
}
