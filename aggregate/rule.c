/* SPDX-License-Identifier: Apache-2.0 */
#include "aggregate/rule.h"

#include "aggregate/fedavg.h"

static const struct rule rules[] = {
    {.name = "fedavg",
     .exchange_count = 1,
     .asks = {RULE_DELTA},
     .trains = true,
     .add = fedavg_add,
     .finish = fedavg_finish},
    {.name = "moments", .exchange_count = 1, .asks = {RULE_VALUES}},
    {.name = "evaluate", .exchange_count = 1, .asks = {RULE_METRICS}},
};

const struct rule *rule_at(size_t i)
{
    return i < sizeof rules / sizeof rules[0] ? &rules[i] : NULL;
}

const struct rule *rule_find(const char *name)
{
    const struct rule *r;
    for (size_t i = 0; (r = rule_at(i)) != NULL; i++)
        if (strcmp(r->name, name) == 0)
            return r;
    return NULL;
}
