/* SPDX-License-Identifier: Apache-2.0 */
#include "study/plan.h"

#include <stdio.h>

#include "aggregate/moments.h"

#define KIND        "colmeia/plan/2"
#define KIND_1      "colmeia/plan/1" /* read for ever, written no more */
#define QUOTA_SPARE (1u << 20)       /* record, index and list blocks of a small layout */

/* --- functions of a plan --- */

uint64_t plan_rounds(const struct plan *p)
{
    uint64_t rounds = 0;
    for (size_t i = 0; i < p->step_count; i++)
        rounds += p->schedule[i].rounds;
    return rounds;
}

uint64_t plan_training_rounds(const struct plan *p, uint64_t number)
{
    uint64_t rounds = 0;
    for (size_t i = 0; i < p->step_count && number > 0; i++) {
        const struct rule *rule = rule_find(p->schedule[i].rule);
        uint64_t n = p->schedule[i].rounds < number ? p->schedule[i].rounds : number;
        rounds += rule != NULL && rule->trains ? n : 0;
        number -= n;
    }
    return rounds;
}

uint64_t plan_wanted(const struct plan *p, uint64_t number, uint64_t admitted)
{
    const struct rule *rule = plan_rule(p, number);
    uint64_t wanted = admitted;
    if (rule != NULL && rule->trains)
        wanted = (p->fraction_ppm * admitted + PLAN_PPM - 1) / PLAN_PPM;
    return wanted < p->minimum ? p->minimum : wanted;
}

bool plan_network(const struct plan *p, struct network *out)
{
    struct network n = {.features = (size_t)p->features,
                        .classes = (size_t)p->classes,
                        .hidden_count = p->hidden_count};
    if (!network_parse_kind(p->architecture, &n.kind))
        return false;
    for (size_t i = 0; i < p->hidden_count; i++)
        n.hidden[i] = (size_t)p->hidden[i];
    *out = n;
    return true;
}

const struct rule *plan_rule(const struct plan *p, uint64_t number)
{
    if (number == 0)
        return NULL;
    for (size_t i = 0; i < p->step_count; i++) {
        if (number <= p->schedule[i].rounds)
            return rule_find(p->schedule[i].rule);
        number -= p->schedule[i].rounds;
    }
    return NULL;
}

const char *plan_rule_names(char out[PLAN_RULE_NAMES_MAX])
{
    size_t used = 0;
    out[0] = '\0';
    for (size_t i = 0; rule_at(i) != NULL && used < PLAN_RULE_NAMES_MAX; i++)
        used += (size_t)snprintf(out + used, PLAN_RULE_NAMES_MAX - used, "%s%s", i > 0 ? ", " : "",
                                 rule_at(i)->name);
    return out;
}

bool plan_asks(const struct plan *p, enum rule_answer answer)
{
    for (size_t i = 0; i < p->step_count; i++) {
        const struct rule *rule = rule_find(p->schedule[i].rule);
        for (size_t k = 0; rule != NULL && k < rule->exchange_count; k++)
            if (rule->asks[k] == answer)
                return true;
    }
    return false;
}

static void derive(const char *domain, const uint64_t *numbers, size_t count,
                   uint8_t out[HASH_BYTES])
{
    uint8_t message[64];
    size_t size = strlen(domain);
    memcpy(message, domain, size);
    for (size_t i = 0; i < count; i++, size += 8)
        bytes_put_u64(message + size, numbers[i]);
    hash_sha256(bytes_of(message, size), out);
}

void plan_initial_seed(const struct plan *p, uint8_t out[HASH_BYTES])
{
    derive("colmeia-initial-model-1:", &p->seed, 1, out);
}

void plan_site_seed(const struct plan *p, uint64_t round, uint64_t index, uint8_t out[HASH_BYTES])
{
    derive("colmeia-site-seed-1:", (const uint64_t[]){p->seed, round, index}, 3, out);
}

