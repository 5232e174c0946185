/* SPDX-License-Identifier: Apache-2.0 */
#include <math.h>

#include "cli/cmd.h"
#include "cli/examples.h"
#include "cli/model_file.h"
#include "cli/options.h"
#include "cli/output.h"
#include "cli/say.h"
#include "study/plan_file.h"

#define NOT_GIVEN UINT64_MAX /* a number that the plan decides; of a real one: NAN */

struct train {
    const char *plan_path, *model_path, *target, *to;
    struct options_list data;
    uint64_t rounds, seed;
    bool scale;
    struct network_options options;
    struct plan_file plan; /* without a file: what one has if it says nothing */
    struct network network;
    struct dataset examples;
    struct moments moments;
    struct model_file model;
    struct network_metrics metrics; /* on the data that it was trained on */
};

static uint64_t given(uint64_t option, uint64_t plan)
{
    return option != NOT_GIVEN ? option : plan;
}

static double given_real(double option, double plan)
{
    return isnan(option) ? plan : option;
}

/* The plan's hyperparameters where no option says otherwise. Epochs or steps take the other's
 * place. */
static void take_options(struct train *t)
{
    struct plan *p = &t->plan.plan;
    struct network_options *o = &t->options;
    bool counted = o->epochs != NOT_GIVEN || o->steps != NOT_GIVEN;
    o->epochs = given(o->epochs, counted ? 0 : p->epochs);
    o->steps = given(o->steps, counted ? 0 : p->steps);
    o->batch = given(o->batch, p->batch);
    o->learning_rate = given_real(o->learning_rate, p->learning_rate);
    o->momentum = given_real(o->momentum, p->momentum);
    o->weight_decay = given_real(o->weight_decay, p->weight_decay);
    o->proximal = given_real(o->proximal, p->proximal);
    p->seed = given(t->seed, p->seed);
    if (t->rounds == 0)
        t->rounds = t->plan_path == NULL ? 1 : plan_training_rounds(p, plan_rounds(p));
}

/* The plan's network, new or from a file; or whatever network the file has. */
static int load_model(struct train *t, struct err *err)
{
    const struct plan *plan = &t->plan.plan;
    uint8_t seed[HASH_BYTES];
    if (t->plan_path != NULL && !plan_network(plan, &t->network))
        return err_set(err, ERR_USAGE, "architecture \"%s\" is known to its trainer only",
                       plan->architecture);
    if (t->model_path == NULL) {
        plan_initial_seed(plan, seed);
        return model_file_new(&t->network, seed, &t->model, err);
    }
    int rc = model_file_load(t->model_path, &t->model, err);
    if (rc != 0)
        return rc;
    rc = t->plan_path != NULL ? network_check(&t->network, t->model.layout, err)
                              : network_of(t->model.layout, &t->network, err);
    return rc != 0 ? err_wrap(err, rc, "model %.400s", t->model_path) : 0;
}

static bool plan_scales(const struct plan *plan)
{
    for (size_t i = 0; i < plan->step_count; i++)
        if (strcmp(plan->schedule[i].rule, "moments") == 0)
            return true;
    return false;
}

static int load(struct train *t, struct err *err)
{
    const char *target = t->target != NULL ? t->target : t->plan.plan.target;
    int rc = load_model(t, err);
    t->scale = t->scale || (t->model_path == NULL && plan_scales(&t->plan.plan));
    if (rc == 0)
        rc = examples_load(&t->data, target, t->network.classes, &t->examples,
                           t->scale ? &t->moments : NULL, err);
    if (rc == 0 && t->examples.features != t->network.features)
        rc = err_set(err, ERR_MALFORMED, "the data has %zu features, the %s says %zu",
                     t->examples.features, t->plan_path != NULL ? "plan" : "model",
                     t->network.features);
    return rc;
}

/* What the rule `moments` does to a study's model, with this data as its only sites. */
static int set_scaling(struct train *t, struct err *err)
{
    uint8_t *mean = t->model.data + layout_find(t->model.layout, "input.mean")->offset;
    uint8_t *deviation = t->model.data + layout_find(t->model.layout, "input.deviation")->offset;
    return moments_finish(&t->moments, (float *)mean, (float *)deviation)
               ? 0
               : err_set(err, ERR_MALFORMED, "the data's mean or deviation is not finite");
}

static int train(struct train *t, struct err *err)
{
    const struct plan *plan = &t->plan.plan;
    const struct model_file *m = &t->model;
    int rc = load(t, err);
    if (rc == 0 && t->scale)
        rc = set_scaling(t, err);
    for (uint64_t round = 1; rc == 0 && round <= t->rounds; round++) {
        uint8_t seed[HASH_BYTES];
        plan_site_seed(plan, round, 0, seed);
        rc = network_train(&t->network, m->layout, m->data, &t->examples, &t->options, seed, err);
    }
    if (rc == 0)
        rc = network_evaluate(&t->network, m->layout, m->data, &t->examples, &t->metrics, err);
    return rc != 0 ? rc : model_file_save(m, t->to, err);
}

