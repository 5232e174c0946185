/* SPDX-License-Identifier: Apache-2.0 */
#include "transport/msg.h"

#include <assert.h>
#include <stdlib.h>

#include "base/text.h"
#include "transport/msg.pb-c.h"

/* protobuf-c follows any nesting and makes 57 bytes of memory of each byte of empty messages; it
 * lets a field appear twice and passes over what it does not know. So nothing reaches it but what
 * `scan` has walked through. */

#define FIELDS_MAX (MSG_LIST_MAX + 64) /* of a whole message */

enum kind {
    KIND_U32,
    KIND_U64,
    KIND_CID,         /* exactly one CID */
    KIND_CID_OR_NONE, /* or empty */
    KIND_BOOT,        /* MSG_BOOT_BYTES */
    KIND_WORD,        /* char[max]: letters, digits, - and _; at least one */
    KIND_TEXT,        /* char[max]: UTF-8 */
    KIND_BLOB,        /* struct buf: at most `max` bytes */
    KIND_CIDS         /* cids, cid_count */
};

/* Which field of msg.proto is which member of `struct msg`. */
static const struct row {
    enum msg_type type;
    uint32_t field; /* its number */
    enum kind kind;
    size_t max;
    size_t offset;
} rows[] = {
#define ROW(type, field, kind, max, member)                                                        \
    {                                                                                              \
        MSG_##type, field, KIND_##kind, max, offsetof(struct msg, member)                          \
    }
    ROW(HELLO, 1, U32, 0, least),
    ROW(HELLO, 2, U32, 0, most),
    ROW(HELLO, 3, BLOB, MSG_EVIDENCE_MAX, head),
    ROW(HELLO, 4, BLOB, MSG_EVIDENCE_MAX, receipt),
    ROW(HELLO, 5, CID_OR_NONE, 0, site_record),
    ROW(WELCOME, 1, U32, 0, agreed),
    ROW(WELCOME, 2, BOOT, 0, welcome_boot),
    ROW(WELCOME, 3, U32, 0, site),
    ROW(WELCOME, 4, WORD, MSG_TOKEN_MAX, token),
    ROW(WELCOME, 5, U64, 0, token_ms),
    ROW(WELCOME, 6, CID, 0, plan),
    ROW(WELCOME, 7, BLOB, MSG_EVIDENCE_MAX, head),
    ROW(WANT, 1, U64, 0, round),
    ROW(WAIT, 1, TEXT, MSG_TEXT_MAX, text),
    ROW(WAIT, 2, U32, 0, retry_ms),
    ROW(TASK, 1, U64, 0, round),
    ROW(TASK, 2, WORD, MSG_RULE_MAX, rule),
    ROW(TASK, 3, U32, 0, exchange),
    ROW(TASK, 4, CID, 0, plan),
    ROW(TASK, 5, CID, 0, roster),
    ROW(TASK, 6, CID, 0, prev),
    ROW(TASK, 7, CID, 0, base),
    ROW(TASK, 8, U32, 0, site),
    ROW(TASK, 9, BLOB, MSG_EVIDENCE_MAX, head),
    ROW(DONE, 1, BLOB, MSG_EVIDENCE_MAX, head),
    ROW(MISSING, 1, U64, 0, round),
    ROW(MISSING, 2, CID, 0, record),
    ROW(LIST, 1, U64, 0, round),
    ROW(LIST, 2, CID, 0, record),
    ROW(LIST, 3, CIDS, MSG_LIST_MAX, cids),
    ROW(SUBMIT, 1, U64, 0, round),
    ROW(SUBMIT, 2, CID, 0, record),
    ROW(ACCEPTED, 1, U64, 0, round),
    ROW(ACCEPTED, 2, CID, 0, record),
    ROW(ACCEPTED, 3, BLOB, MSG_EVIDENCE_MAX, receipt),
    ROW(REFUSED, 1, U64, 0, round),
    ROW(REFUSED, 2, CID_OR_NONE, 0, record),
    ROW(REFUSED, 3, WORD, MSG_CODE_MAX, code),
    ROW(REFUSED, 4, TEXT, MSG_TEXT_MAX, text),
    ROW(REFUSED, 5, BLOB, MSG_REFUSAL_MAX, refusal),
    ROW(HEAD, 1, U64, 0, round),
    ROW(HEAD, 2, CID, 0, record),
    ROW(DENIED, 1, WORD, MSG_CODE_MAX, code),
    ROW(DENIED, 2, TEXT, MSG_TEXT_MAX, text),
    ROW(DECLINE, 1, U64, 0, round),
    ROW(DECLINE, 2, WORD, MSG_CODE_MAX, code),
#undef ROW
};

