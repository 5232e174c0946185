/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/origin.h"

#include "cli/meter.h"
#include "cli/sources.h"
#include "content/resolve.h"

int origin_open(struct origin *o, bool write, struct err *err)
{
    int rc = sources_open(&o->from, &o->sources, err);
    if (rc != 0)
        return rc;
    enum store_mode mode = write || o->sources != NULL ? STORE_SHARE : STORE_READ_ONLY;
    /* Without anybody to ask, one that is not there has nothing for us. */
    rc = o->sources == NULL ? store_option_open_present(o->dir, mode, &o->store, err)
                            : store_option_open(o->dir, mode, &o->store, err);
    if (rc == ERR_DENIED && !write && o->from.count == 0) {
        sources_close(o->sources);
        o->sources = NULL;
        rc = store_option_open(o->dir, STORE_READ_ONLY, &o->store, err);
    }
    if (rc == 0)
        o->source = sources_block_source(o->sources, o->store);
    return rc;
}

void origin_close(struct origin *o)
{
    sources_close(o->sources);
    store_close(o->store);
    o->sources = NULL;
    o->store = NULL;
}

int origin_find(const struct origin *o, const char *target, struct cid *out, const char **rest,
                struct err *err)
{
    struct cid root;
    const char *path;
    struct resolved found;
    int rc = resolve_parse(target, &root, &path, err);
    if (rc == 0)
        rc = resolve_path(&o->source, &root, path, NULL, NULL, &found, err);
    if (rc != 0)
        return rc;
    if (rest == NULL && found.rest[0] != '\0')
        return err_set(err, ERR_USAGE, "%s leads into a block, not to one: \"%s\" is left", target,
                       found.rest);
    if (rest != NULL)
        *rest = found.rest;
    *out = found.cid;
    return 0;
}

int origin_load(struct origin *o, const char *target, struct cid *cid, const char **rest,
                struct buf *block, struct err *err)
{
    int rc = origin_open(o, false, err);
    if (rc == 0)
        rc = origin_find(o, target, cid, rest, err);
    return rc != 0 ? rc : block_source_get(&o->source, cid, block, err);
}

int origin_fetch(const struct origin *o, const struct cid *root, bool sync, struct err *err)
{
    struct meter meter;
    if (o->sources == NULL)
        return 0;
    meter_start(&meter, "fetching");
    int rc = sources_fetch(o->sources, o->store, root, sync, &meter.count, err);
    meter_stop(&meter);
    return rc;
}
