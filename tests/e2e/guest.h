/* SPDX-License-Identifier: Apache-2.0 */
/*
 * guest -- a site that does by hand what a worker does by itself: hello, task, update, upload,
 * submit; so that a test may do each of them wrongly.
 *
 *     struct guest g;
 *     guest_open(&g, dir);                     a folder made by `colmeia-worker init`
 *     guest_take_task(&g, 1);
 *     struct draft d = guest_draft(&g);        an honest answer: change it at will
 *     guest_seal(&g, &d);
 *     guest_upload(&g, &d, 1);
 *     guest_submit(&g, 1, &d.record);          says the coordinator's answer on stdout, one line
 *     guest_close(&g);
 *
 * Whatever fails on our side ends the program with status 3: the test has gone wrong then.
 */
#ifndef COLMEIA_TESTS_E2E_GUEST_H
#define COLMEIA_TESTS_E2E_GUEST_H

#include <stdio.h>
#include <stdlib.h>

#include "base/cert.h"
#include "study/seal.h"
#include "study/statement.h"
#include "study/update_index.h"
#include "transport/msg.h"
#include "transport/world_real.h"
#include "worker/home.h"
#include "worker/lineage.h"
#include "worker/trainer.h"

#define GUEST_PATIENCE_MS 60000
#define GUEST_REPEAT_MS   200 /* between two tries of one request */
#define GUEST_SHARD_MAX   16  /* elements of a draft's only shard */

#define UNUSED         __attribute__((unused))
#define MUST(call)     guest_must(call, &guest_err)
#define MUST_HOLD(yes) guest_must_hold(yes, #yes)

static struct err guest_err;

struct guest {
    struct home home;
    struct world_real *real;
    const struct world *world;
    struct store *store;
    struct lineage lineage; /* its study, once a task named the plan */
    struct http_client *http;
    char pin[64];
    struct world_message message;
    struct buf out;
    struct pack *pack; /* of everything that was ever sealed here */
    bool welcomed;
    uint8_t boot[MSG_BOOT_BYTES];
    char token[MSG_TOKEN_MAX];
    uint64_t sequence;
    struct buf head;  /* the newest signed statement that Done brought */
    struct msg got;   /* the newest message */
    const char *code; /* by which the next task is declined */
};

/* An update before it is sealed: an index of `shards` times one shard of equal values. */
struct draft {
    struct update update;
    const struct key *key;
    struct cid layout;
    size_t shards, elements;
    float value;
    bool flipped; /* one bit of the signature */
    struct cid record;
    struct cid blocks[3]; /* record, index, shard */
};

/* --- our side --- */

UNUSED static void guest_must(int rc, const struct err *err)
{
    if (rc == 0)
        return;
    fprintf(stderr, "liar: %s\n", err->text);
    exit(3);
}

UNUSED static void guest_must_hold(bool yes, const char *what)
{
    guest_must(yes ? 0 : err_set(&guest_err, ERR_USAGE, "it does not hold that %s", what),
               &guest_err);
}

UNUSED static void guest_say(const char *line)
{
    puts(line);
    fflush(stdout);
}

UNUSED static void guest_open(struct guest *g, const char *dir)
{
    char path[FILES_PATH_MAX];
    memset(g, 0, sizeof *g);
    MUST(key_setup(&guest_err));
    MUST(home_open(dir, &g->home, &guest_err));
    const struct invitation *i = &g->home.invitation;
    cert_format_pin(i->pin, g->pin);
    const struct world_real_worker config = {.bus = {i->control, i->hints, i->curve, g->home.curve},
                                             .url_count = i->url_count,
                                             .urls = i->urls,
                                             .pin = g->pin,
                                             .stall_seconds = 30,
                                             .give_up_seconds = 30};
    MUST(world_real_worker(&config, &g->real, &guest_err));
    g->world = world_real_table(g->real);
    const struct http_client_config http = {
        .pin = g->pin, .connect_seconds = 10, .stall_seconds = 30};
    MUST(http_client_new(&http, &g->http, &guest_err));
    MUST(files_join(path, dir, "shared", &guest_err));
    MUST(store_open(files_posix(), path, STORE_WRITE, &g->store, &guest_err));
    MUST(files_join(path, dir, "lies.car", &guest_err));
    MUST(pack_open(files_posix(), path, true, &g->pack, &guest_err));
    lineage_init(&g->lineage, g->world, g->store, &g->home);
    g->message.body = buf_new(MSG_BYTES_MAX);
    g->out = buf_new(MSG_BYTES_MAX);
    g->head = buf_new(MSG_EVIDENCE_MAX);
}

