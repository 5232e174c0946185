/* SPDX-License-Identifier: Apache-2.0 */
/*
 * stage -- a worker in a world of the test's, and a coordinator that says what the test wants.
 *
 * Messages go through lists, jobs run at once, blocks come from the study's own store, time stands
 * still until the test moves it. The study is one of verify_chain.h's, with the trainer `null` and
 * three rounds of fedavg.
 *
 *     struct stage *s = *state;              (setup stage_begin, teardown stage_end)
 *     stage_greet(s);
 *     say_task(s, s->chain.f.coordinator);
 */
#ifndef COLMEIA_TESTS_WORKER_STAGE_H
#define COLMEIA_TESTS_WORKER_STAGE_H

#include "tests/study/verify_chain.h"

#include <fcntl.h>

#include "study/statement.h"
#include "worker/worker.h"

#define SITE      1 /* whose worker this is */
#define SENT_MAX  64
#define QUEUE_MAX 16

struct stage {
    struct chain chain;
    struct home home;
    struct world world;
    struct worker *worker;
    uint64_t now_ms;
    struct buf queue[QUEUE_MAX]; /* what the bus will hand out */
    enum world_event kinds[QUEUE_MAX];
    size_t queued, taken;
    struct msg sent[SENT_MAX]; /* without their bufs */
    struct msg hello;          /* the newest, with them */
    size_t sent_count;
    struct job *done[4];
    size_t done_count;
    struct cid uploaded[32];
    size_t uploaded_count;
    size_t models_fetched;
    uint64_t moving_done, moving_total, moved; /* what the world says of a transfer */
    bool no_network;
    bool damage_base;          /* before the next job that trains */
    enum refusal_code fail_by; /* how each job that trains fails; none: it does what it can */
};

/* --- the world --- */

UNUSED static uint64_t now_ms(void *self)
{
    return ((struct stage *)self)->now_ms;
}

UNUSED static uint64_t wall_s(void *self)
{
    (void)self;
    return 1700000000;
}

UNUSED static void fill_random(void *self, void *out, size_t size)
{
    (void)self;
    memset(out, 7, size);
}

UNUSED static void wait_never(void *self, uint64_t timeout_ms)
{
    (void)self;
    (void)timeout_ms;
}

UNUSED static enum world_event receive(void *self, struct world_message *out)
{
    struct stage *s = self;
    if (s->taken == s->queued)
        return WORLD_NOTHING;
    buf_clear(&out->body);
    buf_append(&out->body, s->queue[s->taken].data, s->queue[s->taken].size);
    buf_fini(&s->queue[s->taken]);
    return s->kinds[s->taken++];
}

UNUSED static void take_sent(void *self, const struct world_route *to, struct bytes body)
{
    struct stage *s = self;
    struct msg m;
    assert_null(to);
    assert_true(s->sent_count < SENT_MAX);
    MUST(msg_decode(body, &m, err));
    s->sent[s->sent_count++] = m;
    if (m.type != MSG_HELLO) {
        msg_fini(&m);
        return;
    }
    msg_fini(&s->hello);
    s->hello = m;
}

UNUSED static void damage(struct stage *s)
{
    char path[FILES_PATH_MAX];
    uint64_t size;
    MUST(store_model_path(s->worker->store, &s->worker->task.order.base, path, &size, err));
    damage_file(path, (long)size - 1, 1);
}

UNUSED static void start(void *self, struct job *job)
{
    struct stage *s = self;
    if (s->damage_base && s->worker->errand.kind == ERRAND_TRAIN) {
        s->damage_base = false;
        damage(s);
    }
    job->run(job);
    if (s->fail_by != REFUSAL_NONE && s->worker->errand.kind == ERRAND_TRAIN) {
        s->worker->errand.code = s->fail_by;
        s->worker->errand.rc =
            err_set(&s->worker->errand.err, ERR_MALFORMED, "the trainer spoke of patient 17");
    }
    s->done[s->done_count++] = job;
}

UNUSED static struct job *take_done(void *self)
{
    struct stage *s = self;
    return s->done_count == 0 ? NULL : s->done[--s->done_count];
}

UNUSED static void set_token(void *self, const char *token)
{
    (void)self;
    assert_string_equal(token, "token");
}

