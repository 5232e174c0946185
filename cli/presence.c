/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/presence.h"

#include "content/dag.h"

struct look {
    const struct presence *p;
    struct presence_result *out;
};

bool presence_strange(const struct cid *cid)
{
    static const uint32_t linkless[] = {CID_RAW, CID_CBOR, CID_JSON, CID_LIBP2P_KEY};
    uint32_t codec = cid_codec(cid);
    for (size_t i = 0; i < sizeof linkless / sizeof linkless[0]; i++)
        if (codec == linkless[i])
            return false;
    return !dag_has_links(cid);
}

int presence_tell_strange(const struct cid *cid, struct err *err)
{
    char text[CID_TEXT_MAX];
    return err_set(err, ERR_UNSUPPORTED,
                   "%s: its codec 0x%lx is not known here, so what it links cannot be kept",
                   cid_format(cid, text), (unsigned long)cid_codec(cid));
}

static void say_each(const struct look *l, const struct cid *cid)
{
    if (!l->out->ended && l->p->each != NULL)
        l->out->ended = !l->p->each(l->p->self, cid);
}

static bool enter(void *self, const struct cid *cid)
{
    struct look *l = self;
    if (l->out->ended)
        return false;
    if (!l->p->has(l->p->self, cid)) {
        if (l->out->missing++ == 0)
            l->out->missed = *cid;
        return false;
    }
    if (dag_has_links(cid))
        return true;
    if (presence_strange(cid) && cid_is_none(&l->out->strange))
        l->out->strange = *cid;
    say_each(l, cid);
    return false;
}

static int visit(void *self, const struct cid *cid, struct bytes block, struct err *err)
{
    (void)block;
    (void)err;
    say_each(self, cid);
    return 0;
}

int presence_look(const struct presence *p, const struct cid *root, struct presence_result *out,
                  struct err *err)
{
    *out = (struct presence_result){0};
    struct look look = {.p = p, .out = out};
    struct dag_walk walk = {.source = p->source, .enter = enter, .visit = visit, .self = &look};
    return dag_walk(&walk, root, err);
}

static bool store_has_it(void *self, const struct cid *cid)
{
    return store_has(self, cid);
}

int presence_in_store(struct store *s, const struct cid *root, struct presence_result *out,
                      struct err *err)
{
    struct block_source source = store_source(s);
    struct presence p = {.source = &source, .has = store_has_it, .self = s};
    return presence_look(&p, root, out, err);
}
