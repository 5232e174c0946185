/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "cli/cmd.h"
#include "cli/log_line.h"
#include "cli/options.h"
#include "cli/say.h"

#define LINE_BYTES_MAX (4u << 20)
#define POLL_NS        200000000

struct reading {
    FILE *file;
    bool json, follow;
    char *line;
    size_t capacity;
    unsigned long number; /* lines read */
};

static void print_line(struct reading *r, size_t size)
{
    json_error_t why;
    json_t *event = json_loadb(r->line, size, JSON_REJECT_DUPLICATES, &why);
    struct buf text = buf_new(LINE_BYTES_MAX);
    r->number++;
    if (!json_is_object(event)) {
        fprintf(stderr, "colmeia log: line %lu is not an event\n", r->number);
        json_decref(event);
    } else if (r->json) {
        (void)say_json(event);
    } else {
        log_line_format(event, &text);
        puts(buf_text(&text));
        json_decref(event);
    }
    buf_fini(&text);
}

/* Lines that are whole; one without its end is left for the next time, in place. */
static bool read_lines(struct reading *r)
{
    bool any = false;
    for (;;) {
        long start = ftell(r->file);
        ssize_t size = getline(&r->line, &r->capacity, r->file);
        if (size <= 0)
            break;
        if (r->line[size - 1] != '\n') {
            (void)fseek(r->file, start, SEEK_SET);
            break;
        }
        print_line(r, (size_t)size);
        any = true;
    }
    clearerr(r->file);
    return any;
}

static int read_log(struct reading *r)
{
    const struct timespec pause = {.tv_nsec = POLL_NS};
    (void)read_lines(r);
    while (r->follow && fflush(stdout) == 0) {
        nanosleep(&pause, NULL);
        (void)read_lines(r);
    }
    return 0;
}

int cmd_log(int argc, char **argv)
{
    struct reading r = {.file = NULL};
    const struct options_row rows[] = {
        {.name = "json", .flag = &r.json, .help = "the events as they are, one JSON object a line"},
        {.name = "follow",
         .letter = 'f',
         .flag = &r.follow,
         .help = "go on as events come, until interrupted"},
    };
    struct options o = {.command = "colmeia log",
                        .operands = "DIR",
                        .about = "What happened in a coordinator's or worker's folder, in "
                                 "sentences.",
                        .rows = rows,
                        .row_count = sizeof rows / sizeof rows[0],
                        .least = 1,
                        .most = 1};
    struct err err = {0};
    char path[FILES_PATH_MAX];
    int status;
    if (!options_parse(&o, argc, argv, &status))
        return status;
    int rc = files_join(path, o.given[0], "log.jsonl", &err);
    if (rc == 0) {
        r.file = fopen(path, "re");
        if (r.file == NULL)
            rc = errno == ENOENT ? err_set(&err, ERR_NOTFOUND, "%.600s: there is no log yet", path)
                                 : err_errno(&err, "open %.600s", path);
    }
    if (rc != 0)
        return say_error(o.command, rc, &err);
    status = read_log(&r);
    free(r.line);
    fclose(r.file);
    return status;
}
