/* SPDX-License-Identifier: Apache-2.0 */
/*
 * plan_file -- a plan as a researcher writes it: a TOML file. The study's name and the tensors'
 * uses are in it too. `*` must be there, the others have the value shown.
 *
 *     seed = 1             before the first table
 *     [study]              name *
 *     [model]              architecture *, hidden = [] (layers of an mlp), features = 0,
 *                          classes = 0, fixed = [], largest = []
 *     [data]               target = ""
 *     [rounds]             schedule * ("moments 1", "fedavg 20"), minimum *, quorum = minimum,
 *                          fraction = 1, deadline_seconds = 3600
 *     [training]           trainer = "native", trainer_digest = (any), epochs = 1 or steps,
 *                          batch = 32, learning_rate = 0.1, momentum = 0, weight_decay = 0,
 *                          proximal = 0
 *     [server]             optimiser = "none", and what it uses:
 *                              fedavgm      rate = 1,   beta1 = 0.9
 *                              fedadagrad   rate = 0.1, beta1 = 0,                 tau = 0.001
 *                              the others   rate = 0.1, beta1 = 0.9, beta2 = 0.99, tau = 0.001
 *     [limits]             update_norm = 0 (no bound), update_bytes = 0 (twice the model)
 *     [retention]          updates = 0, models = 0 (rounds; 0: for ever)
 */
#ifndef COLMEIA_STUDY_PLAN_FILE_H
#define COLMEIA_STUDY_PLAN_FILE_H

#include "base/config.h"
#include "study/charter.h"
#include "study/plan.h"

struct plan_file {
    char name[CHARTER_NAME_MAX];
    struct plan plan;                  /* layout and model not set */
    struct config_list fixed, largest; /* tensor names */
};

/* ERR_USAGE with file, line, key and what is allowed; minimum >= quorum and known rules are checked
 * too. */
int plan_file_load(const char *path, struct plan_file *out, struct err *err) MUST_USE;
void plan_file_fini(struct plan_file *p);

#endif
