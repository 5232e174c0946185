/* SPDX-License-Identifier: Apache-2.0 */
#include "coordinator/round_log.h"

#include <math.h>

#include "base/text.h"

int round_log_open(struct round_log *l, const char *path, struct err *err)
{
    *l = (struct round_log){.header = false};
    progress_line_init(&l->line, stdout);
    return event_log_open(&l->events, path, err);
}

void round_log_close(struct round_log *l)
{
    progress_line_clear(&l->line);
    event_log_close(&l->events);
}

json_t *round_log_number(double value)
{
    return isfinite(value) ? json_real(value) : json_null();
}

/* "0.1234" or "-". */
static const char *format_metric(double value, char out[TEXT_SMALL])
{
    if (isfinite(value))
        snprintf(out, TEXT_SMALL, "%.4f", value);
    else
        snprintf(out, TEXT_SMALL, "-");
    return out;
}

static void print_line(struct round_log *l, const struct round_line *x)
{
    char loss[TEXT_SMALL], accuracy[TEXT_SMALL], moved[TEXT_SMALL], round[2 * TEXT_SMALL],
        sites[TEXT_SMALL], cid[CID_TEXT_MAX];
    progress_line_clear(&l->line);
    if (!l->header)
        printf("%-8s %-9s %-7s %8s %9s %11s %8s  %s\n", "round", "rule", "sites", "loss",
               "accuracy", "moved", "seconds", "model");
    l->header = true;
    snprintf(round, sizeof round, "%llu/%llu", (unsigned long long)x->round,
             (unsigned long long)x->rounds);
    snprintf(sites, sizeof sites, "%u/%u", x->answered, x->selected);
    printf("%-8s %-9s %-7s %8s %9s %11s %8.2f  %s%s%s\n", round, x->rule, sites,
           format_metric(x->loss, loss), format_metric(x->accuracy, accuracy),
           text_format_size(x->bytes_moved, moved), x->seconds, cid_format(&x->model, cid),
           x->failure[0] != '\0' ? "  failed: " : "", x->failure);
    fflush(stdout);
}

void round_log_round(struct round_log *l, const struct round_line *x)
{
    char record[CID_TEXT_MAX], model[CID_TEXT_MAX];
    if (!l->quiet)
        print_line(l, x);
    event_log_put(
        &l->events, "round", "{s:I,s:I,s:s,s:i,s:i,s:i,s:I,s:o,s:o,s:I,s:f,s:f,s:f,s:s,s:s,s:s}",
        "round", (json_int_t)x->round, "rounds", (json_int_t)x->rounds, "rule", x->rule, "selected",
        (int)x->selected, "answered", (int)x->answered, "refused", (int)x->refused, "examples",
        (json_int_t)x->examples, "loss", round_log_number(x->loss), "accuracy",
        round_log_number(x->accuracy), "bytes_moved", (json_int_t)x->bytes_moved, "seconds",
        x->seconds, "seconds_collect", x->seconds_collect, "seconds_combine", x->seconds_combine,
        "record", cid_format(&x->record, record), "model", cid_format(&x->model, model), "failure",
        x->failure);
}

void round_log_say(struct round_log *l, const char *format, ...)
{
    va_list arguments;
    if (l->quiet)
        return;
    progress_line_clear(&l->line);
    va_start(arguments, format);
    vprintf(format, arguments);
    va_end(arguments);
    printf("\n");
    fflush(stdout);
}

void round_log_progress(struct round_log *l, uint64_t now_ms, const char *text, bool moves)
{
    if (l->quiet)
        return;
    if (moves || l->line.terminal)
        progress_line_show(&l->line, now_ms, text);
    else
        progress_line_clear(&l->line);
}
