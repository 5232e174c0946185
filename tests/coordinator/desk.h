/* SPDX-License-Identifier: Apache-2.0 */
/*
 * desk -- a coordinator on a folder of the test's, in a world that the test holds in its hands: a
 * clock that stands until it is moved, messages by hand, jobs that run when they are let.
 *
 *     struct desk d;
 *     desk_open(&d, &(struct desk_options){.sites = 3});
 *     desk_greet(&d, 0);                          hello, welcome
 *     desk_run(&d);                               turns until nothing more happens
 *     struct msg *task = desk_expect(&d, 0, MSG_TASK);
 *     ...
 *     desk_close(&d);
 */
#ifndef COLMEIA_TESTS_COORDINATOR_DESK_H
#define COLMEIA_TESTS_COORDINATOR_DESK_H

#include "tests/study/fixture.h"

#include "coordinator/act.h"
#include "coordinator/admission.h"
#include "coordinator/founding.h"
#include "coordinator/work.h"
#include "study/statement.h"
#include "study/verify.h"

#define DESK_MAIL_MAX 256

struct desk_options {
    size_t sites;
    const char *schedule;     /* "fedavg 3" */
    unsigned minimum, quorum; /* 0: all sites; 2 */
    double fraction;          /* 0: all sites */
    unsigned keep_updates, keep_models;
    const char *optimiser; /* "fedadam"; NULL: none */
};

struct desk_mail {
    uint32_t site;
    bool taken;
    struct buf body;
};

struct desk {
    struct coordinator *c;
    struct fixture f; /* keys of the sites; study and dir are the coordinator's */
    struct files files;
    struct world world;
    uint64_t now_ms;
    uint64_t free_bytes;
    uint8_t boots; /* makes each start's boot id another */
    size_t in_count, in_next, out_count, hints;
    struct desk_mail in[DESK_MAIL_MAX], out[DESK_MAIL_MAX];
    bool hold_jobs;
    struct job *first, *last; /* started, in order */
    size_t allowed;           /* keys on the list */
    uint64_t sequence;
    bool running; /* what the last turn said */
    struct msg got;
};

/* --- the world --- */

UNUSED static uint64_t desk_now(void *self)
{
    return ((struct desk *)self)->now_ms;
}

UNUSED static uint64_t desk_wall(void *self)
{
    return 1700000000 + desk_now(self) / 1000;
}

UNUSED static void desk_random(void *self, void *out, size_t size)
{
    memset(out, ((struct desk *)self)->boots, size);
}

UNUSED static void desk_wait(void *self, uint64_t timeout_ms)
{
    (void)self;
    (void)timeout_ms;
}

UNUSED static enum world_event desk_receive(void *self, struct world_message *out)
{
    struct desk *d = self;
    if (d->in_next == d->in_count)
        return WORLD_NOTHING;
    struct desk_mail *m = &d->in[d->in_next++];
    buf_clear(&out->body);
    buf_append(&out->body, m->body.data, m->body.size);
    buf_fini(&m->body);
    out->peer = key_public(d->f.sites[m->site].curve);
    out->route.size = sizeof m->site;
    memcpy(out->route.bytes, &m->site, sizeof m->site);
    if (d->in_next == d->in_count)
        d->in_next = d->in_count = 0;
    return WORLD_MESSAGE;
}

UNUSED static void desk_send(void *self, const struct world_route *to, struct bytes body)
{
    struct desk *d = self;
    assert_true(d->out_count < DESK_MAIL_MAX);
    struct desk_mail *m = &d->out[d->out_count++];
    *m = (struct desk_mail){.body = buf_new(MSG_BYTES_MAX)};
    memcpy(&m->site, to->bytes, sizeof m->site);
    buf_append(&m->body, body.data, body.size);
}

UNUSED static void desk_publish(void *self, struct bytes body)
{
    (void)body;
    ((struct desk *)self)->hints++;
}

UNUSED static int desk_allow(void *self, const struct key_public *keys, size_t count,
                             struct err *err)
{
    (void)keys;
    (void)err;
    ((struct desk *)self)->allowed = count;
    return 0;
}

UNUSED static void desk_start(void *self, struct job *job)
{
    struct desk *d = self;
    job->next = NULL;
    if (d->last != NULL)
        d->last->next = job;
    else
        d->first = job;
    d->last = job;
}

UNUSED static struct job *desk_take_done(void *self)
{
    struct desk *d = self;
    struct job *job = d->first;
    if (job == NULL || d->hold_jobs)
        return NULL;
    d->first = job->next;
    if (d->first == NULL)
        d->last = NULL;
    job->run(job);
    return job;
}

UNUSED static int desk_free_bytes(void *self, const char *path, uint64_t *out, struct err *err)
{
    (void)path;
    (void)err;
    *out = ((struct desk *)self)->free_bytes;
    return 0;
}

/* --- a study and its coordinator --- */

UNUSED static const char *desk_dir(void)
{
    return in_scratch("study");
}

