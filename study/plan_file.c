/* SPDX-License-Identifier: Apache-2.0 */
#include "study/plan_file.h"

#include <float.h>
#include <math.h>
#include <stdio.h>

#include "aggregate/moments.h"
#include "base/files.h"
#include "base/multibase.h"
#include "base/text.h"

#define KEYS_MAX    48
#define NOT_SAID    (-1.0) /* no number of [server] is negative */
#define BELOW_ONE   (1 - DBL_EPSILON / 2)
#define SENTENCE    256
#define DIGEST_TEXT (2 * HASH_BYTES + 1)

/* What the file says before it is a plan. */
struct draft {
    const char *path;
    struct bytes text;
    struct plan_file *out;
    struct config_list schedule;
    struct config_uint_list hidden;
    double fraction, deadline_s;
    char digest[1 + DIGEST_TEXT]; /* behind multibase's prefix */
    char optimiser[OPTIMISER_NAME_MAX];
    double rate, beta1, beta2, tau;
};

struct schema {
    size_t count;
    struct config_key keys[KEYS_MAX];
};

static void append(struct schema *s, const struct config_key *keys, size_t count)
{
    for (size_t i = 0; i < count; i++)
        s->keys[s->count++] = keys[i];
}

static void append_model(struct draft *d, struct schema *s)
{
    struct plan_file *f = d->out;
    struct plan *p = &f->plan;
    const struct config_key keys[] = {
        {"", "seed", CONFIG_UINT, false, &p->seed, 0, 0, 0, NULL},
        {"study", "name", CONFIG_TEXT, true, f->name, sizeof f->name, 0, 0,
         "1 to 64 of a-z 0-9 - _ ., beginning with a letter or digit"},
        {"model", "architecture", CONFIG_TEXT, true, p->architecture, sizeof p->architecture, 0, 0,
         "logistic | softmax | mlp | external"},
        {"model", "hidden", CONFIG_UINT_LIST, false, &d->hidden, 0, 1, NETWORK_WIDTH_MAX,
         "an array of 1 to 8 numbers of units, each from 1 to 65536"},
        {"model", "features", CONFIG_UINT, false, &p->features, 0, 0, MOMENTS_FEATURES_MAX,
         "a number up to 4096"},
        {"model", "classes", CONFIG_UINT, false, &p->classes, 0, 0, UINT32_MAX,
         "a number of classes"},
        {"model", "fixed", CONFIG_TEXT_LIST, false, &f->fixed, 0, 0, 0, "an array of tensor names"},
        {"model", "largest", CONFIG_TEXT_LIST, false, &f->largest, 0, 0, 0,
         "an array of tensor names"},
        {"data", "target", CONFIG_TEXT, false, p->target, sizeof p->target, 0, 0,
         "the name of a column"},
    };
    append(s, keys, sizeof keys / sizeof keys[0]);
}

static void append_rounds(struct draft *d, struct schema *s)
{
    struct plan *p = &d->out->plan;
    const double sites = PLAN_SELECTED_MAX;
    const struct config_key keys[] = {
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
    };
    append(s, keys, sizeof keys / sizeof keys[0]);
}

static void append_training(struct draft *d, struct schema *s)
{
    struct plan *p = &d->out->plan;
    const struct config_key keys[] = {
        {"training", "trainer", CONFIG_TEXT, false, p->trainer, sizeof p->trainer, 0, 0,
         "native | program | null | constant"},
        {"training", "trainer_digest", CONFIG_TEXT, false, d->digest + 1, DIGEST_TEXT, 0, 0,
         "64 hex digits"},
        {"training", "epochs", CONFIG_UINT, false, &p->epochs, 0, 1, PLAN_EPOCHS_MAX,
         "a number from 1 to 1000000"},
        {"training", "steps", CONFIG_UINT, false, &p->steps, 0, 1, PLAN_STEPS_MAX,
         "a number from 1 to 1000000000"},
        {"training", "batch", CONFIG_UINT, false, &p->batch, 0, 0, PLAN_BATCH_MAX,
         "a number of examples, 0 for all of them"},
        {"training", "learning_rate", CONFIG_DOUBLE, false, &p->learning_rate, 0, 1e-12,
         PLAN_RATE_MAX, "a number from 1e-12 to 1e6"},
        {"training", "momentum", CONFIG_DOUBLE, false, &p->momentum, 0, 0, BELOW_ONE,
         "a number from 0 and below 1"},
        {"training", "weight_decay", CONFIG_DOUBLE, false, &p->weight_decay, 0, 0, PLAN_RATE_MAX,
         "a number from 0 to 1e6"},
        {"training", "proximal", CONFIG_DOUBLE, false, &p->proximal, 0, 0, PLAN_RATE_MAX,
         "a number from 0 to 1e6"},
    };
    append(s, keys, sizeof keys / sizeof keys[0]);
}