void plan_selection_seed(const struct plan *p, uint64_t round, uint8_t out[HASH_BYTES])
{
    derive("colmeia-selection-seed-1:", (const uint64_t[]){p->seed, round}, 2, out);
}

static uint64_t held_from(uint64_t keep, uint64_t number)
{
    return keep == 0 || number <= keep ? 1 : number - keep + 1;
}

uint64_t plan_updates_held_from(const struct plan *p, uint64_t number)
{
    return held_from(p->keep_updates, number);
}

uint64_t plan_models_held_from(const struct plan *p, uint64_t number)
{
    return held_from(p->keep_models, number);
}

uint64_t plan_quota(const struct plan *p, const struct layout *l)
{
    return p->update_bytes_max > 0 ? p->update_bytes_max : 2 * layout_update_bytes(l) + QUOTA_SPARE;
}

/* --- writing --- */

static void put_schedule(const struct plan *p, struct buf *out)
{
    cbor_put_array(out, p->step_count);
    for (size_t i = 0; i < p->step_count; i++) {
        cbor_put_array(out, 2);
        cbor_put_text(out, p->schedule[i].rule);
        cbor_put_uint(out, p->schedule[i].rounds);
    }
}

static void put_hidden(const struct plan *p, struct buf *out)
{
    cbor_put_array(out, p->hidden_count);
    for (size_t i = 0; i < p->hidden_count; i++)
        cbor_put_uint(out, p->hidden[i]);
}

/* Name and number: an entry of one of the small maps below. */
static void put_entry(struct buf *out, const char *name, uint64_t value)
{
    cbor_put_text(out, name);
    cbor_put_uint(out, value);
}

static void put_number(struct buf *out, const char *name, double value)
{
    cbor_put_text(out, name);
    cbor_put_double(out, value);
}

static void put_optimiser(const struct optimiser_setting *o, struct buf *out)
{
    cbor_put_map(out, 5);
    put_number(out, "tau", o->tau);
    cbor_put_text(out, "name");
    cbor_put_text(out, optimiser_name(o->kind));
    put_number(out, "rate", o->rate);
    put_number(out, "beta1", o->beta1);
    put_number(out, "beta2", o->beta2);
}

static void put_hyperparameters(const struct plan *p, struct buf *out)
{
    cbor_put_map(out, 7);
    put_entry(out, "batch", p->batch);
    put_entry(out, "steps", p->steps);
    put_entry(out, "epochs", p->epochs);
    put_number(out, "momentum", p->momentum);
    put_number(out, "proximal", p->proximal);
    put_number(out, "weight_decay", p->weight_decay);
    put_number(out, "learning_rate", p->learning_rate);
}

static void put_maps(struct record_writer *w, const struct plan *p)
{
    struct buf *out = record_field(w, "selection");
    cbor_put_map(out, 2);
    put_entry(out, "minimum", p->minimum);
    put_entry(out, "fraction_ppm", p->fraction_ppm);
    out = record_field(w, "data");
    cbor_put_map(out, 3);
    cbor_put_text(out, "target");
    cbor_put_text(out, p->target);
    put_entry(out, "classes", p->classes);
    put_entry(out, "features", p->features);
    put_hyperparameters(p, record_field(w, "hyperparameters"));
    put_optimiser(&p->optimiser, record_field(w, "optimiser"));
    out = record_field(w, "retention");
    cbor_put_map(out, 2);
    put_entry(out, "models", p->keep_models);
    put_entry(out, "updates", p->keep_updates);
    out = record_field(w, "limits");
    cbor_put_map(out, 2);
    put_number(out, "update_norm", p->update_norm_max);
    put_entry(out, "update_bytes", p->update_bytes_max);
}

