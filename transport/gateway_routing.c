/* SPDX-License-Identifier: Apache-2.0 */
#include "transport/gateway_routing.h"

#include <stdio.h>

#define PROTOCOL      "transport-ipfs-gateway-http"
#define NDJSON        "application/x-ndjson"
#define FOUND_SECONDS 300
#define EMPTY_SECONDS 15
#define STALE         "stale-while-revalidate=172800, stale-if-error=172800"
#define FILTER_MAX    1024

/* Is `name` one of the multiaddr's parts? */
static bool has_protocol(const char *multiaddr, const char *name, size_t size)
{
    for (const char *at = multiaddr; (at = strchr(at, '/')) != NULL;) {
        at++;
        if (strncmp(at, name, size) == 0 && (at[size] == '/' || at[size] == '\0'))
            return true;
    }
    return false;
}

bool gateway_routing_lets(const char *filter, const char *multiaddr)
{
    bool any = false, wanted = false;
    for (const char *at = filter; at != NULL && *at != '\0';) {
        size_t size = strcspn(at, ",");
        bool not = *at == '!';
        bool has = size > (size_t) not &&has_protocol(multiaddr, at + not, size - (size_t) not );
        if (not &&has)
            return false;
        any = any || (!not &&size > 0);
        wanted = wanted || (!not &&has);
        at += size + (at[size] == ',');
    }
    return !any || wanted;
}

/* A query's filter, its commas perhaps escaped; true: `out` is it. */
static bool read_filter(const struct http_request *r, const char *name, struct buf *out)
{
    const char *value = r->query(r, name);
    buf_clear(out);
    return value != NULL && *value != '\0' && http_server_unescape(value, out, NULL) == 0;
}

static bool is_asked_for(const struct gateway_visit *v, const struct http_request *r)
{
    struct buf filter = buf_new(FILTER_MAX);
    bool good = true;
    if (read_filter(r, "filter-protocols", &filter))
        good = gateway_want_lists(buf_text(&filter), PROTOCOL);
    if (good && read_filter(r, "filter-addrs", &filter))
        good = gateway_routing_lets(buf_text(&filter), v->g->provider);
    buf_fini(&filter);
    return good;
}

void gateway_routing_answer(struct gateway_visit *v, const struct http_request *r,
                            struct http_response *out)
{
    const char *accept = r->header(r, "Accept");
    bool lines = accept != NULL && gateway_want_lists(accept, NDJSON);
    bool found = v->g->provider[0] != '\0' && gateway_visit_has(v, &v->root) && is_asked_for(v, r);
    char provider[768] = "";
    if (found) /* both are ours: nothing in them needs escaping */
        snprintf(provider, sizeof provider,
                 "{\"Schema\":\"peer\",\"ID\":\"%s\",\"Addrs\":[\"%s\"],\"Protocols\":"
                 "[\"" PROTOCOL "\"]}",
                 v->g->peer, v->g->provider);
    if (lines)
        buf_append_format(&out->body, "%s%s", provider, found ? "\n" : "");
    else
        buf_append_format(&out->body, "{\"Providers\":[%s]}\n", provider);
    buf_append_format(&out->headers,
                      "Content-Type: %s\nVary: Accept\n"
                      "Cache-Control: public, max-age=%d, " STALE "\n",
                      lines ? NDJSON : "application/json", found ? FOUND_SECONDS : EMPTY_SECONDS);
    out->status = 200;
    v->sent = v->head ? 0 : out->body.size;
}
