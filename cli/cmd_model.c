/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/cmd.h"
#include "cli/group.h"

int cmd_model(int argc, char **argv)
{
    static const struct group_row rows[] = {
        {"new", cmd_model_new,
         "a network, such as a plan's initial model, or random bytes for benchmarks"},
        {"train", cmd_model_train, "train alone, with a plan's hyperparameters"},
        {"evaluate", cmd_model_evaluate, "loss and accuracy on examples"},
        {"show", cmd_model_show, "tensors, shapes, sizes and CID"},
    };
    return group_run("colmeia model", rows, sizeof rows / sizeof rows[0], argc, argv);
}
