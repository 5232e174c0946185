/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/pinned.h"

#include <stdio.h>

#include "cli/presence.h"

int pinned_check_name(const char *name, struct err *err)
{
    return name == NULL || strlen(name) < PINS_NAME_MAX
               ? 0
               : err_set(err, ERR_USAGE, "a pin's name is no longer than %d bytes",
                         PINS_NAME_MAX - 1);
}

int pinned_add(struct store *s, const struct cid *root, bool recursive, const char *name,
               struct err *err)
{
    struct pin pin = {.cid = *root, .recursive = recursive};
    int rc = pinned_check_name(name, err);
    if (rc != 0)
        return rc;
    if (recursive && presence_strange(root))
        return presence_tell_strange(root, err);
    snprintf(pin.name, sizeof pin.name, "%s", name != NULL ? name : "");
    return pins_add(store_files(s), store_root(s), &pin, err);
}

/* --- which pin --- */

struct search {
    struct store *store;
    const struct cid *cid;
    struct cid by;
};

static bool is_it(const struct search *s, const struct cid *cid)
{
    return bytes_equal(cid_multihash(s->cid), cid_multihash(cid));
}

static bool has(void *self, const struct cid *cid)
{
    const struct search *s = self;
    return store_has(s->store, cid);
}

static bool is_another(void *self, const struct cid *cid)
{
    return !is_it(self, cid);
}

static int look(void *self, const struct pin *pin, struct err *err)
{
    struct search *s = self;
    struct block_source source = store_source(s->store);
    struct presence p = {.source = &source, .has = has, .self = s, .each = is_another};
    struct presence_result found = {0};
    if (!cid_is_none(&s->by))
        return 0;
    int rc = 0;
    if (is_it(s, &pin->cid))
        found.ended = true;
    else if (pin->recursive)
        rc = presence_look(&p, &pin->cid, &found, err);
    if (found.ended)
        s->by = pin->cid;
    return rc;
}

int pinned_by(struct store *s, const struct cid *cid, struct cid *by, struct err *err)
{
    struct search search = {.store = s, .cid = cid};
    int rc = pins_each(store_files(s), store_root(s), look, &search, err);
    if (rc == 0)
        *by = search.by;
    return rc;
}
