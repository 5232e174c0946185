/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/text.h"
#include "base/varint.h"
#include "cli/car_read.h"
#include "cli/cmd.h"
#include "cli/input.h"
#include "cli/meter.h"
#include "cli/options.h"
#include "cli/presence.h"
#include "cli/say.h"
#include "content/digest_map.h"

#define COMMAND "colmeia car verify"

struct car_verify {
    struct car_read read;
    pthread_mutex_t mutex;
    struct digest_map places; /* by SHA-256 of the multihash: where a block's section begins */
    uint64_t missing;
    struct cid strange;       /* the first whose links nobody knows, or none */
    struct cid missed, below; /* the first missing block, and the root that reaches it */
};

static void key_of(const struct cid *cid, uint8_t key[HASH_BYTES])
{
    hash_sha256(cid_multihash(cid), key);
}

static int take_block(void *self, const struct cid *cid, struct bytes data, uint64_t offset,
                      struct err *err)
{
    struct car_verify *v = self;
    uint8_t key[HASH_BYTES];
    struct digest_place place = {.offset = offset + varint_size(cid->size + data.size) + cid->size,
                                 .size = (uint32_t)data.size};
    key_of(cid, key);
    pthread_mutex_lock(&v->mutex);
    int rc = digest_map_put(&v->places, key, &place, err);
    pthread_mutex_unlock(&v->mutex);
    return rc;
}

/* --- what the roots reach --- */

static bool has(void *self, const struct cid *cid)
{
    struct car_verify *v = self;
    struct digest_place place;
    uint8_t key[HASH_BYTES];
    key_of(cid, key);
    return digest_map_get(&v->places, key, &place);
}

static int get(void *self, const struct cid *cid, struct buf *out, struct err *err)
{
    struct car_verify *v = self;
    struct digest_place place;
    uint8_t key[HASH_BYTES];
    key_of(cid, key);
    if (!digest_map_get(&v->places, key, &place))
        return err_set(err, ERR_NOTFOUND, "not in the CAR");
    buf_clear(out);
    uint8_t *at = buf_extend(out, place.size);
    int rc = buf_check(out, err);
    if (rc == 0 && place.size > 0)
        rc = files_posix()->read(NULL, v->read.fd, place.offset, at, place.size, err);
    return rc != 0 ? rc : cid_verify(cid, buf_bytes(out), err);
}

static int look_at_roots(struct car_verify *v, struct err *err)
{
    struct block_source source = {.self = v, .get = get};
    struct presence p = {.source = &source, .has = has, .self = v};
    for (size_t i = 0; i < v->read.root_count; i++) {
        struct presence_result look;
        int rc = presence_look(&p, &v->read.roots[i], &look, err);
        if (rc != 0)
            return rc;
        if (look.missing > 0 && v->missing == 0) {
            v->missed = look.missed;
            v->below = v->read.roots[i];
        }
        if (cid_is_none(&v->strange))
            v->strange = look.strange;
        v->missing += look.missing;
    }
    return 0;
}

static int verify(struct car_verify *v, const char *path, struct err *err)
{
    struct car_read *read = &v->read;
    struct meter meter;
    int rc = input_open(path, &read->fd, err);
    if (rc != 0)
        return rc;
    if (lseek(read->fd, 0, SEEK_CUR) < 0)
        rc = err_set(err, ERR_USAGE, "what is read must be a file, not a pipe");
    if (rc == 0)
        rc = jobs_new(0, &read->jobs, err);
    if (rc == 0) {
        meter_start(&meter, "verifying");
        read->progress = &meter.count;
        rc = car_read(read, err);
        meter_stop(&meter);
    }
    if (rc == 0)
        rc = look_at_roots(v, err);
    if (rc != 0)
        err_wrap(err, rc, "%s", path);
    jobs_free(read->jobs);
    return rc;
}

/* --- saying it --- */

static int say(const struct car_verify *v, bool json)
{
    char missed[CID_TEXT_MAX], below[CID_TEXT_MAX], size[TEXT_SMALL];
    bool strange = !cid_is_none(&v->strange);
    int status = v->missing > 0 || strange ? 1 : 0;
    cid_format(&v->missed, missed);
    cid_format(&v->below, below);
    if (json) {
        json_t *said =
            json_pack("{s:i,s:I,s:I,s:I,s:I}", "version", (int)v->read.version, "roots",
                      (json_int_t)v->read.root_count, "blocks", (json_int_t)v->read.blocks, "bytes",
                      (json_int_t)v->read.bytes, "missing", (json_int_t)v->missing);
        if (said != NULL && v->missing > 0)
            json_object_set_new(said, "first_missing", json_string(missed));
        if (said != NULL && strange)
            json_object_set_new(said, "unknown_codec", json_string(cid_format(&v->strange, below)));
        return say_json(said) != 0 ? 3 : status;
    }
    if (v->missing > 0)
        say_line("%llu block%s missing, the first of them %s, below the root %s",
                 (unsigned long long)v->missing, v->missing == 1 ? " is" : "s are", missed, below);
    if (strange)
        say_line("of %s the codec 0x%lx is not known here: whether all that it links is there "
                 "cannot be told",
                 cid_format(&v->strange, missed), (unsigned long)cid_codec(&v->strange));
    else if (v->missing == 0)
        say_line("whole: CARv%u, %zu root%s, %llu blocks, %s", v->read.version, v->read.root_count,
                 v->read.root_count == 1 ? "" : "s", (unsigned long long)v->read.blocks,
                 text_format_size(v->read.bytes, size));
    return status;
}

int cmd_car_verify(int argc, char **argv)
{
    struct car_verify v = {.read = {.fd = -1, .block = take_block, .self = &v}};
    bool json = false;
    const struct options_row rows[] = {OPTIONS_JSON_ROW(&json)};
    struct options o = {.command = COMMAND,
                        .operands = "FILE",
                        .about = "Hashes every block of a CAR and looks whether all that its roots "
                                 "reach is in it.",
                        OPTIONS_ROWS(rows),
                        .least = 1,
                        .most = 1};
    struct err err = {0};
    int status;
    if (!options_parse(&o, argc, argv, &status))
        return status;
    pthread_mutex_init(&v.mutex, NULL);
    int rc = verify(&v, o.given[0], &err);
    status = rc != 0 ? say_error(COMMAND, rc, &err) : say(&v, json);
    input_close(v.read.fd);
    pthread_mutex_destroy(&v.mutex);
    digest_map_fini(&v.places);
    free(v.read.roots);
    return status;
}
