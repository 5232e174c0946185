/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/presence.h"

#include "content/dag.h"

struct look {
    const struct presence *p;
    struct presence_result *out;
};

bool presence_has_links(const struct cid *cid)
{
    uint32_t codec = cid_codec(cid);
    return codec == CID_DAG_PB || codec == CID_DAG_CBOR || codec == CID_DAG_JSON;
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
    if (presence_has_links(cid))
        return true;
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