UNUSED static int fetch_block(void *self, struct store *store, const struct cid *cid,
                              struct buf *out, struct err *err)
{
    struct stage *s = self;
    int rc = store_get(store, cid, out, NULL);
    if (rc != ERR_NOTFOUND)
        return rc;
    if (s->no_network)
        return err_set(err, ERR_NET, "cut by the test");
    rc = store_get(s->chain.f.store, cid, out, err);
    return rc != 0 ? rc : store_put(store, cid, buf_bytes(out), err);
}

UNUSED static int fetch_model(void *self, struct store *store, const struct cid *root,
                              uint64_t bytes_max, struct err *err)
{
    struct stage *s = self;
    struct cid made;
    if (store_model_has(store, root))
        return 0;
    assert_true(bytes_max > 0);
    s->models_fetched++;
    (void)unlink(in_scratch("moving"));
    int rc = store_export(s->chain.f.store, root, in_scratch("moving"), err);
    return rc != 0 ? rc : store_import(store, in_scratch("moving"), NULL, &made, err);
}

UNUSED static int upload(void *self, uint64_t round, struct pack *pack, const struct cid *cids,
                         size_t count, struct err *err)
{
    struct stage *s = self;
    struct buf block = buf_new(PACK_BLOCK_BYTES_MAX);
    assert_true(round > 0 && s->uploaded_count + count <= 32);
    int rc = 0;
    for (size_t i = 0; rc == 0 && i < count; i++) {
        rc = pack_get(pack, &cids[i], &block, err);
        s->uploaded[s->uploaded_count++] = cids[i];
    }
    buf_fini(&block);
    return rc;
}

UNUSED static void moved(void *self, uint64_t *sent, uint64_t *received)
{
    *sent = *received = ((struct stage *)self)->moved;
}

UNUSED static void progress(void *self, uint64_t *done, uint64_t *total)
{
    struct stage *s = self;
    *done = s->moving_done;
    *total = s->moving_total;
}

UNUSED static void cancel_transfers(void *self)
{
    (void)self;
}

/* --- the stage --- */

UNUSED static void use_null_trainer(struct plan *p)
{
    strcpy(p->trainer, "null");
    p->step_count = 1;
    p->schedule[0] = (struct plan_step){"fedavg", 3};
}

UNUSED static void approve(struct stage *s, const struct cid *plan)
{
    char cid[CID_TEXT_MAX], text[256];
    (void)s;
    snprintf(text, sizeof text, "plan = \"%s\"\n", cid_format(plan, cid));
    write_file(in_scratch("site/config.toml"), bytes_of_text(text));
}

UNUSED static void open_worker(struct stage *s)
{
    s->worker = calloc(1, sizeof *s->worker);
    assert_non_null(s->worker);
    MUST(worker_open(s->worker, &s->home, &s->world, err));
}

UNUSED static void close_worker(struct stage *s)
{
    worker_close(s->worker);
    free(s->worker);
    s->worker = NULL;
}

UNUSED static int stage_begin_with(void **state, void (*edit)(struct plan *plan))
{
    struct stage *s = calloc(1, sizeof *s);
    scratch_setup(NULL);
    chain_init(&s->chain, &(struct fixture_options){.sites = 3, .edit = edit});
    struct fixture *f = &s->chain.f;
    s->now_ms = 1000;
    s->world = (struct world){.self = s,
                              .files = files_posix(),
                              .now_ms = now_ms,
                              .wall_s = wall_s,
                              .random = fill_random,
                              .wait = wait_never,
                              .receive = receive,
                              .send = take_sent,
                              .start = start,
                              .take_done = take_done,
                              .set_token = set_token,
                              .fetch_block = fetch_block,
                              .fetch_model = fetch_model,
                              .upload = upload,
                              .moved = moved,
                              .progress = progress,
                              .cancel_transfers = cancel_transfers};
    s->home = (struct home){.site = f->sites[SITE].site,
                            .ed25519 = f->sites[SITE].ed25519,
                            .curve = f->sites[SITE].curve,
                            .policy = {.plan = f->plan_id}};
    s->home.invitation = (struct invitation){.study = f->study_id,
                                             .plan = f->plan_id,
                                             .founder = key_public(f->founder),
                                             .coordinator = key_public(f->coordinator)};
    snprintf(s->home.dir, sizeof s->home.dir, "%s", in_scratch("site"));
    MUST(files_make_dirs(files_posix(), s->home.dir, err));
    approve(s, &f->plan_id);
    open_worker(s);
    *state = s;
    return 0;
}