int plan_sign(const struct plan *p, const struct cid *study, const struct key *founder,
              struct buf *out, struct cid *cid, struct err *err)
{
    struct record_writer w;
    struct plan check;
    struct key_public by = key_public(founder);
    record_begin(&w);
    cbor_put_link_or_null(record_field(&w, "prev"), &p->prev);
    cbor_put_link(record_field(&w, "layout"), &p->layout);
    cbor_put_link(record_field(&w, "model"), &p->model);
    cbor_put_text(record_field(&w, "architecture"), p->architecture);
    put_hidden(p, record_field(&w, "hidden"));
    cbor_put_uint(record_field(&w, "seed"), p->seed);
    put_schedule(p, record_field(&w, "schedule"));
    cbor_put_uint(record_field(&w, "quorum"), p->quorum);
    cbor_put_uint(record_field(&w, "deadline_ms"), p->deadline_ms);
    cbor_put_text(record_field(&w, "trainer"), p->trainer);
    if (p->pinned)
        cbor_put_bytes(record_field(&w, "trainer_digest"), bytes_of(p->trainer_digest, HASH_BYTES));
    else
        cbor_put_null(record_field(&w, "trainer_digest"));
    cbor_put_text(record_field(&w, "codec"), p->codec);
    cbor_put_null(record_field(&w, "privacy")); /* of this version: none */
    put_maps(&w, p);
    int rc = record_sign(&w, KIND, study, founder, out, &check.cid, err);
    if (rc == 0)
        rc = plan_decode(buf_bytes(out), study, &by, &check, err);
    if (rc == 0)
        *cid = check.cid;
    else
        buf_clear(out);
    return rc;
}

/* --- reading --- */

static void take_hidden(struct record *r, struct plan *p)
{
    struct cbor c = record_take(r, "hidden");
    p->hidden_count = (size_t)cbor_take_array(&c, NETWORK_HIDDEN_MAX);
    for (size_t i = 0; i < p->hidden_count && !c.failed; i++) {
        p->hidden[i] = cbor_take_uint(&c, NETWORK_WIDTH_MAX);
        if (p->hidden[i] == 0)
            cbor_fail(&c, "a layer without units");
    }
    record_end(r, &c, "hidden");
}

static void take_pin(struct record *r, struct plan *p)
{
    struct cbor c = record_take(r, "trainer_digest");
    p->pinned = cbor_peek(&c) != CBOR_NULL;
    if (p->pinned) {
        record_bytes(r, "trainer_digest", p->trainer_digest, HASH_BYTES);
    } else {
        cbor_take_null(&c);
        record_end(r, &c, "trainer_digest");
    }
}

static void take_schedule(struct record *r, struct plan *p)
{
    struct cbor c = record_take(r, "schedule");
    uint64_t total = 0;
    p->step_count = (size_t)cbor_take_array(&c, PLAN_SCHEDULE_MAX);
    if (p->step_count == 0)
        cbor_fail(&c, "a schedule without rounds");
    for (size_t i = 0; i < p->step_count && !c.failed; i++) {
        struct plan_step *step = &p->schedule[i];
        if (cbor_take_array(&c, 2) != 2)
            cbor_fail(&c, "a step is a rule and a number of rounds");
        record_item_text(&c, step->rule, sizeof step->rule);
        step->rounds = cbor_take_uint(&c, PLAN_ROUNDS_MAX);
        total += step->rounds;
        if (step->rounds == 0 || total > PLAN_ROUNDS_MAX)
            cbor_fail(&c, "no rounds, or too many");
    }
    record_end(r, &c, "schedule");
}

static uint64_t take_entry(struct cbor *c, const char *name, uint64_t least, uint64_t most)
{
    cbor_expect_key(c, name);
    uint64_t value = cbor_take_uint(c, most);
    if (value < least)
        cbor_fail(c, "integer out of range");
    return value;
}

/* From 0 to `most`. */
static double take_number(struct cbor *c, const char *name, double most)
{
    cbor_expect_key(c, name);
    double value = cbor_take_double(c);
    if (!(value >= 0 && value <= most))
        cbor_fail(c, "number out of range");
    return value;
}

/* A rate of zero would change nothing. */
static double take_rate(struct cbor *c, const char *name)
{
    double value = take_number(c, name, PLAN_RATE_MAX);
    if (value == 0)
        cbor_fail(c, "a rate of zero");
    return value;
}