#define ROWS (sizeof rows / sizeof rows[0])

static const ProtobufCMessageDescriptor *const envelope = &colmeia__envelope__descriptor;

/* Members of our struct and of protobuf-c's, by their offsets. */
static void *member_of(const struct msg *m, const struct row *r)
{
    return (uint8_t *)(uintptr_t)m + r->offset;
}

static void *place_of(const ProtobufCMessage *body, const ProtobufCFieldDescriptor *f)
{
    return (uint8_t *)(uintptr_t)body + f->offset;
}

static size_t *count_of(const ProtobufCMessage *body, const ProtobufCFieldDescriptor *f)
{
    return (size_t *)((uintptr_t)body + f->quantifier_offset);
}

const char *msg_type_name(enum msg_type t)
{
    const ProtobufCFieldDescriptor *f =
        t < MSG_HELLO ? NULL : protobuf_c_message_descriptor_get_field(envelope, t);
    return f == NULL ? "unknown" : f->name;
}

void msg_init(struct msg *m, enum msg_type type)
{
    memset(m, 0, sizeof *m);
    m->type = type;
    m->version = MSG_VERSION;
    m->head = buf_new(MSG_EVIDENCE_MAX);
    m->receipt = buf_new(MSG_EVIDENCE_MAX);
    m->refusal = buf_new(MSG_REFUSAL_MAX);
}

void msg_fini(struct msg *m)
{
    buf_fini(&m->head);
    buf_fini(&m->receipt);
    buf_fini(&m->refusal);
    free(m->cids);
    m->cids = NULL;
    m->cid_count = 0;
}

/* --- encoding --- */

static ProtobufCBinaryData binary(const void *data, size_t size)
{
    return (ProtobufCBinaryData){.len = size, .data = (uint8_t *)(uintptr_t)data};
}

static int fill_list(const struct msg *m, const struct row *r, const ProtobufCFieldDescriptor *f,
                     ProtobufCMessage *body, struct err *err)
{
    if (m->cid_count > r->max)
        return err_set(err, ERR_LIMIT, "%zu CIDs; at most %zu fit", m->cid_count, r->max);
    ProtobufCBinaryData *items = calloc(m->cid_count + 1, sizeof *items);
    if (items == NULL)
        return err_set(err, ERR_NOMEM, "out of memory");
    for (size_t i = 0; i < m->cid_count; i++)
        items[i] = binary(m->cids[i].bytes, m->cids[i].size);
    *count_of(body, f) = m->cid_count;
    memcpy(place_of(body, f), &items, sizeof items);
    return 0;
}

/* Lets one field of `body` point at the member; only a list is memory of its own. */
static int fill_field(const struct msg *m, const struct row *r, ProtobufCMessage *body,
                      struct err *err)
{
    const ProtobufCFieldDescriptor *f =
        protobuf_c_message_descriptor_get_field(body->descriptor, r->field);
    const void *from = member_of(m, r);
    const struct cid *cid = from;
    const struct buf *blob = from;
    ProtobufCBinaryData data = {0};
    switch (r->kind) {
    case KIND_U32:
        memcpy(place_of(body, f), from, sizeof(uint32_t));
        return 0;
    case KIND_U64:
        memcpy(place_of(body, f), from, sizeof(uint64_t));
        return 0;
    case KIND_WORD:
    case KIND_TEXT:
        memcpy(place_of(body, f), &from, sizeof from);
        return 0;
    case KIND_CIDS:
        return fill_list(m, r, f, body, err);
    case KIND_CID:
    case KIND_CID_OR_NONE:
        data = binary(cid->bytes, cid->size);
        break;
    case KIND_BOOT:
        data = binary(from, MSG_BOOT_BYTES);
        break;
    case KIND_BLOB:
        if (blob->size > r->max)
            return err_set(err, ERR_LIMIT, "%s of %zu bytes; at most %zu fit", f->name, blob->size,
                           r->max);
        data = binary(blob->data, blob->size);
        break;
    }
    memcpy(place_of(body, f), &data, sizeof data);
    return 0;
}