UNUSED static int stage_begin(void **state)
{
    return stage_begin_with(state, use_null_trainer);
}

UNUSED static int stage_end(void **state)
{
    struct stage *s = *state;
    close_worker(s);
    msg_fini(&s->hello);
    while (s->taken < s->queued)
        buf_fini(&s->queue[s->taken++]);
    chain_fini(&s->chain);
    free(s);
    return scratch_teardown(NULL);
}

UNUSED static void queue(struct stage *s, enum world_event kind, struct msg *m)
{
    assert_true(s->queued < QUEUE_MAX);
    s->queue[s->queued] = buf_new(MSG_BYTES_MAX);
    if (m != NULL) {
        m->version = MSG_VERSION;
        m->study = s->chain.f.study_id;
        MUST(msg_encode(m, &s->queue[s->queued], err));
        msg_fini(m);
    }
    s->kinds[s->queued++] = kind;
}

/* Turns until all that is due now is done. What it says to people is not looked at here. */
UNUSED static void settle(struct stage *s)
{
    fflush(stdout);
    int out = dup(STDOUT_FILENO), nowhere = open("/dev/null", O_WRONLY);
    dup2(nowhere, STDOUT_FILENO);
    for (int i = 0; i < 12; i++)
        MUST(loop_turn(&s->worker->loop, 0, err));
    dup2(out, STDOUT_FILENO);
    close(nowhere);
    close(out);
    s->queued = s->taken = 0;
}

UNUSED static size_t sent_count(const struct stage *s, enum msg_type type)
{
    size_t n = 0;
    for (size_t i = 0; i < s->sent_count; i++)
        n += s->sent[i].type == type;
    return n;
}

UNUSED static void forget_sent(struct stage *s)
{
    s->sent_count = 0;
}

/* How often `event` stands in the worker's log. */
UNUSED static size_t logged(const char *event)
{
    char pattern[64];
    struct buf log = read_file(in_scratch("site/log.jsonl"));
    size_t n = 0;
    snprintf(pattern, sizeof pattern, "\"event\":\"%s\"", event);
    for (const char *at = buf_text(&log); (at = strstr(at, pattern)) != NULL; at++)
        n++;
    buf_fini(&log);
    return n;
}

/* --- what the coordinator says --- */

UNUSED static void put_head(struct stage *s, const struct key *key, uint64_t round,
                            const struct cid *record, struct buf *out)
{
    struct head_statement h = {.round = round, .record = *record};
    MUST(statement_sign_head(&h, &s->chain.f.study_id, key, out, err));
}

UNUSED static void say_welcome(struct stage *s)
{
    struct msg m;
    msg_init(&m, MSG_WELCOME);
    m.agreed = MSG_VERSION;
    memset(m.welcome_boot, 5, sizeof m.welcome_boot);
    m.site = SITE;
    m.plan = s->chain.f.plan_id;
    m.token_ms = 3600000;
    strcpy(m.token, "token");
    if (s->chain.round > 1)
        put_head(s, s->chain.f.coordinator, s->chain.round - 1, &s->chain.prev, &m.head);
    queue(s, WORLD_MESSAGE, &m);
}

UNUSED static void stage_greet(struct stage *s)
{
    queue(s, WORLD_CONNECTED, NULL);
    say_welcome(s);
    settle(s);
}

/* The task of the round that the chain has come to, its head signed by `key`. */
UNUSED static void say_task(struct stage *s, const struct key *key)
{
    struct chain *c = &s->chain;
    struct msg m;
    msg_init(&m, MSG_TASK);
    m.round = c->round;
    m.site = SITE;
    strcpy(m.rule, "fedavg");
    m.plan = c->f.plan_id;
    m.roster = c->roster;
    m.prev = c->prev;
    m.base = c->base;
    if (c->round > 1)
        put_head(s, key, c->round - 1, &c->prev, &m.head);
    queue(s, WORLD_MESSAGE, &m);
    settle(s);
}

