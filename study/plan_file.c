/* SPDX-License-Identifier: Apache-2.0 */
#include "study/plan_file.h"

#include <math.h>
#include <stdio.h>

#include "aggregate/moments.h"
#include "base/files.h"
#include "base/text.h"

/* What the file says before it is a plan. */
struct draft {
    const char *path;
    struct bytes text;
    struct plan_file *out;
    struct config_list schedule;
    double fraction, deadline_s;
};

static int read_keys(struct draft *d, struct err *err)
{
    struct plan_file *f = d->out;
    struct plan *p = &f->plan;
    const double rounds = PLAN_ROUNDS_MAX, sites = PLAN_SELECTED_MAX;
    const struct config_key keys[] = {
        {"", "seed", CONFIG_UINT, false, &p->seed, 0, 0, 0, NULL},
        {"study", "name", CONFIG_TEXT, true, f->name, sizeof f->name, 0, 0,
         "1 to 64 of a-z 0-9 - _ ., beginning with a letter or digit"},
        {"model", "architecture", CONFIG_TEXT, true, p->architecture, sizeof p->architecture, 0, 0,
         "logistic | external"},
        {"model", "features", CONFIG_UINT, false, &p->features, 0, 0, MOMENTS_FEATURES_MAX,
         "a number up to 4096"},
        {"model", "classes", CONFIG_UINT, false, &p->classes, 0, 0, UINT32_MAX,
         "a number of classes"},
        {"model", "fixed", CONFIG_TEXT_LIST, false, &f->fixed, 0, 0, 0, "an array of tensor names"},
        {"model", "largest", CONFIG_TEXT_LIST, false, &f->largest, 0, 0, 0,
         "an array of tensor names"},
        {"data", "target", CONFIG_TEXT, false, p->target, sizeof p->target, 0, 0,
         "the name of a column"},
        {"rounds", "schedule", CONFIG_TEXT_LIST, true, &d->schedule, 0, 0, 0,
         "an array of \"RULE ROUNDS\", such as [\"moments 1\", \"fedavg 20\"]"},
        {"rounds", "minimum", CONFIG_UINT, true, &p->minimum, 0, 1, sites,
         "a number of sites from 1 to 1024"},
        {"rounds", "quorum", CONFIG_UINT, false, &p->quorum, 0, 1, sites,
         "a number of sites from 1 to 1024"},
        {"rounds", "fraction", CONFIG_DOUBLE, false, &d->fraction, 0, 1.0 / PLAN_PPM, 1,
         "a number above 0 and up to 1"},
        {"rounds", "deadline_seconds", CONFIG_DOUBLE, false, &d->deadline_s, 0, 0.001,
         PLAN_DEADLINE_MAX / 1000.0, "a number of seconds from 0.001 to 31536000"},
        {"training", "trainer", CONFIG_TEXT, false, p->trainer, sizeof p->trainer, 0, 0,
         "native | null | constant"},
        {"training", "epochs", CONFIG_UINT, false, &p->epochs, 0, 1, PLAN_EPOCHS_MAX,
         "a number from 1 to 1000000"},
        {"training", "batch", CONFIG_UINT, false, &p->batch, 0, 0, PLAN_BATCH_MAX,
         "a number of examples, 0 for all of them"},
        {"training", "learning_rate", CONFIG_DOUBLE, false, &p->learning_rate, 0, 1e-12,
         PLAN_RATE_MAX, "a number from 1e-12 to 1e6"},
        {"training", "l2", CONFIG_DOUBLE, false, &p->l2, 0, 0, PLAN_RATE_MAX,
         "a number from 0 to 1e6"},
        {"retention", "updates", CONFIG_UINT, false, &p->keep_updates, 0, 0, rounds,
         "a number of rounds, 0 for ever"},
        {"retention", "models", CONFIG_UINT, false, &p->keep_models, 0, 0, rounds,
         "a number of rounds, 0 for ever"},
    };
    return config_parse(d->path, d->text, keys, sizeof keys / sizeof keys[0], err);
}

/* --- what a schema cannot say --- */

static bool line_is_key(const char *line, const char *end, const char *key)
{
    size_t n = strlen(key);
    while (line < end && (*line == ' ' || *line == '\t'))
        line++;
    if ((size_t)(end - line) < n || memcmp(line, key, n) != 0)
        return false;
    line += n;
    while (line < end && (*line == ' ' || *line == '\t'))
        line++;
    return line < end && *line == '=';
}

/* Where `key` stands in the text, which was read well: no line inside an array begins with a bare
 * word, and no two tables have a key of one name. 0: nowhere. */
static unsigned line_of(struct bytes text, const char *key)
{
    const char *at = (const char *)text.data, *end = at + text.size;
    for (unsigned line = 1; at < end; line++) {
        const char *stop = memchr(at, '\n', (size_t)(end - at));
        if (stop == NULL)
            stop = end;
        if (line_is_key(at, stop, key))
            return line;
        at = stop < end ? stop + 1 : end;
    }
    return 0;
}

