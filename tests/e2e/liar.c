/* SPDX-License-Identifier: Apache-2.0 */
/*
 * liar DIR LIE -- a site of a real study that tells one lie, says on stdout how the coordinator
 * answered (`accepted`, `refused CODE SENTENCE` or `missing N`, a line each) and then stays,
 * silent, until the study is over. Every receipt and refusal that it is handed is checked. A test's
 * program: the lies are the table at the end.
 */
#include "tests/e2e/guest.h"

#include <math.h>
#include <zmq.h>

#include "base/random.h"

struct lie {
    const char *name;
    /* Either what is wrong with the update ... */
    void (*twist)(struct draft *d);
    /* ... or with the way it is handed in. */
    void (*tell)(struct guest *g);
};

/* --- updates that are not what they should be --- */

static struct cid other_cid(uint32_t codec)
{
    return cid_of(codec, bytes_of_text("something else"));
}

static void nothing(struct draft *d)
{
    (void)d;
}

static void bad_signature(struct draft *d)
{
    d->flipped = true;
}

static void unknown_site(struct draft *d)
{
    static struct key *key; /* lives as long as we do */
    MUST(key_new(KEY_ED25519, &key, &guest_err));
    d->key = key;
}

static void wrong_study(struct draft *d)
{
    d->update.study = other_cid(CID_DAG_CBOR);
}

static void wrong_round(struct draft *d)
{
    d->update.round++;
}

static void wrong_exchange(struct draft *d)
{
    d->update.exchange++;
}

static void wrong_plan(struct draft *d)
{
    d->update.plan = other_cid(CID_DAG_CBOR);
}

static void wrong_base(struct draft *d)
{
    d->update.base = other_cid(CID_DAG_PB);
}

static void other_layout(struct draft *d)
{
    d->layout = other_cid(CID_DAG_CBOR);
}

static void more_shards(struct draft *d)
{
    d->shards++;
}

static void longer_shard(struct draft *d)
{
    d->elements++;
}

static void not_a_number(struct draft *d)
{
    d->value = NAN;
}

static void infinite(struct draft *d)
{
    d->value = -INFINITY;
}

static void weight_0(struct draft *d)
{
    d->update.examples = 0;
}

static void weight_too_large(struct draft *d)
{
    d->update.examples = UINT64_C(1) << 29;
}

/* --- updates handed in wrongly --- */

static struct draft seal_honest(struct guest *g, uint64_t round, float value)
{
    guest_take_task(g, round);
    struct draft d = guest_draft(g);
    d.value = value;
    guest_seal(g, &d);
    return d;
}

/* A block that is no record, and a record by the name of something that cannot be one. */
static void tell_garbage(struct guest *g)
{
    guest_take_task(g, 1);
    struct cid record = guest_keep(g, CID_DAG_CBOR, bytes_of_text("no record at all"));
    MUST(guest_send_blocks(g, 1, &record, 1));
    guest_submit(g, 1, &record);
}

static void tell_odd_name(struct guest *g)
{
    struct draft d = seal_honest(g, 1, 1);
    guest_upload(g, &d, 1);
    guest_submit(g, 1, &d.blocks[2]); /* the shard, which is named as raw bytes */
}

/* Bytes under the name of others; what was right before them stays. */
static void tell_bad_block(struct guest *g)
{
    struct draft d = seal_honest(g, 1, 1);
    uint8_t section[CAR_SECTION_HEAD_MAX + GUEST_SHARD_MAX * sizeof d.value];
    size_t size = d.elements * sizeof d.value;
    size_t head = car_section_head(&d.blocks[2], size, section);
    memset(section + head, 7, size);
    MUST(guest_send_blocks(g, 1, d.blocks, 2));
    MUST_HOLD(guest_put(g, g->token, 1, bytes_of(section, head + size)) == 400);
    guest_submit(g, 1, &d.record);
}

/* A block of a kind that no update has, beside an honest one. */
static void tell_odd_block(struct guest *g)
{
    struct draft d = seal_honest(g, 1, 1);
    struct cid odd = guest_keep(g, CID_DAG_PB, bytes_of_text("a node of some file"));
    (void)guest_send_blocks(g, 1, &odd, 1);
    guest_upload(g, &d, 1);
    guest_submit(g, 1, &d.record);
}

/* Each takes few bytes of the quota, and a place in the coordinator's memory. */
static void tell_crumbs(struct guest *g)
{
    struct draft d = seal_honest(g, 1, 1);
    static struct cid crumbs[600];
    for (unsigned i = 0; i < sizeof crumbs / sizeof crumbs[0]; i++)
        crumbs[i] = guest_keep(g, CID_RAW, bytes_of(&i, sizeof i));
    MUST_HOLD(guest_send_blocks(g, 1, crumbs, sizeof crumbs / sizeof crumbs[0]) == ERR_LIMIT);
    guest_submit(g, 1, &d.record);
}

