/* SPDX-License-Identifier: Apache-2.0 */
#include "content/gc.h"

#include <stdlib.h>

#include "base/fault.h"
#include "content/dag.h"
#include "content/pins.h"
#include "content/store_internal.h"

#define LACKING 1 /* in place.file: reached, but missing */

struct marking {
    struct store *store;
    struct gc_result *out;
    struct digest_map marks; /* by the digest of the multihash where that is not sha2-256 */
    uint64_t identities;
    size_t count, capacity;
    bool pinned;         /* marking from a pin, not from a model */
    struct cid *pending; /* whose links are still to be followed */
    struct buf block;
};

static void key_of(const struct cid *cid, uint8_t out[HASH_BYTES])
{
    if (cid_digest(cid) != NULL)
        memcpy(out, cid_digest(cid), HASH_BYTES);
    else
        hash_sha256(cid_multihash(cid), out);
}

/* The same bytes may be linked under several codecs, and have other links under each. */
static uint32_t codec_bit(const struct cid *cid)
{
    switch (cid_codec(cid)) {
    case CID_DAG_PB:
        return 1;
    case CID_DAG_CBOR:
        return 2;
    case CID_DAG_JSON:
        return 4;
    default:
        return 8; /* without links */
    }
}

/* Marks the block; returns in `known` whether it was reached under this codec before. */
static int set_mark(struct marking *m, const struct cid *cid, bool lacking, bool *known,
                    struct err *err)
{
    struct digest_place place = {0};
    uint8_t key[HASH_BYTES];
    key_of(cid, key);
    bool marked = digest_map_get(&m->marks, key, &place);
    *known = (place.size & codec_bit(cid)) != 0;
    if (!marked)
        m->identities += cid_identity(cid, NULL);
    if (lacking && place.file != LACKING) {
        m->out->missing++;
        place.file = LACKING;
    }
    place.size |= codec_bit(cid);
    return digest_map_put(&m->marks, key, &place, err);
}

static bool is_marked(const struct marking *m, const struct cid *cid)
{
    struct digest_place place;
    uint8_t key[HASH_BYTES];
    key_of(cid, key);
    return digest_map_get(&m->marks, key, &place);
}

static int push(struct marking *m, const struct cid *cid, struct err *err)
{
    if (m->count == m->capacity) {
        size_t capacity = m->capacity * 2 + 256;
        struct cid *pending = realloc(m->pending, capacity * sizeof *pending);
        if (pending == NULL)
            return err_set(err, ERR_NOMEM, "out of memory");
        m->pending = pending;
        m->capacity = capacity;
    }
    m->pending[m->count++] = *cid;
    return 0;
}

/* Is it known not to be here? A failure that leaves it open is one. */
static int is_lacking(struct marking *m, const struct cid *cid, bool *lacking, struct err *err)
{
    int rc = store_look(m->store, cid, err);
    *lacking = rc == ERR_NOTFOUND || rc == ERR_CORRUPT;
    return *lacking ? 0 : rc;
}

/* A block without links need not be read. */
static int reach(void *self, const struct cid *cid, struct err *err)
{
    struct marking *m = self;
    bool leaf = !dag_has_links(cid), known, lacking = false;
    int rc = leaf && !is_marked(m, cid) ? is_lacking(m, cid, &lacking, err) : 0;
    if (rc == 0)
        rc = set_mark(m, cid, lacking, &known, err);
    return rc != 0 || known || leaf ? rc : push(m, cid, err);
}

/* Is it the block that is at fault, rather than the machine? */
static bool is_hole(int rc)
{
    return rc == ERR_NOTFOUND || rc == ERR_CORRUPT || rc == ERR_UNSUPPORTED || rc == ERR_MALFORMED;
}

/* What is below a block that cannot be read is not known, and would be swept with the rest. */
static int follow(struct marking *m, const struct cid *cid, struct err *err)
{
    struct err why = {0};
    char text[CID_TEXT_MAX];
    int rc = store_get(m->store, cid, &m->block, &why);
    if (rc == 0)
        rc = dag_each_link(cid, buf_bytes(&m->block), reach, m, &why);
    if (rc == 0)
        return 0;
    const char *advice = "";
    if (is_hole(rc))
        advice = m->pinned ? "; nothing was removed: fetch it again with `colmeia pin add --from`, "
                             "or give the pin up with `colmeia pin rm`"
                           : "; nothing was removed: fetch or import the model again";
    return err_set(err, rc, "block %s: %.300s%s", cid_format(cid, text), why.text, advice);
}

