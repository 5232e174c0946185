/* SPDX-License-Identifier: Apache-2.0 */
#include "transport/upload.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/fault.h"
#include "content/digest_map.h"
#include "transport/http_server.h" /* HTTP_UPLOAD_BYTES_MAX */

#define ANSWER_BYTES_MAX (16u << 10)
#define ANSWER_TEXT_MAX  300
#define RETRY_MAX_MS     30000
#define IDLE_MS          60000

/* One PUT: a run of the caller's blocks. */
struct body {
    struct pack *pack;
    const struct cid *cids;
    size_t count;
    size_t next;        /* block to read */
    struct buf section; /* the one under way */
    size_t given;       /* of it */
    struct err err;     /* why the body cannot go on: our disk */
    struct progress_count *progress;
    uint64_t before, sent, all; /* bytes: of earlier PUTs, of this one, of the call */
};

/* --- the body --- */

static void count_sent(struct body *b, uint64_t sent)
{
    b->sent = sent;
    if (b->progress != NULL)
        progress_count_set(b->progress, b->before + sent, b->all);
}

static int load_section(struct body *b)
{
    uint8_t head[CAR_SECTION_HEAD_MAX];
    const struct cid *cid = &b->cids[b->next++];
    struct buf block = buf_new(PACK_BLOCK_BYTES_MAX);
    int rc = pack_get(b->pack, cid, &block, &b->err);
    buf_clear(&b->section);
    b->given = 0;
    if (rc == 0) {
        buf_append(&b->section, head, car_section_head(cid, block.size, head));
        buf_append(&b->section, block.data, block.size);
        rc = buf_check(&b->section, &b->err);
    }
    buf_fini(&block);
    return rc;
}

static long give_body(void *self, void *data, size_t size)
{
    struct body *b = self;
    size_t filled = 0;
    while (filled < size) {
        if (b->given == b->section.size) {
            if (b->next == b->count)
                break;
            if (load_section(b) != 0)
                return -1;
        }
        size_t part = b->section.size - b->given;
        if (part > size - filled)
            part = size - filled;
        memcpy((uint8_t *)data + filled, b->section.data + b->given, part);
        filled += part;
        b->given += part;
        if (b->given == b->section.size)
            FAULT_POINT("upload-block");
    }
    count_sent(b, b->sent + filled);
    return (long)filled;
}

static void rewind_body(void *self)
{
    struct body *b = self;
    b->next = 0;
    b->given = 0;
    buf_clear(&b->section);
    count_sent(b, 0);
}

/* --- the answer --- */

static int judge(const struct http_transfer *t, struct err *err)
{
    char text[ANSWER_TEXT_MAX];
    int code = ERR_NET;
    if (t->code != 0)
        return err_set(err, t->code == ERR_DENIED ? ERR_DENIED : ERR_NET, "%s", t->err.text);
    if (t->status == 200)
        return 0;
    if (t->status == 401 || t->status == 403)
        code = ERR_DENIED;
    else if (t->status == 413)
        code = ERR_LIMIT;
    else if (t->status == 400)
        code = ERR_MALFORMED;
    return err_set(err, code, "%s answered HTTP %ld: %s", t->url, t->status,
                   http_client_words(t, text, sizeof text));
}

/* --- sending --- */

/* One PUT to its end, or the reason why there was none. */
static int put(struct upload *u, struct http_transfer *t, struct body *b, struct err *err)
{
    const char *base = u->urls[u->url];
    size_t size = strlen(base);
    struct http_transfer *done = NULL;
    while (size > 0 && base[size - 1] == '/')
        size--;
    snprintf(t->url, sizeof t->url, "%.*s/upload/%llu", (int)size, base,
             (unsigned long long)u->round);
    rewind_body(b);
    int rc = http_client_start(u->http, t, err);
    while (rc == 0 && done == NULL)
        rc = http_client_next(u->http, IDLE_MS, &done, err);
    if (rc != 0)
        http_client_stop(u->http);
    return rc;
}

static int wait_busy(struct upload *u, const struct http_transfer *t, struct err *err)
{
    struct http_transfer *none;
    uint64_t wait_ms = (uint64_t)t->retry_after_seconds * 1000;
    if (wait_ms == 0)
        wait_ms = 1000;
    return http_client_next(u->http, wait_ms < RETRY_MAX_MS ? wait_ms : RETRY_MAX_MS, &none, err);
}