static int pack(const ProtobufCMessage *message, struct buf *out, struct err *err)
{
    size_t size = protobuf_c_message_get_packed_size(message);
    if (size > MSG_BYTES_MAX)
        return err_set(err, ERR_LIMIT, "%zu bytes; a control message has at most %u", size,
                       MSG_BYTES_MAX);
    struct buf packed = buf_new(MSG_BYTES_MAX);
    uint8_t *at = buf_extend(&packed, size);
    if (at == NULL)
        return buf_check(&packed, err);
    protobuf_c_message_pack(message, at);
    buf_fini(out);
    *out = packed;
    return 0;
}

/* Frees a body made by msg_encode: itself and its list, if it has one. */
static void free_body(const struct msg *m, ProtobufCMessage *body)
{
    if (body != NULL && m->type == MSG_LIST)
        free(((Colmeia__List *)body)->cids);
    free(body);
}

int msg_encode(const struct msg *m, struct buf *out, struct err *err)
{
    assert(m->type >= MSG_HELLO && m->type <= MSG_DECLINE);
    const ProtobufCFieldDescriptor *f = protobuf_c_message_descriptor_get_field(envelope, m->type);
    const ProtobufCMessageDescriptor *type = f->descriptor;
    Colmeia__Envelope e = COLMEIA__ENVELOPE__INIT;
    ProtobufCMessage *body = calloc(1, type->sizeof_message);
    int rc = body == NULL ? err_set(err, ERR_NOMEM, "out of memory") : 0;
    if (rc != 0)
        return rc;
    type->message_init(body);
    for (size_t i = 0; rc == 0 && i < ROWS; i++)
        if (rows[i].type == m->type)
            rc = fill_field(m, &rows[i], body, err);
    e.version = m->version;
    e.study = binary(m->study.bytes, m->study.size);
    e.sequence = m->sequence;
    if (m->has_boot)
        e.boot = binary(m->boot, MSG_BOOT_BYTES);
    e.body_case = (Colmeia__Envelope__BodyCase)m->type;
    memcpy(place_of(&e.base, f), &body, sizeof body);
    if (rc == 0)
        rc = pack(&e.base, out, err);
    free_body(m, body);
    return rc == 0 ? 0 : err_wrap(err, rc, "%s message", f->name);
}

/* --- the scan before protobuf-c --- */

/* Takes a varint in its shortest form. */
static bool take_varint(struct bytes *in, uint64_t *out)
{
    uint64_t value = 0;
    for (size_t i = 0; i < 10 && i < in->size; i++) {
        uint8_t byte = in->data[i];
        if (i == 9 && byte > 1)
            return false;
        value |= (uint64_t)(byte & 0x7f) << (7 * i);
        if (byte < 0x80) {
            *out = value;
            *in = bytes_of(in->data + i + 1, in->size - i - 1);
            return i == 0 || byte != 0;
        }
    }
    return false;
}

struct scan {
    size_t fields; /* of the whole message so far */
};

/* May `f` stand here (again)? `seen` has a bit for each field of its message. */
static int scan_place(struct scan *s, const ProtobufCMessageDescriptor *d,
                      const ProtobufCFieldDescriptor *f, uint64_t *seen, struct err *err)
{
    if (++s->fields > FIELDS_MAX)
        return err_set(err, ERR_LIMIT, "more than %d fields", FIELDS_MAX);
    if (f->label == PROTOBUF_C_LABEL_REPEATED)
        return 0;
    uint64_t bit = UINT64_C(1) << (f - d->fields);
    if ((f->flags & PROTOBUF_C_FIELD_FLAG_ONEOF) != 0)
        bit = UINT64_C(1) << 63; /* of all members of the one-of, one may stand there */
    if ((*seen & bit) != 0)
        return err_set(err, ERR_MALFORMED, "%s stands twice", f->name);
    *seen |= bit;
    return 0;
}

static int scan_message(struct scan *s, const ProtobufCMessageDescriptor *d, struct bytes in,
                        struct err *err);