static void append_server(struct draft *d, struct schema *s)
{
    struct plan *p = &d->out->plan;
    const double rounds = PLAN_ROUNDS_MAX;
    const struct config_key keys[] = {
        {"server", "optimiser", CONFIG_TEXT, false, d->optimiser, sizeof d->optimiser, 0, 0,
         "none | fedavgm | fedadagrad | fedadam | fedadam-corrected | fedyogi"},
        {"server", "rate", CONFIG_DOUBLE, false, &d->rate, 0, 1e-12, PLAN_RATE_MAX,
         "a number from 1e-12 to 1e6"},
        {"server", "beta1", CONFIG_DOUBLE, false, &d->beta1, 0, 0, BELOW_ONE,
         "a number from 0 and below 1"},
        {"server", "beta2", CONFIG_DOUBLE, false, &d->beta2, 0, 0, BELOW_ONE,
         "a number from 0 and below 1"},
        {"server", "tau", CONFIG_DOUBLE, false, &d->tau, 0, 1e-12, PLAN_RATE_MAX,
         "a number from 1e-12 to 1e6"},
        {"limits", "update_norm", CONFIG_DOUBLE, false, &p->update_norm_max, 0, 0, PLAN_NORM_MAX,
         "a number up to 1e300, 0 for no bound"},
        {"limits", "update_bytes", CONFIG_UINT, false, &p->update_bytes_max, 0, 0, PLAN_BYTES_MAX,
         "a number of bytes, 0 for twice the model"},
        {"retention", "updates", CONFIG_UINT, false, &p->keep_updates, 0, 0, rounds,
         "a number of rounds, 0 for ever"},
        {"retention", "models", CONFIG_UINT, false, &p->keep_models, 0, 0, rounds,
         "a number of rounds, 0 for ever"},
    };
    append(s, keys, sizeof keys / sizeof keys[0]);
}

