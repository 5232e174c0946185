/* SPDX-License-Identifier: Apache-2.0 */
#include "study/invitation.h"

#include "base/multibase.h"
#include "base/text.h"
#include "study/record.h"

#define PREFIX      "colmeia-invitation-1:"
#define PREFIX_SIZE (sizeof PREFIX - 1)
#define BYTES_MAX   (INVITATION_STRING_MAX / 4 * 3) /* what a string can hold */

/* --- addresses: what goes to ZeroMQ and curl is spelled out here, character by character --- */

static bool is_word(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' ||
           c == '.' || c == '_';
}

/* A name, an IPv4 address or an IPv6 address in brackets; what stands behind it, or NULL. */
static const char *skip_host(const char *at)
{
    static const char address[] = "0123456789abcdefABCDEF:.";
    const char *start = at;
    if (*at == '[') {
        size_t n = strspn(at + 1, address);
        return n > 0 && at[1 + n] == ']' ? at + n + 2 : NULL;
    }
    while (is_word(*at))
        at++;
    return at > start && *start != '-' && *start != '.' ? at : NULL;
}

/* ":" and a number from 1 to 65535; what stands behind it, or NULL. */
static const char *skip_port(const char *at)
{
    char digits[6] = "";
    uint64_t port;
    size_t n = *at == ':' ? strspn(at + 1, "0123456789") : 0;
    if (n == 0 || n >= sizeof digits || at[1] == '0')
        return NULL;
    memcpy(digits, at + 1, n);
    return text_parse_uint(digits, UINT16_MAX, &port, NULL) == 0 ? at + 1 + n : NULL;
}

static bool is_endpoint(const char *text)
{
    const char *at = strncmp(text, "tcp://", 6) == 0 ? skip_host(text + 6) : NULL;
    if (at != NULL)
        at = skip_port(at);
    return at != NULL && *at == '\0';
}

static bool is_url(const char *text)
{
    const char *at = strncmp(text, "https://", 8) == 0 ? skip_host(text + 8) : NULL;
    if (at != NULL && *at == ':')
        at = skip_port(at);
    if (at == NULL || (*at != '\0' && *at != '/'))
        return false;
    while (is_word(*at) || *at == '/' || *at == '~')
        at++;
    return *at == '\0';
}

/* --- writing --- */

static void put_key(struct buf *out, const char *name, const struct key_public *key)
{
    uint8_t bytes[KEY_MULTICODEC_BYTES];
    key_encode(key, bytes);
    cbor_put_text(out, name);
    cbor_put_bytes(out, bytes_of(bytes, sizeof bytes));
}

static void put_map(const struct invitation *i, struct buf *out)
{
    cbor_put_map(out, 9);
    cbor_put_text(out, "pin");
    cbor_put_bytes(out, bytes_of(i->pin, sizeof i->pin));
    cbor_put_text(out, "plan");
    cbor_put_link(out, &i->plan);
    cbor_put_text(out, "urls");
    cbor_put_array(out, i->url_count);
    for (size_t k = 0; k < i->url_count && k < INVITATION_URLS_MAX; k++)
        cbor_put_text(out, i->urls[k]);
    cbor_put_text(out, "curve");
    cbor_put_bytes(out, bytes_of(i->curve.bytes, KEY_BYTES));
    cbor_put_text(out, "hints");
    cbor_put_text(out, i->hints);
    cbor_put_text(out, "study");
    cbor_put_link(out, &i->study);
    cbor_put_text(out, "control");
    cbor_put_text(out, i->control);
    put_key(out, "founder", &i->founder);
    put_key(out, "coordinator", &i->coordinator);
}