UNUSED static void desk_write_plan(const struct desk_options *o)
{
    struct buf text = buf_new(4096);
    unsigned minimum = o->minimum == 0 ? (unsigned)o->sites : o->minimum;
    buf_append_format(&text,
                      "seed = 7\n[study]\nname = \"desk\"\n"
                      "[model]\narchitecture = \"logistic\"\nfeatures = 3\nclasses = 2\n"
                      "[data]\ntarget = \"label\"\n"
                      "[rounds]\nschedule = [\"%s\"]\nminimum = %u\nquorum = %u\nfraction = %.3f\n"
                      "deadline_seconds = 60\n"
                      "[retention]\nupdates = %u\nmodels = %u\n"
                      "[server]\noptimiser = \"%s\"\n",
                      o->schedule == NULL ? "fedavg 3" : o->schedule, minimum,
                      o->quorum == 0 ? 2 : o->quorum, o->fraction > 0 ? o->fraction : 1.0,
                      o->keep_updates, o->keep_models,
                      o->optimiser == NULL ? "none" : o->optimiser);
    write_file(in_scratch("plan.toml"), buf_bytes(&text));
    buf_fini(&text);
}

/* A site's keys; its string is appended to `out`. */
UNUSED static void desk_make_site(struct desk *d, size_t i, struct buf *out)
{
    struct fixture_site *s = &d->f.sites[i];
    struct buf block = buf_new(RECORD_BYTES_MAX);
    char name[32];
    snprintf(name, sizeof name, "hospital-%c", (int)('a' + i));
    s->ed25519 = fixture_key(KEY_ED25519, (uint8_t)(10 + i));
    s->curve = fixture_key(KEY_X25519, (uint8_t)(100 + i));
    struct key_public curve = key_public(s->curve);
    MUST(site_make(name, s->ed25519, &curve, &block, &s->site, err));
    site_format(buf_bytes(&block), out);
    buf_fini(&block);
}

UNUSED static void desk_admit(struct desk *d)
{
    struct buf string = buf_new(SITE_STRING_MAX);
    char name[SITE_NAME_MAX];
    uint64_t from;
    desk_make_site(d, d->f.site_count++, &string);
    MUST(admission_add(desk_dir(), buf_text(&string), name, &from, err));
    buf_fini(&string);
}

UNUSED static void desk_start_coordinator(struct desk *d)
{
    d->boots++;
    d->running = true;
    d->c = calloc(1, sizeof *d->c);
    assert_non_null(d->c);
    MUST(coordinator_open(d->c, desk_dir(), &d->files, err));
    MUST(coordinator_start(d->c, &d->world, err));
    d->f.study_id = d->c->folder.study_id;
    d->f.plan_id = d->c->folder.plan_id;
    d->f.study = d->c->study;
}

UNUSED static void desk_stop_coordinator(struct desk *d)
{
    d->hold_jobs = false;
    coordinator_close(d->c);
    free(d->c);
    d->c = NULL;
}

UNUSED static void desk_open(struct desk *d, const struct desk_options *o)
{
    struct invitation invitation;
    memset(d, 0, sizeof *d);
    d->now_ms = 5000;
    d->free_bytes = UINT64_MAX;
    d->files = *files_posix();
    d->files.self = d;
    d->files.free_bytes = desk_free_bytes;
    d->world = (struct world){.self = d,
                              .files = &d->files,
                              .now_ms = desk_now,
                              .wall_s = desk_wall,
                              .random = desk_random,
                              .wait = desk_wait,
                              .receive = desk_receive,
                              .send = desk_send,
                              .publish = desk_publish,
                              .allow = desk_allow,
                              .start = desk_start,
                              .take_done = desk_take_done};
    MUST(key_setup(err));
    desk_write_plan(o);
    MUST(founding_make(desk_dir(), in_scratch("plan.toml"), NULL, "127.0.0.1", &invitation, err));
    for (size_t i = 0; i < o->sites; i++)
        desk_admit(d);
    d->f.dir = strdup(desk_dir());
    desk_start_coordinator(d);
}

UNUSED static void desk_drop_mail(struct desk *d)
{
    for (size_t i = 0; i < d->out_count; i++)
        buf_fini(&d->out[i].body);
    d->out_count = 0;
}

UNUSED static void desk_close(struct desk *d)
{
    if (d->c != NULL)
        desk_stop_coordinator(d);
    for (size_t i = 0; i < d->f.site_count; i++) {
        key_free(d->f.sites[i].ed25519);
        key_free(d->f.sites[i].curve);
    }
    for (size_t i = d->in_next; i < d->in_count; i++)
        buf_fini(&d->in[i].body);
    desk_drop_mail(d);
    msg_fini(&d->got);
    free((void *)(uintptr_t)d->f.dir);
}

/* Turns until nothing more happens. */
UNUSED static void desk_run(struct desk *d)
{
    for (int i = 0; i < 20 && d->running; i++)
        d->running = coordinator_turn(d->c);
}