static int read_keys(struct draft *d, struct err *err)
{
    struct schema s = {.count = 0};
    append_model(d, &s);
    append_rounds(d, &s);
    append_training(d, &s);
    append_server(d, &s);
    return config_parse(d->path, d->text, s.keys, s.count, err);
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

static int read_hidden(const struct draft *d, struct err *err)
{
    struct plan *p = &d->out->plan;
    bool mlp = strcmp(p->architecture, "mlp") == 0;
    if (!mlp && d->hidden.count > 0)
        return bad(d, "hidden", err, "left out: only architecture mlp has hidden layers");
    if (mlp && (d->hidden.count == 0 || d->hidden.count > NETWORK_HIDDEN_MAX))
        return bad(d, "hidden", err, "an array of 1 to 8 numbers of units for architecture mlp");
    p->hidden_count = d->hidden.count;
    memcpy(p->hidden, d->hidden.items, d->hidden.count * sizeof p->hidden[0]);
    return 0;
}

static int read_training(struct draft *d, struct err *err)
{
    struct plan *p = &d->out->plan;
    if (p->epochs > 0 && p->steps > 0)
        return bad(d, "steps", err, "left out where epochs is given, and epochs where steps is");
    if (p->steps == 0 && p->epochs == 0)
        p->epochs = 1;
    p->pinned = line_of(d->text, "trainer_digest") > 0;
    if (!p->pinned)
        return 0;
    if (strcmp(p->trainer, "program") != 0)
        return bad(d, "trainer_digest", err, "left out unless the trainer is program");
    struct buf digest = buf_new(HASH_BYTES);
    d->digest[0] = 'f';
    int rc = multibase_decode(d->digest, strlen(d->digest), &digest, NULL);
    bool good = rc == 0 && digest.size == HASH_BYTES;
    if (good)
        memcpy(p->trainer_digest, digest.data, HASH_BYTES);
    buf_fini(&digest);
    return good ? 0 : bad(d, "trainer_digest", err, "64 hex digits, lower case");
}

/* `fallback`: NOT_SAID if the optimiser has no use for the key. */
static int read_setting(const struct draft *d, const char *key, double said, double fallback,
                        struct err *err)
{
    char what[SENTENCE];
    if (said == NOT_SAID || fallback != NOT_SAID)
        return 0;
    snprintf(what, sizeof what, "left out: optimiser %s does not use it", d->optimiser);
    return bad(d, key, err, what);
}

static double said_or(double said, double fallback)
{
    return said != NOT_SAID ? said : fallback != NOT_SAID ? fallback : 0;
}

/* The values that Reddi et al. 2021 begin from. */
static int read_server(const struct draft *d, struct err *err)
{
    static const struct {
        double rate, beta1, beta2, tau;
    } usual[] = {
        [OPTIMISER_NONE] = {NOT_SAID, NOT_SAID, NOT_SAID, NOT_SAID},
        [OPTIMISER_FEDAVGM] = {1, 0.9, NOT_SAID, NOT_SAID},
        [OPTIMISER_FEDADAGRAD] = {0.1, 0, NOT_SAID, 1e-3},
        [OPTIMISER_FEDADAM] = {0.1, 0.9, 0.99, 1e-3},
        [OPTIMISER_FEDADAM_CORRECTED] = {0.1, 0.9, 0.99, 1e-3},
        [OPTIMISER_FEDYOGI] = {0.1, 0.9, 0.99, 1e-3},
    };
    struct optimiser_setting *o = &d->out->plan.optimiser;
    enum optimiser kind;
    if (!optimiser_parse(d->optimiser, &kind))
        return bad(d, "optimiser", err, "one that this program knows");
    int rc = read_setting(d, "rate", d->rate, usual[kind].rate, err);
    if (rc == 0)
        rc = read_setting(d, "beta1", d->beta1, usual[kind].beta1, err);
    if (rc == 0)
        rc = read_setting(d, "beta2", d->beta2, usual[kind].beta2, err);
    if (rc == 0)
        rc = read_setting(d, "tau", d->tau, usual[kind].tau, err);
    *o = (struct optimiser_setting){
        .kind = kind,
        .rate = kind == OPTIMISER_NONE ? 1 : said_or(d->rate, usual[kind].rate),
        .beta1 = said_or(d->beta1, usual[kind].beta1),
        .beta2 = said_or(d->beta2, usual[kind].beta2),
        .tau = said_or(d->tau, usual[kind].tau)};
    return rc;
}

static int check_network(const struct draft *d, struct err *err)
{
    const struct plan *p = &d->out->plan;
    struct network n;
    bool native = plan_network(p, &n), logistic = native && n.kind == NETWORK_LOGISTIC;
    if (logistic && p->classes != 2)
        return bad(d, "classes", err, "2 for architecture logistic");
    if (native && (p->classes < 2 || p->classes > NETWORK_WIDTH_MAX))
        return bad(d, "classes", err, "a number from 2 to 65536 for architectures softmax and mlp");
    if (logistic && p->target[0] == '\0')
        return bad(d, "target", err, "the name of a column for architecture logistic");
    if ((native || plan_asks(p, RULE_VALUES)) && p->features == 0)
        return bad(d, "features", err,
                   "at least 1 for the rule moments and every architecture but external");
    if (!native && strcmp(p->trainer, "native") == 0)
        return bad(d, "trainer", err, "program, null or constant for architecture external");
    return 0;
}

static int check_sense(const struct draft *d, struct err *err)
{
    const struct plan_file *f = d->out;
    const struct plan *p = &f->plan;
    if (!text_is_name(f->name))
        return bad(d, "name", err, "1 to 64 of a-z 0-9 - _ ., beginning with a letter or digit");
    if (p->minimum < p->quorum)
        return bad(d, "minimum", err, "at least quorum");
    for (const char *c = p->target; *c != '\0'; c++)
        if ((unsigned char)*c < 0x20 || *c == 0x7f)
            return bad(d, "target", err, "without control characters");
    if (f->fixed.count > PLAN_NAMES_MAX)
        return bad(d, "fixed", err, "of 256 names at most");
    if (f->largest.count > PLAN_NAMES_MAX)
        return bad(d, "largest", err, "of 256 names at most");
    return check_network(d, err);
}

static int read_all(struct draft *d, struct err *err)
{
    struct plan *p = &d->out->plan;
    int rc = read_keys(d, err);
    if (rc == 0)
        rc = read_schedule(d, err);
    if (rc == 0)
        rc = read_hidden(d, err);
    if (rc == 0)
        rc = read_training(d, err);
    if (rc == 0)
        rc = read_server(d, err);
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
    struct plan_file f = {
        .plan = {
            .seed = 1, .trainer = "native", .batch = 32, .learning_rate = 0.1, .codec = "plain"}};
    struct draft d = {.path = path,
                      .out = &f,
                      .fraction = 1,
                      .deadline_s = 3600,
                      .optimiser = "none",
                      .rate = NOT_SAID,
                      .beta1 = NOT_SAID,
                      .beta2 = NOT_SAID,
                      .tau = NOT_SAID};
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