/* Momentum and the betas: 0 <= value < 1. */
static double take_decay(struct cbor *c, const char *name)
{
    double value = take_number(c, name, 1);
    if (value == 1)
        cbor_fail(c, "number out of range");
    return value;
}

/* A reader inside the map `key` of `entries` entries. */
static struct cbor take_map(struct record *r, const char *key, uint64_t entries)
{
    struct cbor c = record_take(r, key);
    if (cbor_take_map(&c, entries) != entries)
        cbor_fail(&c, "another number of entries");
    return c;
}

static void take_data(struct record *r, struct plan *p)
{
    struct cbor c = take_map(r, "data", 3);
    cbor_expect_key(&c, "target");
    cbor_take_string(&c, p->target, sizeof p->target);
    for (const char *t = p->target; *t != '\0'; t++)
        if ((unsigned char)*t < 0x20 || *t == 0x7f)
            cbor_fail(&c, "a control character in a text");
    p->classes = take_entry(&c, "classes", 0, UINT32_MAX);
    p->features = take_entry(&c, "features", 0, MOMENTS_FEATURES_MAX);
    record_end(r, &c, "data");
}

static void take_hyperparameters(struct record *r, struct plan *p)
{
    struct cbor c = take_map(r, "hyperparameters", 7);
    p->batch = take_entry(&c, "batch", 0, PLAN_BATCH_MAX);
    p->steps = take_entry(&c, "steps", 0, PLAN_STEPS_MAX);
    p->epochs = take_entry(&c, "epochs", 0, PLAN_EPOCHS_MAX);
    if ((p->steps == 0) == (p->epochs == 0))
        cbor_fail(&c, "exactly one of epochs and steps is not 0");
    p->momentum = take_decay(&c, "momentum");
    p->proximal = take_number(&c, "proximal", PLAN_RATE_MAX);
    p->weight_decay = take_number(&c, "weight_decay", PLAN_RATE_MAX);
    p->learning_rate = take_rate(&c, "learning_rate");
    record_end(r, &c, "hyperparameters");
}

/* The name is looked up by take_fields, so that an unknown one has a code of its own. */
static void take_optimiser(struct record *r, struct optimiser_setting *o, char *name, size_t size)
{
    struct cbor c = take_map(r, "optimiser", 5);
    o->tau = take_number(&c, "tau", PLAN_RATE_MAX);
    cbor_expect_key(&c, "name");
    record_item_text(&c, name, size);
    o->rate = take_rate(&c, "rate");
    o->beta1 = take_decay(&c, "beta1");
    o->beta2 = take_decay(&c, "beta2");
    record_end(r, &c, "optimiser");
}

static void take_limits(struct record *r, struct plan *p)
{
    struct cbor c = take_map(r, "limits", 2);
    p->update_norm_max = take_number(&c, "update_norm", PLAN_NORM_MAX);
    p->update_bytes_max = take_entry(&c, "update_bytes", 0, PLAN_BYTES_MAX);
    record_end(r, &c, "limits");
}

/* Is `text` one of the words of `list` ("a b c")? */
static int check_word(const char *what, const char *text, const char *list, struct err *err)
{
    size_t size = strlen(text);
    for (const char *at = list; *at != '\0';) {
        size_t n = strcspn(at, " ");
        if (n == size && memcmp(at, text, n) == 0)
            return 0;
        at += n + (at[n] == ' ');
    }
    return err_set(err, ERR_UNSUPPORTED, "%s \"%s\" is not known here; known: %s", what, text,
                   list);
}

static int check_optimiser_name(const char *name, struct optimiser_setting *o, struct err *err)
{
    if (optimiser_parse(name, &o->kind))
        return 0;
    return err_set(err, ERR_UNSUPPORTED,
                   "optimiser \"%s\" is not known here; known: none fedavgm fedadagrad fedadam "
                   "fedadam-corrected fedyogi",
                   name);
}

