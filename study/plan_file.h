/* SPDX-License-Identifier: Apache-2.0 */
/*
 * plan_file -- a plan as a researcher writes it: a TOML file. The study's name and the tensors'
 * uses are in it too. `*` must be there, the others have the value shown.
 *
 *     seed = 1             before the first table
 *     [study]              name *
 *     [model]              architecture *, features = 0, classes = 0, fixed = [], largest = []
 *     [data]               target = ""
 *     [rounds]             schedule * ("moments 1", "fedavg 20"), minimum *, quorum = minimum,
 *                          fraction = 1, deadline_seconds = 3600
 *     [training]           trainer = "native", epochs = 1, batch = 32, learning_rate = 0.1, l2 = 0
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