/* The value of `f`, taken off `in`. */
static int scan_value(struct scan *s, const ProtobufCFieldDescriptor *f, unsigned wire,
                      struct bytes *in, struct err *err)
{
    uint64_t value;
    bool number = f->type == PROTOBUF_C_TYPE_UINT32 || f->type == PROTOBUF_C_TYPE_UINT64;
    if (wire != (number ? 0 : 2))
        return err_set(err, ERR_MALFORMED, "%s has wire type %u", f->name, wire);
    if (!take_varint(in, &value))
        return err_set(err, ERR_MALFORMED, "%s ends early or is not a varint", f->name);
    if (f->type == PROTOBUF_C_TYPE_UINT32 && value > UINT32_MAX)
        return err_set(err, ERR_MALFORMED, "%s has more than 32 bits", f->name);
    if (number)
        return 0;
    if (value > in->size)
        return err_set(err, ERR_MALFORMED, "%s is longer than what is left", f->name);
    struct bytes content = bytes_of(in->data, (size_t)value);
    *in = bytes_of(in->data + value, in->size - (size_t)value);
    if (f->type == PROTOBUF_C_TYPE_STRING && !text_is_utf8(content))
        return err_set(err, ERR_MALFORMED, "%s is not UTF-8", f->name);
    if (f->type != PROTOBUF_C_TYPE_MESSAGE)
        return 0;
    int rc = scan_message(s, f->descriptor, content, err);
    return rc == 0 ? 0 : err_wrap(err, rc, "%s", f->name);
}

/* Recursion ends at the second level, since no type of the schema holds itself. */
static int scan_message(struct scan *s, const ProtobufCMessageDescriptor *d, struct bytes in,
                        struct err *err)
{
    uint64_t seen = 0;
    while (in.size > 0) {
        uint64_t key;
        if (!take_varint(&in, &key) || key >> 3 > UINT32_MAX)
            return err_set(err, ERR_MALFORMED, "not a field");
        const ProtobufCFieldDescriptor *f =
            protobuf_c_message_descriptor_get_field(d, (unsigned)(key >> 3));
        if (f == NULL)
            return err_set(err, ERR_MALFORMED, "unknown field %llu",
                           (unsigned long long)(key >> 3));
        int rc = scan_place(s, d, f, &seen, err);
        if (rc == 0)
            rc = scan_value(s, f, (unsigned)(key & 7), &in, err);
        if (rc != 0)
            return rc;
    }
    return 0;
}

/* --- decoding --- */

static bool is_word(const char *text)
{
    static const char allowed[] =
        "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_";
    return text[0] != '\0' && text[strspn(text, allowed)] == '\0';
}

static int take_text(const struct row *r, const char *text, char *out, struct err *err)
{
    size_t size = strlen(text);
    if (size >= r->max)
        return err_set(err, ERR_LIMIT, "%zu bytes; at most %zu are allowed", size, r->max - 1);
    if (r->kind == KIND_WORD && !is_word(text))
        return err_set(err, ERR_MALFORMED, "not a word of letters, digits, - and _");
    memcpy(out, text, size + 1);
    return 0;
}

static int take_boot(struct bytes in, uint8_t out[MSG_BOOT_BYTES], struct err *err)
{
    if (in.size != MSG_BOOT_BYTES)
        return err_set(err, ERR_MALFORMED, "a boot id of %zu bytes", in.size);
    memcpy(out, in.data, MSG_BOOT_BYTES);
    return 0;
}

static int take_blob(const struct row *r, struct bytes in, struct buf *out, struct err *err)
{
    if (in.size > r->max)
        return err_set(err, ERR_LIMIT, "%zu bytes; at most %zu are allowed", in.size, r->max);
    buf_append(out, in.data, in.size);
    return buf_check(out, err);
}

static int take_list(const struct row *r, const ProtobufCBinaryData *items, size_t count,
                     struct msg *m, struct err *err)
{
    if (count > r->max)
        return err_set(err, ERR_LIMIT, "%zu CIDs; at most %zu are allowed", count, r->max);
    m->cids = calloc(count + 1, sizeof *m->cids);
    if (m->cids == NULL)
        return err_set(err, ERR_NOMEM, "out of memory");
    m->cid_count = count;
    int rc = 0;
    for (size_t i = 0; rc == 0 && i < count; i++)
        rc = cid_decode(bytes_of(items[i].data, items[i].len), &m->cids[i], err);
    return rc;
}