static int run(struct train *t, struct err *err)
{
    int rc = t->plan_path == NULL ? 0 : plan_file_load(t->plan_path, &t->plan, err);
    if (rc != 0)
        return rc;
    take_options(t);
    rc = train(t, err);
    plan_file_fini(&t->plan);
    moments_fini(&t->moments);
    model_file_fini(&t->model);
    return rc;
}

static int say_result(const struct train *t, bool json)
{
    const struct network_metrics *m = &t->metrics;
    if (json)
        return say_json(json_pack("{s:I,s:I,s:f,s:f,s:I}", "rounds", (json_int_t)t->rounds,
                                  "examples", (json_int_t)t->examples.rows, "loss", m->loss,
                                  "accuracy", m->accuracy, "correct", (json_int_t)m->correct));
    say_line("trained %llu rounds: loss %.4f, accuracy %.4f on its own %zu examples",
             (unsigned long long)t->rounds, m->loss, m->accuracy, t->examples.rows);
    return 0;
}

#define NUMBER(option, what, text)                                                                 \
    {                                                                                              \
        .name = (option), .argument = "N", .number = (what), .most = NOT_GIVEN - 1, .help = (text) \
    }
#define REAL(option, what, text)                                                                   \
    {                                                                                              \
        .name = (option), .argument = "X", .real = (what), .help = (text)                          \
    }

int cmd_model_train(int argc, char **argv)
{
    struct train t = {.seed = NOT_GIVEN,
                      .options = {.epochs = NOT_GIVEN,
                                  .steps = NOT_GIVEN,
                                  .batch = NOT_GIVEN,
                                  .learning_rate = NAN,
                                  .momentum = NAN,
                                  .weight_decay = NAN,
                                  .proximal = NAN},
                      .plan.plan = {.seed = 1, .epochs = 1, .batch = 32, .learning_rate = 0.1}};
    bool json = false;
    const struct options_row rows[] = {
        {.name = "plan",
         .argument = "FILE",
         .text = &t.plan_path,
         .help = "whose network, target and hyperparameters; options below go before"},
        {.name = "model",
         .argument = "FILE",
         .text = &t.model_path,
         .help = "start from this model, not from the plan's new one"},
        {.name = "data",
         .argument = "FILE",
         .list = &t.data,
         .help = "examples, CSV or IDX; given again: pooled with these"},
        {.name = "target",
         .argument = "NAME",
         .text = &t.target,
         .help = "of CSV: the column to be predicted"},
        {.name = "scale",
         .flag = &t.scale,
         .help = "set the input's scaling from this data first (a new model: if the plan does)"},
        {.name = "rounds",
         .argument = "N",
         .number = &t.rounds,
         .most = PLAN_ROUNDS_MAX,
         .help = "times the epochs or steps (as many as the plan trains; 1)"},
        NUMBER("epochs", &t.options.epochs, "passes over the data"),
        NUMBER("steps", &t.options.steps, "instead: updates"),
        NUMBER("batch", &t.options.batch, "examples an update; 0: all"),
        REAL("learning-rate", &t.options.learning_rate, "of SGD"),
        REAL("momentum", &t.options.momentum, "from 0 to below 1"),
        REAL("weight-decay", &t.options.weight_decay, "on weights, not on biases"),
        REAL("proximal", &t.options.proximal, "FedProx's mu: pulls towards the round's start"),
        NUMBER("seed", &t.seed, "of a new model and of the order of examples"),
        {.name = "output",
         .letter = 'o',
         .argument = "FILE",
         .text = &t.to,
         .help = "the model to write"},
        {.name = "json", .flag = &json, .help = "say the result as JSON"},
    };
    struct options o = {.command = "colmeia model train",
                        .operands = "",
                        .about = "Trains alone, with no study: what a site could do without the "
                                 "others, or with all data in one place.",
                        .rows = rows,
                        .row_count = sizeof rows / sizeof rows[0]};
    struct err err = {0};
    int status;
    if (!options_parse(&o, argc, argv, &status))
        return status;
    if ((t.plan_path == NULL && t.model_path == NULL) || t.data.count == 0 || t.to == NULL)
        return say_usage(o.command, "give --plan FILE or --model FILE, --data FILE and -o FILE");
    int rc = output_check(t.to, true, &err);
    if (rc == 0)
        rc = run(&t, &err);
    status = rc != 0 ? say_error(o.command, rc, &err) : say_result(&t, json);
    dataset_fini(&t.examples);
    return status;
}