UNUSED static void guest_close(struct guest *g)
{
    lineage_fini(&g->lineage);
    pack_close(g->pack);
    store_close(g->store);
    http_client_free(g->http);
    world_real_close(g->real);
    home_close(&g->home);
    buf_fini(&g->message.body);
    buf_fini(&g->out);
    buf_fini(&g->head);
    msg_fini(&g->got);
}

UNUSED static uint64_t guest_now_ms(const struct guest *g)
{
    return g->world->now_ms(g->world->self);
}

/* --- messages --- */

UNUSED static void guest_send(struct guest *g, struct msg *m)
{
    m->study = g->home.invitation.study;
    m->sequence = ++g->sequence;
    m->has_boot = m->type != MSG_HELLO;
    memcpy(m->boot, g->boot, sizeof m->boot);
    MUST(msg_encode(m, &g->out, &guest_err));
    g->world->send(g->world->self, NULL, buf_bytes(&g->out));
}

UNUSED static void guest_hello(struct guest *g)
{
    struct msg m;
    msg_init(&m, MSG_HELLO);
    m.least = m.most = MSG_VERSION;
    m.site_record = g->home.site.cid;
    buf_append(&m.head, g->head.data, g->head.size);
    guest_send(g, &m);
    msg_fini(&m);
}

UNUSED static void guest_ask(struct guest *g, enum msg_type type, uint64_t round,
                             const struct cid *record)
{
    struct msg m;
    msg_init(&m, type);
    m.round = round;
    if (record != NULL)
        m.record = *record;
    if (type == MSG_DECLINE)
        snprintf(m.code, sizeof m.code, "%s", g->code);
    if (g->welcomed)
        guest_send(g, &m);
    else
        guest_hello(g);
    msg_fini(&m);
}

UNUSED static void guest_welcome(struct guest *g)
{
    g->welcomed = true;
    memcpy(g->boot, g->got.welcome_boot, sizeof g->boot);
    memcpy(g->token, g->got.token, sizeof g->token);
    g->world->set_token(g->world->self, g->token);
}

/* The next message that is not about the session itself: into g->got. False: none is there. */
UNUSED static bool guest_receive(struct guest *g)
{
    enum world_event event;
    while ((event = g->world->receive(g->world->self, &g->message)) != WORLD_NOTHING) {
        if (event == WORLD_STOP)
            exit(3);
        if (event == WORLD_CONNECTED)
            guest_hello(g);
        if (event != WORLD_MESSAGE)
            continue;
        msg_fini(&g->got);
        MUST(msg_decode(buf_bytes(&g->message.body), &g->got, &guest_err));
        if (g->got.type == MSG_WELCOME)
            guest_welcome(g);
        else if (g->got.type == MSG_GREET)
            guest_hello(g);
        else
            return true;
    }
    return false;
}

/* Asks till `fits` likes what came. */
UNUSED static void guest_ask_until(struct guest *g, enum msg_type type, uint64_t round,
                                   const struct cid *record,
                                   bool (*fits)(const struct msg *m, const struct cid *record))
{
    uint64_t end_ms = guest_now_ms(g) + GUEST_PATIENCE_MS, next_ms = 0;
    while (guest_now_ms(g) < end_ms) {
        if (guest_now_ms(g) >= next_ms) {
            guest_ask(g, type, round, record);
            next_ms = guest_now_ms(g) + GUEST_REPEAT_MS;
        }
        g->world->wait(g->world->self, GUEST_REPEAT_MS / 4);
        while (guest_receive(g))
            if (fits(&g->got, record))
                return;
    }
    MUST(err_set(&guest_err, ERR_TIMEOUT, "no answer to %s", msg_type_name(type)));
}

UNUSED static bool guest_is_task(const struct msg *m, const struct cid *record)
{
    (void)record;
    return m->type == MSG_TASK;
}

UNUSED static bool guest_is_wait(const struct msg *m, const struct cid *record)
{
    (void)record;
    return m->type == MSG_WAIT;
}