static void tell_too_much(struct guest *g)
{
    struct draft d = seal_honest(g, 1, 1);
    static uint8_t junk[256 << 10];
    int rc = 0;
    for (uint8_t i = 0; rc == 0 && i < 64; i++) {
        junk[0] = i;
        struct cid cid = guest_keep(g, CID_RAW, bytes_of(junk, sizeof junk));
        rc = guest_send_blocks(g, 1, &cid, 1);
    }
    MUST_HOLD(rc == ERR_LIMIT);
    guest_submit(g, 1, &d.record);
}

/* Three, of which the second is the proof; then the first again. */
static void tell_two_stories(struct guest *g)
{
    struct draft first = seal_honest(g, 1, 1), other = first;
    guest_upload(g, &first, 1);
    guest_submit(g, 1, &first.record);
    for (other.value = 2; other.value <= 3; other.value++) {
        guest_seal(g, &other);
        guest_submit(g, 1, &other.record);
        guest_upload(g, &other, 1);
        guest_submit(g, 1, &other.record);
    }
    guest_submit(g, 1, &first.record);
}

/* The first code counts. In the next round all is well. */
static void tell_of_failure(struct guest *g)
{
    guest_take_task(g, 1);
    guest_decline(g, 1, "trainer-not-finite");
    guest_decline(g, 1, "trainer-died");
    struct draft d = seal_honest(g, 2, 2);
    guest_upload(g, &d, 2);
    guest_submit(g, 2, &d.record);
}

static void tell_twice(struct guest *g)
{
    struct draft d = seal_honest(g, 1, 1);
    guest_upload(g, &d, 1);
    guest_submit(g, 1, &d.record);
    guest_submit(g, 1, &d.record);
}

static void tell_late(struct guest *g)
{
    struct draft d = seal_honest(g, 1, 1);
    guest_upload(g, &d, 1);
    guest_take_task(g, 2);
    guest_submit(g, 1, &d.record);
}

/* The round runs without us: what we have for it does not matter. */
static void tell_unasked(struct guest *g)
{
    guest_ask_until(g, MSG_WANT, 0, NULL, guest_is_wait);
    struct cid record = guest_keep(g, CID_DAG_CBOR, bytes_of_text("whatever"));
    MUST_HOLD(guest_send_blocks(g, 1, &record, 1) == ERR_DENIED);
    guest_submit(g, 1, &record);
}

static void tell_without_bytes(struct guest *g)
{
    struct draft d = seal_honest(g, 1, 1);
    guest_submit(g, 1, &d.record);
    for (size_t i = 0; i < 3; i++) {
        MUST(guest_send_blocks(g, 1, &d.blocks[i], 1));
        guest_submit(g, 1, &d.record);
    }
}

/* The record of the round before, to its own round and to this one; then an honest one. */
static void tell_an_old_story(struct guest *g)
{
    struct draft old = seal_honest(g, 1, 1);
    guest_upload(g, &old, 1);
    guest_submit(g, 1, &old.record);
    struct draft d = seal_honest(g, 2, 2);
    guest_submit(g, 1, &old.record);
    guest_upload(g, &old, 2);
    guest_submit(g, 2, &old.record);
    MUST_HOLD(g->got.round == 1);
    guest_upload(g, &d, 2);
    guest_submit(g, 2, &d.record);
}

/* --- noise --- */

#define FLOOD_SUBMITS 500

/* Requests of every kind with random contents, and the same with a bit flipped. */
static void send_noise(struct guest *g)
{
    uint8_t chance[64];
    for (enum msg_type type = MSG_HELLO; type <= MSG_DECLINE; type++) {
        struct msg m;
        msg_init(&m, type);
        random_bytes(chance, sizeof chance);
        m.round = chance[0] % 4;
        m.record = m.plan = m.roster = m.prev = m.base = m.site_record =
            cid_of(CID_RAW, bytes_of(chance, 1));
        m.least = m.agreed = chance[1];
        m.most = chance[2];
        buf_append(&m.head, chance, sizeof chance);
        buf_append(&m.receipt, chance, sizeof chance);
        buf_append(&m.refusal, chance, sizeof chance);
        snprintf(m.code, sizeof m.code, "code");
        snprintf(m.token, sizeof m.token, "token");
        snprintf(m.rule, sizeof m.rule, "fedavg");
        guest_send(g, &m);
        g->out.data[chance[3] % g->out.size] ^= (uint8_t)(1 << chance[4] % 8);
        g->world->send(g->world->self, NULL, buf_bytes(&g->out));
        g->world->send(g->world->self, NULL, bytes_of(chance, sizeof chance));
        msg_fini(&m);
    }
}

static void send_submits(struct guest *g, const struct cid *record)
{
    for (unsigned i = 0; i < FLOOD_SUBMITS; i++) {
        struct cid other = cid_of(i % 4 < 2 ? CID_DAG_CBOR : CID_RAW, bytes_of(&i, sizeof i));
        guest_ask(g, i % 8 < 7 ? MSG_SUBMIT : MSG_MISSING, i % 3, i % 2 == 0 ? record : &other);
    }
}

