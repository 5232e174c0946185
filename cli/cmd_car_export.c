/* SPDX-License-Identifier: Apache-2.0 */
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#include "cli/car_write.h"
#include "cli/cmd.h"
#include "cli/meter.h"
#include "cli/origin.h"
#include "cli/output.h"
#include "cli/say.h"

#define COMMAND "colmeia car export"

static int export_to(struct car_write *w, struct origin *o, const char *target, struct err *err)
{
    struct cid root;
    struct meter meter;
    int rc = origin_find(o, target, &root, NULL, err);
    if (rc == 0)
        rc = origin_fetch(o, &root, false, err);
    if (rc != 0)
        return rc;
    meter_start(&meter, "exporting");
    w->progress = &meter.count;
    rc = car_write(w, &root, err);
    meter_stop(&meter);
    return rc;
}

/* Whole under its name, or not at all. */
static int export_to_file(struct car_write *w, struct origin *o, const char *target, const char *to,
                          struct err *err)
{
    char part[FILES_PATH_MAX], shown[SAY_SHORT];
    if (snprintf(part, sizeof part, "%s.part", to) >= (int)sizeof part)
        return err_set(err, ERR_LIMIT, "the name %.40s... is too long", to);
    int rc = output_check(part, true, err);
    if (rc != 0)
        return rc;
    w->fd = open(part, O_NOFOLLOW | O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
    if (w->fd < 0)
        return err_errno(err, "make %s", say_short(part, shown));
    rc = export_to(w, o, target, err);
    if (close(w->fd) != 0 && rc == 0)
        rc = err_errno(err, "write %s", say_short(part, shown));
    if (rc == 0)
        rc = files_posix()->rename(NULL, part, to, err);
    if (rc != 0)
        unlink(part);
    return rc;
}

static int run(struct origin *origin, const char *target, const char *to, struct err *err)
{
    struct car_write w = {.fd = STDOUT_FILENO};
    int rc = origin_open(origin, false, err);
    if (rc == 0)
        rc = jobs_new(0, &w.jobs, err);
    w.store = origin->store;
    if (rc == 0)
        rc = to != NULL ? export_to_file(&w, origin, target, to, err)
                        : export_to(&w, origin, target, err);
    jobs_free(w.jobs);
    origin_close(origin);
    return rc;
}

int cmd_car_export(int argc, char **argv)
{
    struct origin origin = {0};
    const char *to = NULL;
    bool force = false;
    const struct options_row rows[] = {
        {.name = "output",
         .letter = 'o',
         .argument = "FILE",
         .text = &to,
         .help = "where to write it; else the standard output"},
        {.name = "force", .letter = 'f', .flag = &force, .help = "replace FILE if it is there"},
        ORIGIN_ROWS(&origin),
    };
    struct options o = {.command = COMMAND,
                        .operands = "CID[/PATH]",
                        .about = "Writes the block that the path leads to and all that it reaches "
                                 "as a CARv1, depth first, each block once and hashed.",
                        OPTIONS_ROWS(rows),
                        .least = 1,
                        .most = 1};
    struct err err = {0};
    int status;
    if (!options_parse(&o, argc, argv, &status))
        return status;
    if (to != NULL && strcmp(to, "-") == 0)
        to = NULL;
    if (to == NULL && isatty(STDOUT_FILENO))
        return say_usage(COMMAND, "a CAR is not for a terminal: give -o FILE, or redirect");
    int rc = to != NULL ? output_check(to, force, &err) : 0;
    if (rc == 0)
        rc = run(&origin, o.given[0], to, &err);
    return rc != 0 ? say_error(COMMAND, rc, &err) : 0;
}