UNUSED static bool guest_is_done(const struct msg *m, const struct cid *record)
{
    (void)record;
    return m->type == MSG_DONE;
}

UNUSED static bool guest_is_answer(const struct msg *m, const struct cid *record)
{
    return (m->type == MSG_ACCEPTED || m->type == MSG_REFUSED || m->type == MSG_LIST) &&
           cid_equal(&m->record, record);
}

/* Asks for work till there is a task; g->got is it. */
UNUSED static void guest_take_task(struct guest *g, uint64_t round)
{
    enum verdict verdict;
    do
        guest_ask_until(g, MSG_WANT, round - 1, NULL, guest_is_task);
    while (g->got.round < round);
    MUST_HOLD(g->got.round == round);
    MUST(lineage_study(&g->lineage, &g->got.plan, &verdict, &guest_err));
}

/* Asks for work till there is no more, and says that it knows. */
UNUSED static void guest_see_the_end(struct guest *g)
{
    guest_ask_until(g, MSG_WANT, 0, NULL, guest_is_done);
    buf_clear(&g->head);
    buf_append(&g->head, g->got.head.data, g->got.head.size);
    guest_hello(g);
}

/* --- an update --- */

/* An honest answer to the task in g->got, with a delta of 1 everywhere. */
UNUSED static struct draft guest_draft(const struct guest *g)
{
    const struct study *study = &g->lineage.study;
    MUST_HOLD(study->layout->shard_count == 1);
    MUST_HOLD(study->layout->shards[0].elements <= GUEST_SHARD_MAX);
    struct draft d = {.key = g->home.ed25519,
                      .layout = study->plan.layout,
                      .shards = 1,
                      .elements = study->layout->shards[0].elements,
                      .value = 1};
    d.update.study = study->charter.cid;
    d.update.plan = study->plan.cid;
    d.update.round = g->got.round;
    d.update.base = g->got.base;
    d.update.examples = 10;
    trainer_digest(study->plan.trainer, d.update.trainer);
    return d;
}

UNUSED static int guest_put_block(void *self, const struct cid *cid, struct bytes block,
                                  struct err *err)
{
    return pack_put(self, cid, block, err);
}

/* The signature is the one byte string of 64 behind the key "sig". */
UNUSED static void guest_flip_signature(struct buf *record)
{
    static const uint8_t before[] = {'s', 'i', 'g', 0x58, KEY_SIGNATURE_BYTES};
    uint8_t *at = memmem(record->data, record->size, before, sizeof before);
    MUST_HOLD(at != NULL);
    at[sizeof before] ^= 1;
}

/* Makes the draft's blocks. */
UNUSED static void guest_seal(struct guest *g, struct draft *d)
{
    uint8_t shard[GUEST_SHARD_MAX * sizeof d->value];
    struct cid cids[4];
    struct update_index index = {.codec = "plain", .layout = d->layout, .count = d->shards};
    struct buf block = buf_new(RECORD_BYTES_MAX);
    MUST_HOLD(d->shards <= 4 && d->elements <= GUEST_SHARD_MAX);
    for (size_t i = 0; i < d->elements; i++)
        memcpy(shard + i * sizeof d->value, &d->value, sizeof d->value);
    struct bytes bytes = bytes_of(shard, d->elements * sizeof d->value);
    d->blocks[2] = cid_of(CID_RAW, bytes);
    MUST(pack_put(g->pack, &d->blocks[2], bytes, &guest_err));
    for (size_t i = 0; i < d->shards; i++)
        cids[i] = d->blocks[2];
    index.shards = cids;
    MUST(update_index_write(&index, guest_put_block, g->pack, &d->blocks[1], &guest_err));
    d->update.delta = d->blocks[1];
    d->update.by = key_public(d->key);
    MUST(update_sign(&d->update, d->key, &block, &d->record, &guest_err));
    if (d->flipped)
        guest_flip_signature(&block);
    d->record = cid_of(CID_DAG_CBOR, buf_bytes(&block));
    MUST(pack_put(g->pack, &d->record, buf_bytes(&block), &guest_err));
    d->blocks[0] = d->record;
    buf_fini(&block);
}

/* Any bytes at all, as a block. */
UNUSED static struct cid guest_keep(struct guest *g, uint32_t codec, struct bytes bytes)
{
    struct cid cid = cid_of(codec, bytes);
    MUST(pack_put(g->pack, &cid, bytes, &guest_err));
    return cid;
}