/* A second connection under our key, with messages that no message may be as large as. */
static void send_oversized(struct guest *g)
{
    static const char big[4 << 20];
    const struct invitation *i = &g->home.invitation;
    struct key_public own = key_public(g->home.curve);
    uint8_t secret[KEY_BYTES];
    int linger = 100;
    void *context = zmq_ctx_new(), *socket = zmq_socket(context, ZMQ_DEALER);
    key_secret_bytes(g->home.curve, secret);
    MUST_HOLD(zmq_setsockopt(socket, ZMQ_CURVE_SERVERKEY, i->curve.bytes, KEY_BYTES) == 0);
    MUST_HOLD(zmq_setsockopt(socket, ZMQ_CURVE_PUBLICKEY, own.bytes, KEY_BYTES) == 0);
    MUST_HOLD(zmq_setsockopt(socket, ZMQ_CURVE_SECRETKEY, secret, KEY_BYTES) == 0);
    MUST_HOLD(zmq_setsockopt(socket, ZMQ_LINGER, &linger, sizeof linger) == 0);
    MUST_HOLD(zmq_connect(socket, i->control) == 0);
    for (size_t size = BUS_BYTES_MAX - 1; size < sizeof big; size *= 2)
        (void)zmq_send(socket, big, size, ZMQ_DONTWAIT);
    zmq_close(socket);
    zmq_ctx_term(context);
}

static void send_puts(struct guest *g)
{
    static const char *const tokens[] = {"", "token", "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"};
    static const uint8_t bytes[64 << 10];
    for (size_t i = 0; i < 8; i++)
        MUST_HOLD(guest_put(g, tokens[i % 3], i, bytes_of(bytes, sizeof bytes)) == 401);
    MUST_HOLD(guest_put(g, g->token, 99, bytes_of(bytes, sizeof bytes)) == 403);
}

static void tell_everything(struct guest *g)
{
    struct draft d = seal_honest(g, 1, 1);
    uint64_t end_ms = guest_now_ms(g) + GUEST_PATIENCE_MS;
    for (bool done = false; !done && guest_now_ms(g) < end_ms;) {
        send_submits(g, &d.record);
        send_noise(g);
        send_oversized(g);
        send_puts(g);
        guest_ask(g, MSG_WANT, 0, NULL);
        g->world->wait(g->world->self, GUEST_REPEAT_MS);
        while (guest_receive(g))
            done = done || g->got.type == MSG_DONE;
    }
}

/* --- the table --- */

static const struct lie lies[] = {
    {"none", nothing, NULL},
    {"bad-signature", bad_signature, NULL},
    {"unknown-site", unknown_site, NULL},
    {"wrong-study", wrong_study, NULL},
    {"wrong-round", wrong_round, NULL},
    {"wrong-exchange", wrong_exchange, NULL},
    {"wrong-plan", wrong_plan, NULL},
    {"wrong-base", wrong_base, NULL},
    {"other-layout", other_layout, NULL},
    {"more-shards", more_shards, NULL},
    {"longer-shard", longer_shard, NULL},
    {"nan", not_a_number, NULL},
    {"inf", infinite, NULL},
    {"weight-0", weight_0, NULL},
    {"weight-too-large", weight_too_large, NULL},
    {"garbage", NULL, tell_garbage},
    {"odd-name", NULL, tell_odd_name},
    {"bad-block", NULL, tell_bad_block},
    {"odd-block", NULL, tell_odd_block},
    {"over-quota", NULL, tell_too_much},
    {"crumbs", NULL, tell_crumbs},
    {"equivocation", NULL, tell_two_stories},
    {"failure", NULL, tell_of_failure},
    {"duplicate", NULL, tell_twice},
    {"late", NULL, tell_late},
    {"not-selected", NULL, tell_unasked},
    {"missing", NULL, tell_without_bytes},
    {"replay", NULL, tell_an_old_story},
    {"flood", NULL, tell_everything},
};

static const struct lie *find(const char *name)
{
    for (size_t i = 0; i < sizeof lies / sizeof lies[0]; i++)
        if (strcmp(name, lies[i].name) == 0)
            return &lies[i];
    return NULL;
}

static void tell_twisted(struct guest *g, const struct lie *lie)
{
    guest_take_task(g, 1);
    struct draft d = guest_draft(g);
    lie->twist(&d);
    guest_seal(g, &d);
    guest_upload(g, &d, 1);
    guest_submit(g, 1, &d.record);
}

int main(int argc, char **argv)
{
    const struct lie *lie = argc == 3 ? find(argv[2]) : NULL;
    struct guest g;
    if (lie == NULL) {
        fprintf(stderr, "usage: liar DIR LIE; LIE is one of\n");
        for (size_t i = 0; i < sizeof lies / sizeof lies[0]; i++)
            fprintf(stderr, "  %s\n", lies[i].name);
        return 2;
    }
    guest_open(&g, argv[1]);
    if (lie->tell != NULL)
        lie->tell(&g);
    else
        tell_twisted(&g, lie);
    guest_see_the_end(&g);
    guest_close(&g);
    return 0;
}