/* What version 1 has otherwise, and nothing of: networks, pins, optimisers and norm bounds. */
static int take_fields_1(struct record *r, struct plan *p, struct err *err)
{
    char optimiser[OPTIMISER_NAME_MAX] = "";
    record_text(r, "optimiser", optimiser, sizeof optimiser);
    p->optimiser = (struct optimiser_setting){.kind = OPTIMISER_NONE, .rate = 1};
    struct cbor c = take_map(r, "hyperparameters", 4);
    p->weight_decay = take_number(&c, "l2", PLAN_RATE_MAX);
    p->batch = take_entry(&c, "batch", 0, PLAN_BATCH_MAX);
    p->epochs = take_entry(&c, "epochs", 1, PLAN_EPOCHS_MAX);
    p->learning_rate = take_rate(&c, "learning_rate");
    record_end(r, &c, "hyperparameters");
    c = take_map(r, "limits", 1);
    p->update_bytes_max = take_entry(&c, "update_bytes", 0, PLAN_BYTES_MAX);
    record_end(r, &c, "limits");
    int rc = record_close(r, err);
    if (rc == 0)
        rc = check_word("architecture", p->architecture, "logistic external", err);
    if (rc == 0)
        rc = check_word("trainer", p->trainer, "native null constant", err);
    return rc != 0 ? rc : check_word("optimiser", optimiser, "none", err);
}

static int take_fields_2(struct record *r, struct plan *p, struct err *err)
{
    char optimiser[OPTIMISER_NAME_MAX] = "";
    take_hidden(r, p);
    take_pin(r, p);
    take_hyperparameters(r, p);
    take_optimiser(r, &p->optimiser, optimiser, sizeof optimiser);
    take_limits(r, p);
    int rc = record_close(r, err);
    if (rc == 0)
        rc = check_word("architecture", p->architecture, "logistic softmax mlp external", err);
    if (rc == 0)
        rc = check_word("trainer", p->trainer, "native program null constant", err);
    return rc != 0 ? rc : check_optimiser_name(optimiser, &p->optimiser, err);
}

static int take_fields(struct record *r, struct plan *p, struct err *err)
{
    p->cid = r->cid;
    p->prev = record_link_or_null(r, "prev");
    p->layout = record_link(r, "layout");
    p->model = record_model(r, "model");
    record_text(r, "architecture", p->architecture, sizeof p->architecture);
    p->seed = record_uint(r, "seed", 0, UINT64_MAX);
    take_schedule(r, p);
    p->quorum = record_uint(r, "quorum", 1, PLAN_SELECTED_MAX);
    p->deadline_ms = record_uint(r, "deadline_ms", 1, PLAN_DEADLINE_MAX);
    record_text(r, "trainer", p->trainer, sizeof p->trainer);
    record_text(r, "codec", p->codec, sizeof p->codec);
    take_data(r, p);
    struct cbor c = take_map(r, "selection", 2);
    p->minimum = take_entry(&c, "minimum", 1, PLAN_SELECTED_MAX);
    p->fraction_ppm = take_entry(&c, "fraction_ppm", 1, PLAN_PPM);
    record_end(r, &c, "selection");
    c = take_map(r, "retention", 2);
    p->keep_models = take_entry(&c, "models", 0, PLAN_ROUNDS_MAX);
    p->keep_updates = take_entry(&c, "updates", 0, PLAN_ROUNDS_MAX);
    record_end(r, &c, "retention");
    c = record_take(r, "privacy");
    cbor_take_null(&c);
    record_end(r, &c, "privacy");
    return strcmp(r->kind, KIND_1) == 0 ? take_fields_1(r, p, err) : take_fields_2(r, p, err);
}

static int check_names(const struct plan *p, struct err *err)
{
    char names[PLAN_RULE_NAMES_MAX];
    for (size_t i = 0; i < p->step_count; i++)
        if (rule_find(p->schedule[i].rule) == NULL)
            return err_set(err, ERR_UNSUPPORTED, "rule \"%s\" is not known here; known: %s",
                           p->schedule[i].rule, plan_rule_names(names));
    return check_word("codec", p->codec, "plain", err);
}