/* What the coordinator's HTTP says to these blocks. */
UNUSED static int guest_send_blocks(struct guest *g, uint64_t round, const struct cid *cids,
                                    size_t count)
{
    return g->world->upload(g->world->self, round, g->pack, cids, count, &guest_err);
}

UNUSED static void guest_upload(struct guest *g, const struct draft *d, uint64_t round)
{
    MUST(guest_send_blocks(g, round, d->blocks, 3));
}

/* --- bytes over HTTP as they are --- */

struct guest_body {
    struct bytes bytes;
    size_t given;
};

UNUSED static long guest_give(void *self, void *data, size_t size)
{
    struct guest_body *b = self;
    size_t part = b->bytes.size - b->given;
    part = part < size ? part : size;
    memcpy(data, b->bytes.data + b->given, part);
    b->given += part;
    return (long)part;
}

UNUSED static void guest_rewind(void *self)
{
    ((struct guest_body *)self)->given = 0;
}

/* PUTs `bytes` with `token`; the HTTP status, or 0 if there was none. */
UNUSED static long guest_put(struct guest *g, const char *token, uint64_t round, struct bytes bytes)
{
    struct guest_body body = {.bytes = bytes};
    struct http_transfer *done = NULL, t = {.upload = guest_give,
                                            .rewind = guest_rewind,
                                            .self = &body,
                                            .upload_bytes = bytes.size,
                                            .body_max = 4096};
    snprintf(t.url, sizeof t.url, "%s/upload/%llu", g->home.invitation.urls[0],
             (unsigned long long)round);
    http_client_set_token(g->http, token);
    MUST(http_client_start(g->http, &t, &guest_err));
    while (done == NULL)
        MUST(http_client_next(g->http, 1000, &done, &guest_err));
    buf_fini(&t.body);
    return t.status;
}

/* --- the answer --- */

/* The refusal is the coordinator's own word on this record of this site. */
UNUSED static void guest_check_refusal(const struct guest *g)
{
    const struct invitation *i = &g->home.invitation;
    const struct msg *m = &g->got;
    struct refusal r;
    MUST(refusal_decode(buf_bytes(&m->refusal), &i->study, &i->coordinator, &r, &guest_err));
    MUST_HOLD(cid_equal(&r.plan, &i->plan) && r.round == m->round);
    MUST_HOLD(cid_equal(&r.site, &g->home.site.cid));
    MUST_HOLD(cid_equal(&r.record, &m->record) || cid_codec(&m->record) != CID_DAG_CBOR);
    MUST_HOLD(strcmp(refusal_name(r.code), m->code) == 0);
    MUST_HOLD(strcmp(r.sentence, m->text) == 0);
}

UNUSED static void guest_check_receipt(const struct guest *g)
{
    const struct invitation *i = &g->home.invitation;
    const struct msg *m = &g->got;
    struct receipt r;
    MUST(statement_decode_receipt(buf_bytes(&m->receipt), &i->study, &i->coordinator, &r,
                                  &guest_err));
    MUST_HOLD(cid_equal(&r.record, &m->record) && r.round == m->round);
}

UNUSED static void guest_say_answer(const struct guest *g)
{
    char line[1024];
    if (g->got.type == MSG_ACCEPTED) {
        guest_check_receipt(g);
        snprintf(line, sizeof line, "accepted");
    } else if (g->got.type == MSG_REFUSED) {
        guest_check_refusal(g);
        snprintf(line, sizeof line, "refused %s %s", g->got.code, g->got.text);
    } else {
        snprintf(line, sizeof line, "missing %zu", g->got.cid_count);
    }
    guest_say(line);
}

/* Submits `record` till there is an answer, and says it. */
UNUSED static void guest_submit(struct guest *g, uint64_t round, const struct cid *record)
{
    guest_ask_until(g, MSG_SUBMIT, round, record, guest_is_answer);
    guest_say_answer(g);
}

/* The same for a task that is declined by `code`. */
UNUSED static void guest_decline(struct guest *g, uint64_t round, const char *code)
{
    const struct cid none = {.size = 0};
    g->code = code;
    guest_ask_until(g, MSG_DECLINE, round, &none, guest_is_answer);
    guest_say_answer(g);
}

#endif
