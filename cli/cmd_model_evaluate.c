/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/cmd.h"
#include "cli/examples.h"
#include "cli/model_file.h"
#include "cli/options.h"
#include "cli/say.h"

static int evaluate(const char *model_path, const struct options_list *data, const char *target,
                    size_t *rows, struct network_metrics *out, struct err *err)
{
    struct network network;
    struct model_file model = {.layout = NULL};
    struct dataset examples = {.rows = 0};
    int rc = model_file_load(model_path, &model, err);
    if (rc == 0 && (rc = network_of(model.layout, &network, err)) != 0)
        rc = err_wrap(err, rc, "model %.400s", model_path);
    if (rc == 0)
        rc = examples_load(data, target, network.classes, &examples, NULL, err);
    if (rc == 0)
        rc = network_evaluate(&network, model.layout, model.data, &examples, out, err);
    *rows = examples.rows;
    dataset_fini(&examples);
    model_file_fini(&model);
    return rc;
}

int cmd_model_evaluate(int argc, char **argv)
{
    struct options_list data = {.count = 0};
    const char *model = NULL, *target = "";
    bool json = false;
    const struct options_row rows[] = {
        {.name = "model", .argument = "FILE", .text = &model, .help = "the model"},
        {.name = "data",
         .argument = "FILE",
         .list = &data,
         .help = "examples, CSV or IDX; given again: pooled with these"},
        {.name = "target",
         .argument = "NAME",
         .text = &target,
         .help = "of CSV: the column to be predicted; all others are features"},
        {.name = "json", .flag = &json, .help = "say it as JSON"},
    };
    struct options o = {.command = "colmeia model evaluate",
                        .operands = "",
                        .about = "Loss (mean negative log-likelihood) and accuracy of a model on "
                                 "examples.",
                        .rows = rows,
                        .row_count = sizeof rows / sizeof rows[0]};
    struct network_metrics found = {0};
    struct err err = {0};
    size_t examples = 0;
    int status;
    if (!options_parse(&o, argc, argv, &status))
        return status;
    if (model == NULL || data.count == 0)
        return say_usage(o.command, "give --model FILE and --data FILE");
    int rc = evaluate(model, &data, target, &examples, &found, &err);
    if (rc != 0)
        return say_error(o.command, rc, &err);
    if (json)
        return say_json(json_pack("{s:f,s:f,s:I,s:I}", "loss", found.loss, "accuracy",
                                  found.accuracy, "correct", (json_int_t)found.correct, "examples",
                                  (json_int_t)examples));
    say_line("loss %.4f, accuracy %.4f on %zu examples", found.loss, found.accuracy, examples);
    return 0;
}
