/* SPDX-License-Identifier: Apache-2.0 */
/*
 * contract -- the messages between worker and trainer program, a JSON object a line, as
 * docs/trainer.md lists them:
 *
 *     worker                                   trainer
 *     hello {contract, worker}              -> hello {contract, name, version, capabilities}
 *     train, evaluate {id, ...}             -> progress {id, done, total}, any number of times;
 *                                              done {id, examples, metrics} | error {id, message}
 *     cancel {id}                           -> cancelled {id}, or what was under way
 *     bye
 *
 * Text alone: no process, no file. What the trainer says is checked value by value; fields that are
 * not known are ignored.
 */
#ifndef COLMEIA_WORKER_CONTRACT_H
#define COLMEIA_WORKER_CONTRACT_H

#include "study/plan.h"
#include "study/update.h"

#define CONTRACT_VERSION  1
#define CONTRACT_LINE_MAX (64u << 10) /* bytes of a message, without its end */
#define CONTRACT_TEXT_MAX 256         /* kept of an error's message */
#define CONTRACT_NAME_MAX 64          /* of a trainer's name and version, NUL included */

enum contract_type {
    CONTRACT_HELLO,
    CONTRACT_PROGRESS,
    CONTRACT_DONE,
    CONTRACT_ERROR,
    CONTRACT_CANCELLED
};

struct contract_hello {
    char name[CONTRACT_NAME_MAX], version[CONTRACT_NAME_MAX];
    bool trains, evaluates; /* its capabilities */
};

/* A message of the trainer's. */
struct contract_message {
    enum contract_type type;
    uint64_t id; /* all but hello */
    struct contract_hello hello;
    uint64_t done, total; /* progress; total 0: not said */
    uint64_t examples;    /* done: 1 .. ACCUMULATE_WEIGHT_MAX */
    size_t metric_count;
    struct update_metric metrics[UPDATE_METRICS_MAX];
    char text[CONTRACT_TEXT_MAX]; /* error: as it came, UTF-8, perhaps cut */
};

/* What a train or evaluate message says. */
struct contract_task {
    uint64_t id;
    const struct cid *study;
    const struct plan *plan; /* its hyperparameters */
    uint64_t round;
    uint32_t site;
    const uint8_t *seed;              /* HASH_BYTES */
    const char *base, *output, *data; /* absolute paths; output NULL: evaluate; data "": none */
};

/* Append a line, its end included. */
void contract_put_hello(struct buf *out);
void contract_put_task(const struct contract_task *t, struct buf *out);
void contract_put_cancel(uint64_t id, struct buf *out);
void contract_put_bye(struct buf *out);

/* ERR_MALFORMED says what the contract does not allow. */
int contract_parse(struct bytes line, struct contract_message *out, struct err *err) MUST_USE;

#endif
