/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fedavg -- federated averaging (McMahan et al. 2017): `mean` shards by the exact weighted average
 * and the server optimiser's step on it, `largest` shards by the largest value of any site.
 *
 * The two functions of the rule `fedavg`, as rule.h describes them. A `largest` shard keeps in each
 * slot of `acc` the bits of an unsigned integer that is ordered as the values are and 0 for the
 * smallest, so that a cleared accumulator is the neutral start.
 */
#ifndef COLMEIA_AGGREGATE_FEDAVG_H
#define COLMEIA_AGGREGATE_FEDAVG_H

#include "aggregate/rule.h"

void fedavg_add(const struct shard *shard, double *acc, const void *delta, uint32_t weight);
bool fedavg_finish(const struct shard *shard, const void *base, const double *acc, uint64_t total,
                   const struct rule_state *state, void *next);

#endif