UNUSED static void say_list(struct stage *s, uint64_t round, const struct cid *record,
                            const struct cid *missing)
{
    struct msg m;
    msg_init(&m, MSG_LIST);
    m.round = round;
    m.record = *record;
    m.cids = malloc(sizeof *m.cids);
    assert_non_null(m.cids);
    m.cids[0] = *missing;
    m.cid_count = 1;
    queue(s, WORLD_MESSAGE, &m);
    settle(s);
}

UNUSED static void say_accepted(struct stage *s, const struct key *key, uint64_t said_round)
{
    const struct task *t = &s->worker->task;
    struct receipt r = {.record = t->record, .round = said_round, .sequence = 9};
    struct msg m;
    msg_init(&m, MSG_ACCEPTED);
    m.round = t->order.round;
    m.record = t->record;
    MUST(statement_sign_receipt(&r, &s->chain.f.study_id, key, &m.receipt, err));
    queue(s, WORLD_MESSAGE, &m);
    settle(s);
}

UNUSED static void say_refused(struct stage *s, const struct key *key, size_t site)
{
    const struct task *t = &s->worker->task;
    struct refusal r = {.study = s->chain.f.study_id,
                        .plan = s->chain.f.plan_id,
                        .round = t->order.round,
                        .site = s->chain.f.sites[site].site.cid,
                        .record = t->record,
                        .code = REFUSAL_LATE,
                        .sentence = "the round was already closed"};
    struct msg m;
    struct cid cid;
    struct buf block = buf_new(RECORD_BYTES_MAX);
    MUST(refusal_sign(&r, key, &block, &cid, err));
    msg_init(&m, MSG_REFUSED);
    m.round = r.round;
    m.record = t->record;
    strcpy(m.code, "late");
    strcpy(m.text, "too late");
    buf_append(&m.refusal, block.data, block.size);
    queue(s, WORLD_MESSAGE, &m);
    buf_fini(&block);
    settle(s);
}

/* What the coordinator has written down of the declined task. */
UNUSED static void say_noted(struct stage *s, const struct key *key, size_t site,
                             enum refusal_code code)
{
    struct refusal r = {.study = s->chain.f.study_id,
                        .plan = s->chain.f.plan_id,
                        .round = s->worker->task.order.round,
                        .site = s->chain.f.sites[site].site.cid,
                        .code = code,
                        .sentence = "as the table says"};
    struct msg m;
    struct cid cid;
    msg_init(&m, MSG_REFUSED);
    MUST(refusal_sign(&r, key, &m.refusal, &cid, err));
    m.round = r.round;
    strcpy(m.code, refusal_name(code));
    queue(s, WORLD_MESSAGE, &m);
    settle(s);
}

UNUSED static void say_done(struct stage *s)
{
    struct msg m;
    msg_init(&m, MSG_DONE);
    put_head(s, s->chain.f.coordinator, s->chain.round - 1, &s->chain.prev, &m.head);
    queue(s, WORLD_MESSAGE, &m);
    settle(s);
}

UNUSED static void say_hint(struct stage *s, uint64_t round)
{
    struct msg m;
    msg_init(&m, MSG_HEAD);
    m.round = round;
    m.record = s->chain.prev;
    queue(s, WORLD_HINT, &m);
    settle(s);
}

UNUSED static void say_word(struct stage *s, enum msg_type type)
{
    struct msg m;
    msg_init(&m, type);
    if (type == MSG_DENIED) {
        strcpy(m.code, "version");
        strcpy(m.text, "take another release");
    }
    queue(s, WORLD_MESSAGE, &m);
    settle(s);
}

/* --- short cuts --- */

UNUSED static enum task_phase phase(const struct stage *s)
{
    return s->worker->task.phase;
}

UNUSED static void reach_send(struct stage *s)
{
    stage_greet(s);
    say_task(s, s->chain.f.coordinator);
    assert_int_equal(phase(s), TASK_SEND);
}

UNUSED static void be_accepted(struct stage *s)
{
    say_accepted(s, s->chain.f.coordinator, s->worker->task.order.round);
    assert_int_equal(phase(s), TASK_IDLE);
}

UNUSED static const char *pack_of(const struct stage *s, uint64_t round)
{
    static char path[FILES_PATH_MAX];
    MUST(study_pack_path(s->home.dir, &s->home.site.cid, round, path, err));
    return path;
}

#endif