/* Checks one field of `body` into its member. */
static int take_field(const struct row *r, const ProtobufCMessage *body, struct msg *m,
                      struct err *err)
{
    const ProtobufCFieldDescriptor *f =
        protobuf_c_message_descriptor_get_field(body->descriptor, r->field);
    const void *place = place_of(body, f);
    const void *pointer; /* of a string or list */
    ProtobufCBinaryData data;
    memcpy(&pointer, place, sizeof pointer);
    switch (r->kind) {
    case KIND_U32:
        memcpy(member_of(m, r), place, sizeof(uint32_t));
        return 0;
    case KIND_U64:
        memcpy(member_of(m, r), place, sizeof(uint64_t));
        return 0;
    case KIND_WORD:
    case KIND_TEXT:
        return take_text(r, pointer, member_of(m, r), err);
    case KIND_CIDS:
        return take_list(r, pointer, *count_of(body, f), m, err);
    case KIND_CID:
    case KIND_CID_OR_NONE:
    case KIND_BOOT:
    case KIND_BLOB:
        break;
    }
    memcpy(&data, place, sizeof data);
    struct bytes in = bytes_of(data.data, data.len);
    if (r->kind == KIND_BLOB)
        return take_blob(r, in, member_of(m, r), err);
    if (r->kind == KIND_BOOT)
        return take_boot(in, member_of(m, r), err);
    if (r->kind == KIND_CID_OR_NONE && in.size == 0)
        return 0;
    return cid_decode(in, member_of(m, r), err);
}

static int take_envelope(const Colmeia__Envelope *e, struct msg *m, struct err *err)
{
    if (e->version != MSG_VERSION)
        return err_set(err, ERR_UNSUPPORTED, "version %u; this program speaks %d", e->version,
                       MSG_VERSION);
    m->sequence = e->sequence;
    m->has_boot = e->boot.len > 0;
    if (m->has_boot && take_boot(bytes_of(e->boot.data, e->boot.len), m->boot, err) != 0)
        return ERR_MALFORMED;
    int rc = cid_decode(bytes_of(e->study.data, e->study.len), &m->study, err);
    return rc == 0 ? 0 : err_wrap(err, rc, "study");
}

static int take_body(const ProtobufCMessage *body, struct msg *m, struct err *err)
{
    for (size_t i = 0; i < ROWS; i++) {
        int rc = rows[i].type == m->type ? take_field(&rows[i], body, m, err) : 0;
        if (rc != 0)
            return err_wrap(
                err, rc, "%s",
                protobuf_c_message_descriptor_get_field(body->descriptor, rows[i].field)->name);
    }
    if (m->type == MSG_HELLO && (m->least == 0 || m->least > m->most))
        return err_set(err, ERR_MALFORMED, "versions %u to %u", m->least, m->most);
    if (m->type == MSG_WELCOME && m->agreed == 0)
        return err_set(err, ERR_MALFORMED, "version 0");
    return 0;
}

int msg_decode(struct bytes in, struct msg *out, struct err *err)
{
    struct scan s = {0};
    struct msg m;
    if (in.size > MSG_BYTES_MAX)
        return err_set(err, ERR_LIMIT, "a message of %zu bytes; at most %u are allowed", in.size,
                       MSG_BYTES_MAX);
    int rc = scan_message(&s, envelope, in, err);
    if (rc != 0)
        return err_wrap(err, rc, "message");
    Colmeia__Envelope *e = colmeia__envelope__unpack(NULL, in.size, in.data);
    if (e == NULL)
        return err_set(err, ERR_MALFORMED, "message: not protobuf");
    msg_init(&m, (enum msg_type)e->body_case);
    rc = take_envelope(e, &m, err);
    if (rc == 0 && e->body_case == COLMEIA__ENVELOPE__BODY__NOT_SET)
        rc = err_set(err, ERR_MALFORMED, "no body");
    if (rc == 0) {
        const ProtobufCMessage *body;
        memcpy(&body, &e->hello, sizeof body); /* of the union of pointers, whichever is set */
        rc = take_body(body, &m, err);
    }
    colmeia__envelope__free_unpacked(e, NULL);
    if (rc != 0) {
        msg_fini(&m);
        return err_wrap(err, rc, "%s message", msg_type_name(m.type));
    }
    *out = m;
    return 0;
}