static bool is_busy(const struct http_transfer *t)
{
    return t->code == 0 && (t->status == 503 || t->status == 429);
}

/* The same PUT again while the server is busy, and at the next address where one does not
 * answer. */
static int put_till_answered(struct upload *u, struct http_transfer *t, struct body *b,
                             struct err *err)
{
    uint64_t end_ms = http_client_now_ms() + (uint64_t)u->give_up_seconds * 1000;
    size_t tried = 0;
    for (;;) {
        int rc = put(u, t, b, err);
        if (rc != 0)
            return rc;
        if (b->err.code != 0)
            return err_set(err, b->err.code, "%s", b->err.text);
        bool silent = t->status == 0 && t->bytes_sent == 0;
        if (silent && t->code != 0 && ++tried < u->url_count) {
            u->url = (u->url + 1) % u->url_count;
            continue;
        }
        if (!is_busy(t) || http_client_now_ms() >= end_ms)
            return judge(t, err);
        rc = wait_busy(u, t, err);
        if (rc != 0)
            return rc;
    }
}

/* --- which blocks in which PUT --- */

static int note_size(void *self, const struct cid *cid, uint32_t size, struct err *err)
{
    struct digest_place place = {.size = size};
    return digest_map_put(self, cid_digest(cid), &place, err);
}

static int section_size(const struct digest_map *sizes, const struct cid *cid, uint64_t *out,
                        struct err *err)
{
    char text[CID_TEXT_MAX];
    uint8_t head[CAR_SECTION_HEAD_MAX];
    struct digest_place place;
    if (cid_digest(cid) == NULL || !digest_map_get(sizes, cid_digest(cid), &place))
        return err_set(err, ERR_NOTFOUND, "block %s is not in the pack", cid_format(cid, text));
    *out = car_section_head(cid, place.size, head) + place.size;
    return 0;
}

/* As many of the blocks as one PUT may carry, at least one. */
static int choose(struct body *b, const struct cid *cids, size_t count,
                  const struct digest_map *sizes, uint64_t *bytes, struct err *err)
{
    b->cids = cids;
    b->count = 0;
    *bytes = 0;
    while (b->count < count) {
        uint64_t size = 0;
        int rc = section_size(sizes, &cids[b->count], &size, err);
        if (rc != 0)
            return rc;
        if (*bytes + size > HTTP_UPLOAD_BYTES_MAX)
            break;
        *bytes += size;
        b->count++;
    }
    return 0;
}

static int send_all(struct upload *u, const struct digest_map *sizes, struct body *b,
                    const struct cid *cids, size_t count, struct err *err)
{
    struct http_transfer t = {
        .upload = give_body, .rewind = rewind_body, .self = b, .body_max = ANSWER_BYTES_MAX};
    int rc = 0;
    for (size_t i = 0; rc == 0 && i < count; i++) {
        uint64_t size;
        rc = section_size(sizes, &cids[i], &size, err);
        b->all += rc == 0 ? size : 0;
    }
    for (size_t first = 0; rc == 0 && first < count; first += b->count) {
        rc = choose(b, cids + first, count - first, sizes, &t.upload_bytes, err);
        if (rc == 0)
            rc = put_till_answered(u, &t, b, err);
        b->before += t.upload_bytes;
    }
    buf_fini(&t.body);
    return rc;
}

int upload_blocks(struct upload *u, struct pack *pack, const struct cid *cids, size_t count,
                  struct err *err)
{
    struct digest_map sizes = {0};
    struct body b = {.pack = pack,
                     .progress = u->progress,
                     .section = buf_new(PACK_BLOCK_BYTES_MAX + CAR_SECTION_HEAD_MAX)};
    int rc = u->url_count > 0 ? 0 : err_set(err, ERR_USAGE, "no address to upload to");
    if (rc == 0)
        rc = pack_each(pack, note_size, &sizes, err);
    if (rc == 0)
        rc = send_all(u, &sizes, &b, cids, count, err);
    digest_map_fini(&sizes);
    buf_fini(&b.section);
    return rc != 0 ? err_wrap(err, rc, "upload for round %llu", (unsigned long long)u->round) : 0;
}
