/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/options.h"

#include <getopt.h>
#include <stdio.h>

#include "base/text.h"
#include "cli/say.h"

#define HELP_COLUMN 28
#define HELP_WIDTH  100
#define LONG_ONLY   256 /* what getopt_long returns for row 0 by its long name; past any letter */

static void print_row(char letter, const char *name, const char *argument, const char *help)
{
    char left[128];
    int used = letter != 0 ? snprintf(left, sizeof left, "  -%c, --%s", letter, name)
                           : snprintf(left, sizeof left, "      --%s", name);
    if (argument != NULL)
        used += snprintf(left + used, sizeof left - (size_t)used, " %s", argument);
    printf("%-*s%s%s\n", HELP_COLUMN, left, used >= HELP_COLUMN ? " " : "", help);
}

/* Words up to a line's width; a line that the text itself ends stays so. */
static void print_about(const char *text)
{
    size_t column = 0;
    while (*text != '\0') {
        size_t word = strcspn(text, " \n");
        bool fits = column + 1 + word <= HELP_WIDTH;
        if (column > 0)
            putchar(fits ? ' ' : '\n');
        column = (column > 0 && fits ? column + 1 : 0) + word;
        printf("%.*s", (int)word, text);
        text += word;
        if (*text == '\n') {
            putchar('\n');
            column = 0;
        }
        text += *text != '\0' ? 1 : 0;
    }
    puts("\n");
}

static void print_help(const struct options *o)
{
    printf("usage: %s [OPTION]...%s%s\n\n", o->command, o->operands[0] != '\0' ? " " : "",
           o->operands);
    print_about(o->about);
    for (size_t i = 0; i < o->row_count; i++)
        print_row(o->rows[i].letter, o->rows[i].name, o->rows[i].argument, o->rows[i].help);
    print_row('h', "help", NULL, "say this");
}

/* Tells getopt_long what the table says; long options without a letter get numbers past any. */
static void fill(const struct options *o, struct option *longs, char *letters)
{
    *letters++ = ':'; /* a missing argument is told apart */
    for (size_t i = 0; i < o->row_count; i++) {
        const struct options_row *row = &o->rows[i];
        bool takes = row->argument != NULL;
        longs[i] = (struct option){.name = row->name,
                                   .has_arg = takes ? required_argument : optional_argument,
                                   .val = LONG_ONLY + (int)i};
        if (row->letter == 0)
            continue;
        *letters++ = row->letter;
        if (takes)
            *letters++ = ':';
    }
    longs[o->row_count] = (struct option){.name = "help", .val = 'h'};
    longs[o->row_count + 1] = (struct option){0};
    *letters++ = 'h';
    *letters = '\0';
}

static const struct options_row *find_row(const struct options *o, int found)
{
    for (size_t i = 0; i < o->row_count; i++)
        if (found == LONG_ONLY + (int)i || found == o->rows[i].letter)
            return &o->rows[i];
    return NULL;
}

static int take(const struct options_row *row, const char *value, struct err *err)
{
    int rc = 0;
    if (row->flag != NULL)
        *row->flag = value == NULL || strcmp(value, "true") == 0;
    if (row->said != NULL)
        *row->said = true;
    if (row->text != NULL)
        *row->text = value;
    if (row->number != NULL)
        rc = text_parse_uint(value, row->most, row->number, err);
    if (row->real != NULL)
        rc = text_parse_double(value, row->real, err);
    if (row->cid != NULL)
        rc = cid_parse(value, row->cid, err);
    if (row->list != NULL) {
        if (row->list->count == OPTIONS_LIST_MAX)
            return err_set(err, ERR_USAGE, "given more than %d times", OPTIONS_LIST_MAX);
        row->list->items[row->list->count++] = value;
    }
    return rc;
}

/* A long option that is none, or the beginning of more than one. */
static int say_unknown(const struct options *o, const char *given)
{
    size_t size = strcspn(given, "="), found = 0;
    for (size_t i = 0; i < o->row_count; i++)
        found += size > 2 && strncmp(given + 2, o->rows[i].name, size - 2) == 0 ? 1 : 0;
    return found > 1 ? say_usage(o->command, "option %.*s is short for more than one; write it out",
                                 (int)size, given)
                     : say_usage(o->command, "there is no option %.*s", (int)size, given);
}

/* One option that getopt_long found. 0, or the exit status. */
static int take_found(const struct options *o, int found, char **argv)
{
    struct err err = {0};
    const struct options_row *row = find_row(o, found);
    if (found == ':')
        return say_usage(o->command, "option %s needs an argument", argv[optind - 1]);
    if (row == NULL && optopt != 0)
        return say_usage(o->command, "there is no option -%c", optopt);
    if (row == NULL)
        return say_unknown(o, argv[optind - 1]);
    if (row->flag != NULL && optarg != NULL && strcmp(optarg, "true") != 0 &&
        strcmp(optarg, "false") != 0)
        return say_usage(o->command, "option --%s takes no argument but true or false", row->name);
    if (take(row, optarg, &err) != 0)
        return say_usage(o->command, "--%s: %s", row->name, err.text);
    return 0;
}

bool options_parse(struct options *o, int argc, char **argv, int *status)
{
    struct option longs[OPTIONS_ROWS_MAX + 2];
    char letters[2 * OPTIONS_ROWS_MAX + 4];
    fill(o, longs, letters);
    optind = 0; /* GNU: start anew, whatever was parsed before */
    opterr = 0;
    *status = 0;
    int found;
    while ((found = getopt_long(argc, argv, letters, longs, NULL)) != -1) {
        if (found == 'h') {
            print_help(o);
            return false;
        }
        *status = take_found(o, found, argv);
        if (*status != 0)
            return false;
    }
    o->count = (size_t)(argc - optind);
    o->given = argv + optind;
    if (o->count < o->least)
        *status = say_usage(o->command, "an argument is missing: %s [OPTION]... %s", o->command,
                            o->operands);
    else if (o->count > o->most)
        *status = say_usage(o->command, "too many arguments, from \"%s\" on", o->given[o->most]);
    return *status == 0;
}

int options_run(struct options *o, int argc, char **argv,
                int (*run)(void *self, const struct options *o, struct err *err), void *self)
{
    struct err err = {0};
    int status;
    if (!options_parse(o, argc, argv, &status))
        return status;
    int rc = run(self, o, &err);
    return rc != 0 ? say_error(o->command, rc, &err) : 0;
}

int options_cid(const char *text, struct cid *out, struct err *err)
{
    int rc = cid_parse(text, out, err);
    return rc != 0 ? err_wrap(err, ERR_USAGE, "%s", text) : 0;
}

int options_store(const char *dir, char out[FILES_PATH_MAX], struct err *err)
{
    int rc = files_join(out, dir, "shared", err);
    if (rc != 0 || files_exists(files_posix(), out))
        return rc;
    memcpy(out, dir, strlen(dir) + 1); /* shorter than what was joined just now */
    return 0;
}