static int bad(const struct draft *d, const char *key, struct err *err, const char *what)
{
    unsigned line = line_of(d->text, key);
    if (line == 0)
        return err_set(err, ERR_USAGE, "%s: %s: must be %s", d->path, key, what);
    return err_set(err, ERR_USAGE, "%s:%u: %s: must be %s", d->path, line, key, what);
}

/* "fedavg 20" */
static int read_step(const struct draft *d, const char *text, struct plan_step *step,
                     struct err *err)
{
    char what[2 * PLAN_RULE_NAMES_MAX], names[PLAN_RULE_NAMES_MAX];
    const char *space = strchr(text, ' ');
    size_t n = space == NULL ? strlen(text) : (size_t)(space - text);
    if (n < sizeof step->rule) {
        memcpy(step->rule, text, n);
        step->rule[n] = '\0';
    }
    if (n >= sizeof step->rule || rule_find(step->rule) == NULL) {
        snprintf(what, sizeof what, "of known rules (%s), not \"%.60s\"", plan_rule_names(names),
                 text);
        return bad(d, "schedule", err, what);
    }
    if (space == NULL || text_parse_uint(space + 1, PLAN_ROUNDS_MAX, &step->rounds, NULL) != 0 ||
        step->rounds == 0) {
        snprintf(what, sizeof what, "of \"RULE ROUNDS\", such as \"%s 1\", not \"%.60s\"",
                 step->rule, text);
        return bad(d, "schedule", err, what);
    }
    return 0;
}

static int read_schedule(const struct draft *d, struct err *err)
{
    struct plan *p = &d->out->plan;
    if (d->schedule.count == 0 || d->schedule.count > PLAN_SCHEDULE_MAX)
        return bad(d, "schedule", err, "of 1 to 64 steps");
    for (size_t i = 0; i < d->schedule.count; i++) {
        int rc = read_step(d, d->schedule.items[i], &p->schedule[i], err);
        if (rc != 0)
            return rc;
        p->step_count++;
        if (plan_rounds(p) > PLAN_ROUNDS_MAX)
            return bad(d, "schedule", err, "of 1000000 rounds at most");
    }
    return 0;
}

static int check_sense(const struct draft *d, struct err *err)
{
    const struct plan_file *f = d->out;
    const struct plan *p = &f->plan;
    bool logistic = strcmp(p->architecture, "logistic") == 0;
    if (!text_is_name(f->name))
        return bad(d, "name", err, "1 to 64 of a-z 0-9 - _ ., beginning with a letter or digit");
    if (p->minimum < p->quorum)
        return bad(d, "minimum", err, "at least quorum");
    if (logistic && p->classes != 2)
        return bad(d, "classes", err, "2 for architecture logistic");
    if (logistic && p->target[0] == '\0')
        return bad(d, "target", err, "the name of a column for architecture logistic");
    for (const char *c = p->target; *c != '\0'; c++)
        if ((unsigned char)*c < 0x20 || *c == 0x7f)
            return bad(d, "target", err, "without control characters");
    if ((logistic || plan_asks(p, RULE_VALUES)) && p->features == 0)
        return bad(d, "features", err, "at least 1 for architecture logistic or the rule moments");
    if (!logistic && strcmp(p->trainer, "native") == 0)
        return bad(d, "trainer", err, "null or constant unless the architecture is logistic");
    if (f->fixed.count > PLAN_NAMES_MAX)
        return bad(d, "fixed", err, "of 256 names at most");
    if (f->largest.count > PLAN_NAMES_MAX)
        return bad(d, "largest", err, "of 256 names at most");
    return 0;
}

static int read_all(struct draft *d, struct err *err)
{
    struct plan *p = &d->out->plan;
    int rc = read_keys(d, err);
    if (rc == 0)
        rc = read_schedule(d, err);
    if (rc != 0)
        return rc;
    if (p->quorum == 0)
        p->quorum = p->minimum;
    p->fraction_ppm = (uint64_t)llround(d->fraction * PLAN_PPM);
    p->deadline_ms = (uint64_t)llround(d->deadline_s * 1000);
    return check_sense(d, err);
}

int plan_file_load(const char *path, struct plan_file *out, struct err *err)
{
    struct buf text = buf_new(CONFIG_BYTES_MAX);
    struct plan_file f = {.plan = {.seed = 1,
                                   .trainer = "native",
                                   .epochs = 1,
                                   .batch = 32,
                                   .learning_rate = 0.1,
                                   .optimiser = "none",
                                   .codec = "plain"}};
    struct draft d = {.path = path, .out = &f, .fraction = 1, .deadline_s = 3600};
    int rc = files_load(files_posix(), path, &text, err);
    if (rc != 0) {
        rc = err_wrap(err, rc == ERR_IO || rc == ERR_NOMEM ? rc : ERR_USAGE, "plan");
    } else {
        d.text = buf_bytes(&text);
        rc = read_all(&d, err);
    }
    config_list_fini(&d.schedule);
    buf_fini(&text);
    if (rc == 0)
        *out = f;
    else
        plan_file_fini(&f);
    return rc;
}

void plan_file_fini(struct plan_file *p)
{
    config_list_fini(&p->fixed);
    config_list_fini(&p->largest);
}