UNUSED static void desk_pass(struct desk *d, uint64_t ms)
{
    d->now_ms += ms;
    desk_run(d);
}

/* --- messages --- */

UNUSED static void desk_say(struct desk *d, uint32_t site, struct msg *m)
{
    struct desk_mail *mail = &d->in[d->in_count++];
    assert_true(d->in_count < DESK_MAIL_MAX);
    m->version = MSG_VERSION;
    m->study = d->f.study_id;
    m->sequence = ++d->sequence;
    *mail = (struct desk_mail){.site = site, .body = buf_new(MSG_BYTES_MAX)};
    MUST(msg_encode(m, &mail->body, err));
}

/* A request as a welcomed site makes it. */
UNUSED static void desk_ask(struct desk *d, uint32_t site, enum msg_type type, uint64_t round,
                            const struct cid *record)
{
    struct msg m;
    msg_init(&m, type);
    m.round = round;
    if (record != NULL)
        m.record = *record;
    m.has_boot = true;
    memcpy(m.boot, d->c->boot, sizeof m.boot);
    desk_say(d, site, &m);
    msg_fini(&m);
    desk_run(d);
}

UNUSED static void desk_hello(struct desk *d, uint32_t site, struct bytes head,
                              struct bytes receipt)
{
    struct msg m;
    msg_init(&m, MSG_HELLO);
    m.least = m.most = MSG_VERSION;
    m.site_record = d->f.sites[site].site.cid;
    buf_append(&m.head, head.data, head.size);
    buf_append(&m.receipt, receipt.data, receipt.size);
    desk_say(d, site, &m);
    msg_fini(&m);
    desk_run(d);
}

/* The first message to `site` that was not taken yet, of any type; NULL: none. */
UNUSED static struct msg *desk_next(struct desk *d, uint32_t site)
{
    for (size_t i = 0; i < d->out_count; i++) {
        struct desk_mail *mail = &d->out[i];
        if (mail->taken || mail->site != site)
            continue;
        mail->taken = true;
        msg_fini(&d->got);
        MUST(msg_decode(buf_bytes(&mail->body), &d->got, err));
        assert_true(cid_equal(&d->got.study, &d->f.study_id));
        return &d->got;
    }
    return NULL;
}

UNUSED static struct msg *desk_expect(struct desk *d, uint32_t site, enum msg_type type)
{
    struct msg *m = desk_next(d, site);
    if (m == NULL || m->type != type)
        fail_msg("site %u got %s, not %s", site, m == NULL ? "nothing" : msg_type_name(m->type),
                 msg_type_name(type));
    return m;
}

UNUSED static void desk_expect_nothing(struct desk *d, uint32_t site)
{
    struct msg *m = desk_next(d, site);
    if (m != NULL)
        fail_msg("site %u got %s", site, msg_type_name(m->type));
}

UNUSED static void desk_greet(struct desk *d, uint32_t site)
{
    desk_hello(d, site, bytes_of(NULL, 0), bytes_of(NULL, 0));
    desk_expect(d, site, MSG_WELCOME);
}

/* Everybody says hello; the round opens. */
UNUSED static void desk_gather(struct desk *d)
{
    for (uint32_t i = 0; i < d->f.site_count; i++)
        desk_greet(d, i);
}

/* --- updates --- */

/* Puts an update for the present round where an upload would; every element of its delta is
 * `value`. */
UNUSED static struct cid desk_upload(struct desk *d, uint32_t site, float value)
{
    struct round *r = d->c->round;
    struct pack *pack;
    MUST(inbox_take(d->c->inbox, site, r->number, true, &pack, err));
    struct cid record =
        fixture_delta(&d->f, pack, site, r->number, &r->base, value, 10 + (uint64_t)site);
    inbox_release(d->c->inbox, site, r->number);
    return record;
}

/* Uploads and submits; the answer is not taken. */
UNUSED static struct cid desk_answer(struct desk *d, uint32_t site, float value)
{
    struct cid record = desk_upload(d, site, value);
    desk_ask(d, site, MSG_SUBMIT, d->c->round->number, &record);
    return record;
}

/* All sites answer the present round, which closes. */
UNUSED static void desk_round(struct desk *d, float value)
{
    uint64_t number = d->c->round->number;
    uint32_t i = 0;
    for (; i < d->f.site_count && d->c->round->number == number; i++)
        desk_answer(d, i, value + (float)i);
    assert_int_equal(d->c->round->number, number + 1);
    desk_drop_mail(d);
}

UNUSED static struct buf desk_read(const char *name)
{
    char path[FILES_PATH_MAX];
    snprintf(path, sizeof path, "%s/%s", desk_dir(), name);
    return read_file(path);
}

/* The answer of `colmeia verify`, and how many rounds it recomputed. */
UNUSED static int desk_verify(struct desk *d, struct verify_result *out, struct err *err)
{
    struct verify_options o = {.dir = d->f.dir, .study = d->f.study_id};
    return verify_study(&o, out, err);
}

#endif
