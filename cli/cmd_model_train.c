/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/cmd.h"
#include "cli/examples.h"
#include "cli/model_file.h"
#include "cli/options.h"
#include "cli/say.h"
#include "model/logistic.h"
#include "study/plan_file.h"

struct train {
    const char *plan_path, *model_path, *to;
    struct options_list data;
    uint64_t rounds;
    bool scale;
    struct plan_file plan;
    struct dataset examples;
    struct moments moments;
    struct model_file model;
    uint64_t example_count;
    struct logistic_metrics metrics; /* on the data that it was trained on */
};

static int load(struct train *t, struct err *err)
{
    const struct plan *plan = &t->plan.plan;
    if (strcmp(plan->architecture, "logistic") != 0)
        return err_set(err, ERR_USAGE, "architecture \"%s\" is known to its trainer only",
                       plan->architecture);
    int rc =
        examples_load(t->data.items, t->data.count, plan->target, &t->examples, &t->moments, err);
    if (rc == 0 && t->examples.features != plan->features)
        rc = err_set(err, ERR_MALFORMED, "the data has %zu features, the plan says %llu",
                     t->examples.features, (unsigned long long)plan->features);
    if (rc != 0)
        return rc;
    return t->model_path != NULL ? model_file_load(t->model_path, &t->model, err)
                                 : model_file_new((size_t)plan->features, &t->model, err);
}

/* What the rule `moments` does to a study's model, with this data as its only sites. */
static int set_scaling(struct train *t, struct err *err)
{
    const struct tensor *mean = layout_find(t->model.layout, "input.mean");
    const struct tensor *deviation = layout_find(t->model.layout, "input.deviation");
    size_t features = t->moments.features;
    if (mean == NULL || deviation == NULL || mean->dtype != DTYPE_F32 ||
        deviation->dtype != DTYPE_F32 || mean->elements != features ||
        deviation->elements != features)
        return err_set(err, ERR_MALFORMED, "the model has no place for the scaling of its input");
    return moments_finish(&t->moments, (float *)(t->model.data + mean->offset),
                          (float *)(t->model.data + deviation->offset))
               ? 0
               : err_set(err, ERR_MALFORMED, "the data's mean or deviation is not finite");
}

static bool plan_scales(const struct plan *plan)
{
    for (size_t i = 0; i < plan->step_count; i++)
        if (strcmp(plan->schedule[i].rule, "moments") == 0)
            return true;
    return false;
}

static uint64_t training_rounds(const struct plan *plan)
{
    uint64_t rounds = 0;
    for (size_t i = 0; i < plan->step_count; i++) {
        const struct rule *rule = rule_find(plan->schedule[i].rule);
        if (rule != NULL && rule->trains)
            rounds += plan->schedule[i].rounds;
    }
    return rounds;
}

static int train(struct train *t, struct err *err)
{
    const struct plan *plan = &t->plan.plan;
    const struct logistic_options options = {.epochs = plan->epochs,
                                             .batch = plan->batch,
                                             .learning_rate = plan->learning_rate,
                                             .l2 = plan->l2};
    int rc = load(t, err);
    if (rc == 0 && (t->scale || (t->model_path == NULL && plan_scales(plan))))
        rc = set_scaling(t, err);
    if (t->rounds == 0)
        t->rounds = training_rounds(plan);
    for (uint64_t round = 1; rc == 0 && round <= t->rounds; round++) {
        uint8_t seed[HASH_BYTES];
        plan_site_seed(plan, round, 0, seed);
        rc = logistic_train(t->model.layout, t->model.data, &t->examples, &options, seed, err);
    }
    if (rc == 0)
        rc = logistic_evaluate(t->model.layout, t->model.data, &t->examples, &t->metrics, err);
    return rc != 0 ? rc : model_file_save(&t->model, t->to, err);
}

static int run(struct train *t, struct err *err)
{
    int rc = plan_file_load(t->plan_path, &t->plan, err);
    if (rc != 0)
        return rc;
    rc = train(t, err);
    t->example_count = t->examples.rows;
    plan_file_fini(&t->plan);
    dataset_fini(&t->examples);
    moments_fini(&t->moments);
    model_file_fini(&t->model);
    return rc;
}

int cmd_model_train(int argc, char **argv)
{
    struct train t = {.plan_path = NULL};
    bool json = false;
    const struct options_row rows[] = {
        {.name = "plan",
         .argument = "FILE",
         .text = &t.plan_path,
         .help = "whose target, features and hyperparameters"},
        {.name = "data",
         .argument = "CSV",
         .list = &t.data,
         .help = "examples; given again: pooled with these"},
        {.name = "model",
         .argument = "FILE",
         .text = &t.model_path,
         .help = "start from this model, not from a new one"},
        {.name = "rounds",
         .argument = "N",
         .number = &t.rounds,
         .most = PLAN_ROUNDS_MAX,
         .help = "times the plan's epochs (as many as the schedule trains)"},
        {.name = "scale",
         .flag = &t.scale,
         .help = "set the input's scaling from this data first (a new model: if the plan does)"},
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
    if (t.plan_path == NULL || t.data.count == 0 || t.to == NULL)
        return say_usage(o.command, "give --plan FILE, --data CSV and -o FILE");
    int rc = run(&t, &err);
    if (rc != 0)
        return say_error(o.command, rc, &err);
    if (json)
        return say_json(json_pack("{s:I,s:I,s:f,s:f}", "rounds", (json_int_t)t.rounds, "examples",
                                  (json_int_t)t.example_count, "loss", t.metrics.loss, "accuracy",
                                  t.metrics.accuracy));
    say_line("trained %llu rounds: loss %.4f, accuracy %.4f on its own %llu examples",
             (unsigned long long)t.rounds, t.metrics.loss, t.metrics.accuracy,
             (unsigned long long)t.example_count);
    return 0;
}