static int mark_below(struct marking *m, const struct cid *root, struct err *err)
{
    int rc = reach(m, root, err);
    while (rc == 0 && m->count > 0) {
        struct cid cid = m->pending[--m->count];
        rc = follow(m, &cid, err);
    }
    return rc;
}

static int mark_pin(void *self, const struct pin *pin, struct err *err)
{
    struct marking *m = self;
    char text[CID_TEXT_MAX];
    int rc = 0;
    m->pinned = true;
    if (pin->recursive)
        rc = mark_below(m, &pin->cid, err);
    return rc != 0 ? err_wrap(err, rc, "pin %s", cid_format(&pin->cid, text)) : 0;
}

/* The block alone. */
static int mark_direct(void *self, const struct pin *pin, struct err *err)
{
    struct marking *m = self;
    bool known, lacking;
    if (pin->recursive || is_marked(m, &pin->cid))
        return 0;
    int rc = is_lacking(m, &pin->cid, &lacking, err);
    return rc != 0 ? rc : set_mark(m, &pin->cid, lacking, &known, err);
}

static int mark_models(struct marking *m, struct err *err)
{
    struct cid *roots = NULL;
    size_t count;
    char text[CID_TEXT_MAX];
    int rc = store_model_list(m->store, &roots, &count, err);
    m->pinned = false;
    for (size_t i = 0; rc == 0 && i < count; i++) {
        rc = mark_below(m, &roots[i], err);
        if (rc != 0)
            rc = err_wrap(err, rc, "model %s", cid_format(&roots[i], text));
    }
    free(roots);
    return rc;
}

/* --- sweeping --- */

static int sweep_single(void *self, const struct cid *cid, const char *path, struct err *err)
{
    struct marking *m = self;
    const struct files *f = m->store->files;
    struct files_stat st;
    if (is_marked(m, cid))
        return 0;
    int rc = f->stat(f->self, path, &st, err);
    FAULT_POINT("gc-before-remove");
    if (rc == 0)
        rc = f->unlink(f->self, path, err);
    if (rc != 0)
        return rc == ERR_NOTFOUND ? 0 : rc;
    m->out->blocks_removed++;
    m->out->bytes_removed += st.size;
    return 0;
}

static bool keep(void *self, const uint8_t digest[HASH_BYTES])
{
    struct marking *m = self;
    struct digest_place place;
    return digest_map_get(&m->marks, digest, &place);
}

static int sweep(struct marking *m, struct err *err)
{
    struct packs_swept swept = {0};
    struct store *s = m->store;
    int rc = packs_sweep(s->packs, keep, m, &swept, err); /* first: it stops before it removes */
    if (rc == 0)
        rc = store_each_single(s, sweep_single, m, err);
    if (rc == 0)
        rc = store_each_drop_temporary(s, err);
    if (rc == 0)
        rc = pins_sweep(s->files, s->root, err);
    m->out->blocks_removed += swept.blocks;
    m->out->bytes_removed += swept.bytes;
    m->out->missing += swept.damaged;
    return rc;
}

int gc_run(struct store *s, struct gc_result *out, struct err *err)
{
    struct gc_result found = {0};
    struct marking m = {.store = s, .out = &found, .block = buf_new(STORE_BLOCK_BYTES_MAX)};
    if (s->mode != STORE_WRITE)
        return err_set(err, ERR_DENIED, "store %s is not open for writing alone", s->root);
    int rc = pins_each(s->files, s->root, mark_pin, &m, err);
    if (rc == 0)
        rc = mark_models(&m, err);
    if (rc == 0)
        rc = pins_each(s->files, s->root, mark_direct, &m, err);
    if (rc == 0)
        rc = sweep(&m, err);
    if (rc == 0) {
        found.blocks_kept = m.marks.count - m.identities - found.missing;
        *out = found;
    }
    buf_fini(&m.block);
    free(m.pending);
    digest_map_fini(&m.marks);
    return rc != 0 ? err_wrap(err, rc, "gc of %s", s->root) : 0;
}
