/* SPDX-License-Identifier: Apache-2.0 */
#include "study/study.h"

#include <stdio.h>

#include "model/safetensors.h"
#include "study/leaves.h"

int study_get(struct store *store, const struct cid *cid, struct buf *out, struct err *err)
{
    if (cid_codec(cid) != CID_DAG_CBOR) /* the same digest would also answer to another codec */
        return err_set(err, ERR_MALFORMED, "not the CID of a record");
    int rc = store_get(store, cid, out, err);
    if (rc == 0 && out->size > RECORD_BYTES_MAX) {
        rc = err_set(err, ERR_LIMIT, "a record of %zu bytes; at most %u", out->size,
                     RECORD_BYTES_MAX);
        buf_clear(out);
    }
    return rc;
}

/* --- loading --- */

static int load_charter(struct store *store, const struct cid *id, struct study *s,
                        struct buf *block, struct err *err)
{
    char text[CID_TEXT_MAX];
    int rc = study_get(store, id, block, err);
    if (rc == 0)
        rc = charter_decode(buf_bytes(block), &s->charter, err);
    return rc != 0 ? err_wrap(err, rc, "charter %s", cid_format(id, text)) : 0;
}

static int load_plan(struct store *store, const struct cid *id, struct study *s, struct buf *block,
                     struct err *err)
{
    char text[CID_TEXT_MAX];
    int rc = study_get(store, id, block, err);
    if (rc == 0)
        rc = plan_decode(buf_bytes(block), &s->charter.cid, &s->charter.founder, &s->plan, err);
    return rc != 0 ? err_wrap(err, rc, "plan %s", cid_format(id, text)) : 0;
}

/* What the rule `moments` sets must be there to be set. */
static int check_scaling(const struct study *s, struct err *err)
{
    static const char *const names[] = {"input.mean", "input.deviation"};
    for (size_t i = 0; i < 2; i++) {
        const struct tensor *t = layout_find(s->layout, names[i]);
        if (t == NULL || t->dtype != DTYPE_F32 || t->use != USE_FIXED ||
            t->elements != s->plan.features)
            return err_set(err, ERR_MALFORMED,
                           "the rule moments needs a fixed F32 tensor %s of %llu elements",
                           names[i], (unsigned long long)s->plan.features);
    }
    return 0;
}

static int check_layout(const struct study *s, struct err *err)
{
    struct network network;
    int rc = plan_network(&s->plan, &network) ? network_check(&network, s->layout, err) : 0;
    for (size_t i = 0; rc == 0 && i < s->plan.step_count; i++)
        if (strcmp(s->plan.schedule[i].rule, "moments") == 0)
            rc = check_scaling(s, err);
    return rc;
}

static int load_layout(struct store *store, struct study *s, struct err *err)
{
    char text[CID_TEXT_MAX];
    struct buf block = buf_new(STORE_BLOCK_BYTES_MAX);
    int rc = store_get(store, &s->plan.layout, &block, err);
    if (rc == 0)
        rc = layout_decode(buf_bytes(&block), &s->layout, err);
    if (rc == 0)
        rc = check_layout(s, err);
    buf_fini(&block);
    return rc != 0 ? err_wrap(err, rc, "layout %s", cid_format(&s->plan.layout, text)) : 0;
}

int study_load(struct store *store, const struct cid *id, const struct cid *plan, struct study *out,
               struct err *err)
{
    struct buf block = buf_new(RECORD_BYTES_MAX);
    struct study s = {.layout = NULL};
    int rc = load_charter(store, id, &s, &block, err);
    if (rc == 0)
        rc = load_plan(store, plan, &s, &block, err);
    if (rc == 0)
        rc = load_layout(store, &s, err);
    buf_fini(&block);
    if (rc == 0)
        *out = s;
    else
        study_fini(&s);
    return rc;
}

void study_fini(struct study *s)
{
    layout_free(s->layout);
    s->layout = NULL;
}

/* --- paths and models --- */

int study_pack_path(const char *dir, const struct cid *site_id, uint64_t round,
                    char out[FILES_PATH_MAX], struct err *err)
{
    char name[CID_TEXT_MAX + 48], id[CID_TEXT_MAX];
    snprintf(name, sizeof name, "updates/%s/%llu.car", cid_format(site_id, id),
             (unsigned long long)round);
    return files_join(out, dir, name, err);
}

/* A model's header is canonical, so one comparison answers for every tensor. */
static int check_header(struct leaves *leaves, const struct layout *layout, uint64_t *data_start,
                        struct err *err)
{
    struct buf header = buf_new(SAFETENSORS_HEADER_MAX), found = buf_new(SAFETENSORS_HEADER_MAX);
    struct leaves_reader reader;
    leaves_reader_init(&reader, leaves);
    int rc = safetensors_format(layout, &header, err);
    if (rc == 0 && leaves->file_bytes != header.size + layout->data_bytes)
        rc = err_set(err, ERR_MALFORMED, "%llu bytes, where the plan's layout takes %llu",
                     (unsigned long long)leaves->file_bytes,
                     (unsigned long long)(header.size + layout->data_bytes));
    uint8_t *at = rc == 0 ? buf_extend(&found, header.size) : NULL;
    if (rc == 0)
        rc = buf_check(&found, err);
    if (rc == 0)
        rc = leaves_read(&reader, 0, at, header.size, err);
    if (rc == 0 && !bytes_equal(buf_bytes(&header), buf_bytes(&found)))
        rc = err_set(err, ERR_MALFORMED, "its header is not that of the plan's layout");
    if (rc == 0 && data_start != NULL)
        *data_start = header.size;
    leaves_reader_fini(&reader);
    buf_fini(&found);
    buf_fini(&header);
    return rc;
}

int study_check_model(struct store *store, const struct layout *layout, const struct cid *root,
                      uint64_t *data_start, struct err *err)
{
    char text[CID_TEXT_MAX];
    struct leaves leaves = {0};
    int rc = leaves_load(store, root, &leaves, err);
    if (rc == 0) {
        rc = check_header(&leaves, layout, data_start, err);
        leaves_fini(&leaves);
    }
    return rc != 0 ? err_wrap(err, rc, "model %s", cid_format(root, text)) : 0;
}
