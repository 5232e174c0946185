/* SPDX-License-Identifier: Apache-2.0 */
#include "content/protobuf.h"

#include "base/varint.h"

struct protobuf protobuf_within(struct bytes in, struct bytes run)
{
    size_t at = run.size == 0 ? 0 : (size_t)(run.data - in.data);
    return (struct protobuf){.in = bytes_of(in.data, at + run.size), .at = at};
}

void protobuf_fail(struct protobuf *r, const char *why)
{
    if (r->why == NULL)
        r->why = why;
}

uint64_t protobuf_varint(struct protobuf *r)
{
    uint64_t value = 0;
    if (r->why != NULL)
        return 0;
    size_t left = r->in.size - r->at;
    size_t size =
        left == 0 ? 0
                  : varint_take(bytes_of(r->in.data + r->at, left), VARINT_PROTO_BYTES_MAX, &value);
    if (size == 0)
        protobuf_fail(r, "bad varint");
    r->at += size;
    return value;
}

struct bytes protobuf_run(struct protobuf *r)
{
    size_t start = r->at;
    uint64_t size = protobuf_varint(r);
    if (r->why == NULL && size > r->in.size - r->at) {
        r->at = start;
        protobuf_fail(r, "length goes past the end");
    }
    if (r->why != NULL)
        return bytes_of(NULL, 0);
    struct bytes run = bytes_of(r->in.data + r->at, (size_t)size);
    r->at += (size_t)size;
    return run;
}

uint64_t protobuf_key(struct protobuf *r)
{
    if (r->why != NULL || r->at == r->in.size)
        return 0;
    size_t start = r->at;
    uint64_t key = protobuf_varint(r);
    if (r->why == NULL && key >> 3 == 0) {
        r->at = start;
        protobuf_fail(r, "a field without a number");
    }
    return r->why == NULL ? key : 0;
}

static const uint8_t *take_fixed(struct protobuf *r, size_t size)
{
    if (r->why == NULL && r->in.size - r->at < size)
        protobuf_fail(r, "a fixed field goes past the end");
    if (r->why != NULL)
        return NULL;
    r->at += size;
    return r->in.data + r->at - size;
}

uint32_t protobuf_fixed32(struct protobuf *r)
{
    const uint8_t *at = take_fixed(r, 4);
    return at == NULL ? 0 : bytes_get_u32(at);
}

void protobuf_skip(struct protobuf *r, uint64_t key)
{
    switch (key & 7) {
    case PROTOBUF_VARINT:
        protobuf_varint(r);
        break;
    case PROTOBUF_FIXED64:
        take_fixed(r, 8);
        break;
    case PROTOBUF_RUN:
        protobuf_run(r);
        break;
    case PROTOBUF_FIXED32:
        take_fixed(r, 4);
        break;
    default:
        protobuf_fail(r, "a field of a wire type that is not used");
    }
}