int invitation_format(const struct invitation *i, struct buf *out, struct err *err)
{
    struct buf map = buf_new(BYTES_MAX), text = buf_new(INVITATION_STRING_MAX);
    struct invitation check;
    put_map(i, &map);
    buf_append_text(&text, PREFIX);
    multibase_encode('u', buf_bytes(&map), &text);
    int rc = buf_check(&map, err);
    if (rc == 0)
        rc = buf_check(&text, err);
    if (rc == 0)
        rc = invitation_parse(buf_text(&text), &check, err);
    if (rc == 0) {
        buf_append(out, text.data, text.size);
        rc = buf_check(out, err);
    }
    buf_fini(&text);
    buf_fini(&map);
    return rc;
}

/* --- reading --- */

static struct key_public take_key(struct cbor *c)
{
    struct key_public key = {{0}};
    struct bytes bytes = cbor_take_bytes(c, KEY_MULTICODEC_BYTES);
    if (!c->failed && key_decode(bytes, &key, NULL) != 0)
        cbor_fail(c, "not an Ed25519 key");
    return key;
}

static void take_exactly(struct cbor *c, uint8_t *out, size_t size)
{
    struct bytes bytes = cbor_take_bytes(c, size);
    if (bytes.size != size)
        cbor_fail(c, "bytes of another length");
    if (!c->failed)
        memcpy(out, bytes.data, size);
}

static void take_endpoint(struct cbor *c, char out[256])
{
    cbor_take_string(c, out, 256);
    if (!c->failed && !is_endpoint(out))
        cbor_fail(c, "an endpoint is tcp://HOST:PORT");
}

static void take_urls(struct cbor *c, struct invitation *i)
{
    i->url_count = (size_t)cbor_take_array(c, INVITATION_URLS_MAX);
    if (i->url_count == 0)
        cbor_fail(c, "no address to fetch from");
    for (size_t k = 0; k < i->url_count && !c->failed; k++) {
        cbor_take_string(c, i->urls[k], sizeof i->urls[k]);
        if (!c->failed && !is_url(i->urls[k]))
            cbor_fail(c, "an address is https://HOST[:PORT][/PATH]");
    }
}

static int take_map(struct bytes in, struct invitation *out, struct err *err)
{
    struct cbor c = cbor_reader(in);
    if (cbor_take_map(&c, 9) != 9)
        cbor_fail(&c, "an invitation has nine fields");
    cbor_expect_key(&c, "pin");
    take_exactly(&c, out->pin, sizeof out->pin);
    cbor_expect_key(&c, "plan");
    out->plan = record_item_link(&c);
    cbor_expect_key(&c, "urls");
    take_urls(&c, out);
    cbor_expect_key(&c, "curve");
    take_exactly(&c, out->curve.bytes, KEY_BYTES);
    cbor_expect_key(&c, "hints");
    take_endpoint(&c, out->hints);
    cbor_expect_key(&c, "study");
    out->study = record_item_link(&c);
    cbor_expect_key(&c, "control");
    take_endpoint(&c, out->control);
    cbor_expect_key(&c, "founder");
    out->founder = take_key(&c);
    cbor_expect_key(&c, "coordinator");
    out->coordinator = take_key(&c);
    return cbor_finish(&c, err);
}

int invitation_parse(const char *text, struct invitation *out, struct err *err)
{
    size_t size = strnlen(text, INVITATION_STRING_MAX + 1);
    if (size > INVITATION_STRING_MAX)
        return err_set(err, ERR_LIMIT, "an invitation of more than %d characters",
                       INVITATION_STRING_MAX);
    if (strncmp(text, PREFIX, PREFIX_SIZE) != 0 || text[PREFIX_SIZE] != 'u')
        return err_set(err, ERR_MALFORMED, "not an invitation: it begins with \"" PREFIX "u\"");
    struct buf bytes = buf_new(BYTES_MAX);
    struct invitation i = {.url_count = 0};
    int rc = multibase_decode(text + PREFIX_SIZE, size - PREFIX_SIZE, &bytes, err);
    if (rc == 0)
        rc = take_map(buf_bytes(&bytes), &i, err);
    buf_fini(&bytes);
    if (rc != 0)
        return err_wrap(err, rc, "invitation");
    *out = i;
    return 0;
}
