/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>

#include "base/fault.h"
#include "content/car.h"
#include "content/pack.h"
#include "content/packs_internal.h"

#define TOGETHER_BYTES 4096 /* a block no longer than this is written with its head at once */

/* Is the section's block what its CID says? */
static int check_block(const struct files *f, int fd, const struct packs_entry *e, uint8_t *room,
                       struct err *err)
{
    int rc = f->read(f->self, fd, e->offset, room, e->size, err);
    if (rc == 0 && !packs_hit_is_block(bytes_of(room, e->size), e->digest))
        rc = err_set(err, ERR_MALFORMED, "bytes do not hash to CID");
    return rc;
}

static int read_section(const struct files *f, int fd, uint64_t at, uint64_t file_bytes,
                        struct packs_entry *out, struct err *err)
{
    uint8_t head[CAR_SECTION_HEAD_MAX];
    size_t have = file_bytes - at < sizeof head ? (size_t)(file_bytes - at) : sizeof head;
    struct cid cid;
    size_t head_size;
    int rc = f->read(f->self, fd, at, head, have, err);
    if (rc == 0)
        rc = pack_section_parse(bytes_of(head, have), file_bytes - at, &cid, &head_size, &out->size,
                                err);
    if (rc != 0)
        return rc;
    if (cid_codec(&cid) >= PACKS_ENTRY_UNDONE)
        return err_set(err, ERR_MALFORMED, "a codec that no pack has");
    out->offset = at + head_size;
    out->codec = cid_codec(&cid) | (cid.bytes[0] == CID_SHA2_256 ? PACKS_ENTRY_V0 : 0);
    memcpy(out->digest, cid_digest(&cid), HASH_BYTES);
    return 0;
}

int packs_car_scan(const struct files *f, int fd, bool hash, struct packs_entries *out,
                   uint64_t *end, struct err *err)
{
    uint8_t header[PACK_HEADER_BYTES];
    struct files_stat st;
    *end = 0;
    int rc = f->stat_fd(f->self, fd, &st, err);
    if (rc != 0 || st.size < sizeof header)
        return rc;
    rc = f->read(f->self, fd, 0, header, sizeof header, err);
    if (rc != 0 || memcmp(header, pack_header, sizeof header) != 0)
        return rc;
    uint8_t *room = hash ? malloc(BLOCK_BYTES_MAX) : NULL;
    if (hash && room == NULL)
        return err_set(err, ERR_NOMEM, "out of memory");
    *end = sizeof header;
    while (rc == 0 && *end < st.size && out->count < PACKS_BLOCKS_MAX) {
        struct packs_entry e;
        rc = read_section(f, fd, *end, st.size, &e, err);
        if (rc == 0 && hash)
            rc = check_block(f, fd, &e, room, err);
        if (rc == 0)
            rc = packs_entries_add(out, &e, err);
        if (rc == 0)
            *end = e.offset + e.size;
    }
    free(room);
    return rc == ERR_MALFORMED ? 0 : rc; /* a torn end */
}

int packs_car_write(const struct files *f, int fd, uint64_t offset, const struct cid *cid,
                    struct bytes block, struct err *err)
{
    uint8_t head[CAR_SECTION_HEAD_MAX + TOGETHER_BYTES];
    size_t size = car_section_head(cid, block.size, head);
    if (block.size <= TOGETHER_BYTES) {
        if (block.size > 0)
            memcpy(head + size, block.data, block.size);
        return f->write(f->self, fd, offset, head, size + block.size, err);
    }
    int rc = f->write(f->self, fd, offset, head, size, err);
    FAULT_POINT("packs-inside-block");
    return rc != 0 ? rc : f->write(f->self, fd, offset + size, block.data, block.size, err);
}
