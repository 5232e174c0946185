/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <time.h>
#include <unistd.h>

#include "cli/cmd.h"
#include "cli/group.h"
#include "cli/input.h"
#include "cli/say.h"
#include "cli/store_option.h"
#include "content/ipns.h"
#include "content/store.h"

static int parse_name(const char *text, struct ipns_name *out, struct err *err)
{
    int rc = ipns_name_parse(strncmp(text, "/ipns/", 6) == 0 ? text + 6 : text, out, err);
    return rc == ERR_MALFORMED ? err_wrap(err, ERR_USAGE, "%s", text) : rc;
}

/* --- put --- */

static int put(const char *dir, const char *name, const char *path, struct err *err)
{
    struct buf record = buf_new(IPNS_RECORD_BYTES_MAX);
    struct ipns_name n;
    struct store *s = NULL;
    int rc = parse_name(name, &n, err);
    if (rc == 0)
        rc = input_load(path, &record, err);
    if (rc == 0)
        rc = store_option_open(dir, STORE_SHARE, &s, err);
    if (rc == 0)
        rc = ipns_put(store_files(s), store_root(s), &n, buf_bytes(&record), time(NULL), err);
    store_close(s);
    buf_fini(&record);
    return rc;
}

static int name_put(int argc, char **argv)
{
    const char *dir = NULL;
    const struct options_row rows[] = {STORE_OPTION_MADE_ROW(&dir)};
    struct options o = {.command = "colmeia name put",
                        .operands = "NAME [FILE|-]",
                        .about = "Keeps a signed IPNS record, if it verifies and is newer than the "
                                 "one that is there. `colmeia gateway` serves it.",
                        OPTIONS_ROWS(rows),
                        .least = 1,
                        .most = 2};
    struct err err = {0};
    int status;
    if (!options_parse(&o, argc, argv, &status))
        return status;
    int rc = put(dir, o.given[0], o.count > 1 ? o.given[1] : "-", &err);
    if (rc != 0)
        status = say_error(o.command, rc, &err);
    return rc == ERR_EXISTS ? 1 : rc != 0 ? status : 0;
}

/* --- get and inspect --- */

struct name_look {
    const char *dir;
    bool inspect, json;
};

static int say_record(const struct ipns_record *r, bool json, struct err *err)
{
    char until[40];
    struct tm tm;
    time_t at = (time_t)r->valid_until;
    if (gmtime_r(&at, &tm) == NULL || strftime(until, sizeof until, "%Y-%m-%dT%H:%M:%SZ", &tm) == 0)
        until[0] = '\0';
    if (json)
        return say_json_row(json_pack("{s:s,s:I,s:s,s:I}", "value", r->value, "sequence",
                                      (json_int_t)r->sequence, "valid_until", until, "ttl_seconds",
                                      (json_int_t)r->ttl_seconds),
                            err);
    say_line("value       %s", r->value);
    say_line("sequence    %llu", (unsigned long long)r->sequence);
    say_line("valid until %s", until);
    say_line("ttl         %llu s", (unsigned long long)r->ttl_seconds);
    return 0;
}

static int look(void *self, const struct options *o, struct err *err)
{
    const struct name_look *l = self;
    struct buf record = buf_new(IPNS_RECORD_BYTES_MAX);
    struct ipns_record r;
    struct ipns_name n;
    struct store *s = NULL;
    int rc = parse_name(o->given[0], &n, err);
    if (rc == 0 && !l->inspect && isatty(STDOUT_FILENO))
        rc = err_set(err, ERR_USAGE,
                     "a record is not for a terminal: redirect it, or see "
                     "`colmeia name inspect`");
    if (rc == 0)
        rc = store_option_open(l->dir, STORE_READ_ONLY, &s, err);
    if (rc == 0)
        rc = ipns_get(store_files(s), store_root(s), &n, time(NULL), &record, &r, err);
    if (rc == 0 && l->inspect)
        rc = say_record(&r, l->json, err);
    else if (rc == 0)
        fwrite(record.data, 1, record.size, stdout);
    store_close(s);
    buf_fini(&record);
    return rc;
}

static int name_get(int argc, char **argv)
{
    struct name_look l = {0};
    const struct options_row rows[] = {STORE_OPTION_ROW(&l.dir)};
    struct options o = {.command = "colmeia name get",
                        .operands = "NAME",
                        .about = "Writes the IPNS record, verified, to the standard output.",
                        OPTIONS_ROWS(rows),
                        .least = 1,
                        .most = 1};
    return options_run(&o, argc, argv, look, &l);
}

static int name_inspect(int argc, char **argv)
{
    struct name_look l = {.inspect = true};
    const struct options_row rows[] = {STORE_OPTION_ROW(&l.dir), OPTIONS_JSON_ROW(&l.json)};
    struct options o = {.command = "colmeia name inspect",
                        .operands = "NAME",
                        .about = "What the IPNS record says that is held for a name, verified.",
                        OPTIONS_ROWS(rows),
                        .least = 1,
                        .most = 1};
    return options_run(&o, argc, argv, look, &l);
}

int cmd_name(int argc, char **argv)
{
    static const struct group_row rows[] = {
        {"put", name_put, "keep a signed record for the gateway"},
        {"get", name_get, "the record of a name"},
        {"inspect", name_inspect, "what the record says"},
    };
    return group_run("colmeia name", rows, sizeof rows / sizeof rows[0], argc, argv);
}