static int check_network(const struct plan *p, struct err *err)
{
    struct network n;
    bool native = plan_network(p, &n);
    if (!native && strcmp(p->trainer, "native") == 0)
        return err_set(err, ERR_MALFORMED, "the native trainer does not know architecture %s",
                       p->architecture);
    bool mlp = native && n.kind == NETWORK_MLP;
    if (mlp != (p->hidden_count > 0))
        return err_set(err, ERR_MALFORMED, "an mlp has hidden layers, another architecture none");
    if (!native)
        return 0;
    bool logistic = n.kind == NETWORK_LOGISTIC;
    if (logistic && (p->features == 0 || p->classes != 2 || p->target[0] == '\0'))
        return err_set(err, ERR_MALFORMED,
                       "logistic needs features, 2 classes and a target column");
    if (p->features == 0 || p->classes < 2 || p->classes > NETWORK_WIDTH_MAX)
        return err_set(err, ERR_MALFORMED, "%s needs features and 2 to %d classes", p->architecture,
                       NETWORK_WIDTH_MAX);
    return 0;
}

/* What an optimiser does not use is 0, so that one meaning has one form. */
static int check_optimiser(const struct optimiser_setting *o, struct err *err)
{
    const char *name = optimiser_name(o->kind);
    bool adaptive = optimiser_slots(o->kind) == 2;
    bool beta2 = adaptive && o->kind != OPTIMISER_FEDADAGRAD;
    if (o->kind == OPTIMISER_NONE && (o->rate != 1 || o->beta1 != 0))
        return err_set(err, ERR_MALFORMED, "optimiser none has rate 1 and beta1 0");
    if (!beta2 && o->beta2 != 0)
        return err_set(err, ERR_MALFORMED, "optimiser %s has beta2 0", name);
    if (adaptive != (o->tau > 0))
        return err_set(err, ERR_MALFORMED, "optimiser %s has tau %s", name,
                       adaptive ? "above 0" : "0");
    return 0;
}

static int check_sense(const struct plan *p, struct err *err)
{
    if (p->minimum < p->quorum)
        return err_set(err, ERR_MALFORMED, "minimum %llu is below quorum %llu",
                       (unsigned long long)p->minimum, (unsigned long long)p->quorum);
    if (p->pinned && strcmp(p->trainer, "program") != 0)
        return err_set(err, ERR_MALFORMED, "a digest pins a program, not trainer %s", p->trainer);
    if (plan_asks(p, RULE_VALUES) && p->features == 0)
        return err_set(err, ERR_MALFORMED, "the rule moments needs features");
    int rc = check_network(p, err);
    return rc != 0 ? rc : check_optimiser(&p->optimiser, err);
}

static int open_plan(struct bytes in, struct record *r, struct err *err)
{
    int rc = record_open(in, NULL, r, err);
    if (rc == 0 && strcmp(r->kind, KIND) != 0 && strcmp(r->kind, KIND_1) != 0)
        rc = err_set(err, ERR_UNSUPPORTED, "a record of kind %s where %s or %s is expected",
                     r->kind, KIND, KIND_1);
    return rc;
}

int plan_decode(struct bytes in, const struct cid *study, const struct key_public *founder,
                struct plan *out, struct err *err)
{
    struct record r;
    struct plan p = {.step_count = 0};
    int rc = open_plan(in, &r, err);
    if (rc == 0)
        rc = record_expect(&r, study, founder, "the founder", err);
    if (rc == 0)
        rc = take_fields(&r, &p, err);
    if (rc == 0)
        rc = check_names(&p, err);
    if (rc == 0)
        rc = check_sense(&p, err);
    if (rc != 0)
        return err_wrap(err, rc, "plan");
    *out = p;
    return 0;
}
