/* SPDX-License-Identifier: Apache-2.0 */
#include "transport/http_server.h"

#include <arpa/inet.h>
#include <errno.h>
#include <microhttpd.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "transport/http_guard.h"
#include "transport/http_places.h"

#define POOL_THREADS      4
#define CONNECTION_MEMORY (64u << 10) /* each connection's for good; a TLS record is 16 KiB */
#define RESPONSE_MAX      (3u << 20)
#define HEADERS_MAX       (24u << 10)
#define SENTENCE_MAX      512
#define SMALL_BODY        (32u << 10) /* holds no place while it is sent */
#define STREAM_PIECE      (256u << 10)
#define SENDING_SECONDS   5 /* of Retry-After, where transfers would have to end first */
#define BACKLOG           256
#define TLS_PRIORITIES                                                                             \
    "SECURE128:-VERS-ALL:+VERS-TLS1.3:+VERS-TLS1.2:-CIPHER-ALL:+AES-128-GCM:+AES-256-GCM:"         \
    "+CHACHA20-POLY1305"

struct http_server {
    struct MHD_Daemon *daemon;
    struct http_guard *guard;
    struct http_handler handler;
    struct http_places *places;
    bool tls;
    uint16_t port;
};

/* A connection, from its opening to its end. */
struct link {
    struct http_guarded *guarded;
    bool refused; /* its client may still be sending what was refused */
};

/* What the library holds of an answer that is made while it is sent. It may let go of it before or
 * after the request is over. */
struct carrier {
    struct exchange *exchange; /* NULL: over */
};

/* One request from its headers to its end. */
struct exchange {
    struct http_request request;
    struct MHD_Connection *connection;
    bool begun;   /* the handler's begin was called */
    bool decided; /* `response` is the answer */
    struct http_place place;
    struct carrier *carrier;
    struct http_response response;
};

static const char *header_of(const struct http_request *r, const char *name)
{
    const struct exchange *x = r->raw;
    return MHD_lookup_connection_value(x->connection, MHD_HEADER_KIND, name);
}

static const char *query_of(const struct http_request *r, const char *name)
{
    const struct exchange *x = r->raw;
    return MHD_lookup_connection_value(x->connection, MHD_GET_ARGUMENT_KIND, name);
}

/* --- answers --- */

bool http_server_say(struct http_response *out, int status, const char *format, ...)
{
    char sentence[SENTENCE_MAX];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(sentence, sizeof sentence, format, arguments);
    va_end(arguments);
    out->status = status;
    buf_clear(&out->body);
    buf_append_text(&out->headers, "Content-Type: text/plain; charset=utf-8\n");
    buf_append_format(&out->body, "%s\n", sentence);
    return false;
}

static void add_headers(struct MHD_Response *response, struct buf *lines)
{
    char *rest = NULL;
    for (char *line = strtok_r((char *)(uintptr_t)buf_text(lines), "\n", &rest); line != NULL;
         line = strtok_r(NULL, "\n", &rest)) {
        char *colon = strstr(line, ": ");
        if (colon == NULL)
            continue;
        *colon = '\0';
        MHD_add_response_header(response, line, colon + 2);
    }
}

int http_server_load_file(struct http_response *r, struct err *err)
{
    int rc = 0;
    size_t at = 0;
    if (r->file.fd < 0)
        return 0;
    buf_clear(&r->body);
    if (r->file.size > RESPONSE_MAX || buf_extend(&r->body, (size_t)r->file.size) == NULL)
        rc = err_set(err, ERR_LIMIT, "a file of %llu bytes is not for memory",
                     (unsigned long long)r->file.size);
    while (rc == 0 && at < r->file.size) {
        ssize_t n = pread(r->file.fd, r->body.data + at, (size_t)r->file.size - at,
                          (off_t)(r->file.offset + at));
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            rc = err_errno(err, "read the answer");
        else if (n == 0)
            rc = err_set(err, ERR_IO, "the answer's file ends early");
        else
            at += (size_t)n;
    }
    close(r->file.fd);
    r->file.fd = -1;
    return rc;
}

static ssize_t carry(void *self, uint64_t at, char *data, size_t size)
{
    (void)at;
    struct carrier *c = self;
    struct http_stream *stream = c->exchange == NULL ? NULL : &c->exchange->response.stream;
    long n = stream == NULL || stream->read == NULL
                 ? -1
                 : stream->read(stream->self, (uint8_t *)data, size);
    return n > 0 ? (ssize_t)n
                 : (n == 0 ? MHD_CONTENT_READER_END_OF_STREAM : MHD_CONTENT_READER_END_WITH_ERROR);
}

static void drop_carrier(void *self)
{
    struct carrier *c = self;
    if (c->exchange != NULL)
        c->exchange->carrier = NULL;
    free(c);
}

static bool is_head(const struct exchange *x)
{
    return strcmp(x->request.method, "HEAD") == 0;
}

static struct MHD_Response *make_stream(struct exchange *x)
{
    uint64_t size =
        x->response.stream_bytes == UINT64_MAX ? MHD_SIZE_UNKNOWN : x->response.stream_bytes;
    struct carrier *c = calloc(1, sizeof *c);
    struct MHD_Response *response =
        c == NULL ? NULL
                  : MHD_create_response_from_callback(size, STREAM_PIECE, carry, c, drop_carrier);
    if (response == NULL) {
        free(c);
        return NULL;
    }
    /* The library would end even the body that a HEAD does not get with a last chunk, and the
     * client take that for the next answer. */
    if (size == MHD_SIZE_UNKNOWN && is_head(x))
        MHD_set_response_options(response, MHD_RF_HTTP_1_0_COMPATIBLE_STRICT, MHD_RO_END);
    c->exchange = x;
    x->carrier = c;
    return response;
}

static struct MHD_Response *make_response(struct exchange *x)
{
    struct http_response *r = &x->response;
    struct MHD_Response *response;
    if (r->stream.read != NULL)
        return make_stream(x);
    if (r->file.fd >= 0) {
        response =
            MHD_create_response_from_fd_at_offset64(r->file.size, r->file.fd, r->file.offset);
        if (response != NULL)
            r->file.fd = -1; /* the library's now, as a body's memory is */
        return response;
    }
    if (r->body.size == 0)
        return MHD_create_response_from_buffer(0, NULL, MHD_RESPMEM_PERSISTENT);
    response = MHD_create_response_from_buffer(r->body.size, r->body.data, MHD_RESPMEM_MUST_FREE);
    if (response != NULL)
        r->body = buf_new(RESPONSE_MAX);
    return response;
}

/* A failure of ours, while nothing was sent: 500 and no more. */
static void forget_answer(struct http_response *r)
{
    buf_clear(&r->body);
    buf_clear(&r->headers);
    if (r->file.fd >= 0)
        close(r->file.fd);
    r->file.fd = -1;
    if (r->stream.read != NULL && r->stream.end != NULL)
        r->stream.end(r->stream.self);
    r->stream = (struct http_stream){0};
}

/* Does the answer, while it is sent, hold memory worth counting? */
static bool holds_memory(const struct exchange *x)
{
    const struct http_response *r = &x->response;
    return r->stream.read != NULL ? !is_head(x) : r->file.fd < 0 && r->body.size > SMALL_BODY;
}

/* It may be sent slowly, to one of many: another time, then. */
static void refuse_sending(struct exchange *x, int status)
{
    struct http_response *r = &x->response;
    forget_answer(r);
    buf_append_format(&r->headers, "Retry-After: %d\n", SENDING_SECONDS);
    (void)http_server_say(r, status,
                          status == 429 ? "busy: your address has its share of transfers"
                                        : "busy: too many transfers at once");
}

/* From now on the reader says how long it takes. A file that was loaded stays what it was. */
static void settle_place(struct http_server *s, struct exchange *x, bool loaded)
{
    const union MHD_ConnectionInfo *to =
        MHD_get_connection_info(x->connection, MHD_CONNECTION_INFO_CLIENT_ADDRESS);
    int status = 0;
    if (holds_memory(x) && !loaded)
        status = http_places_keep(s->places, &x->place, to == NULL ? NULL : to->client_addr);
    if (status != 0)
        refuse_sending(x, status);
    if (!holds_memory(x))
        http_places_leave(s->places, &x->place);
}

/* Hands the answer to libmicrohttpd; the body's memory goes with it, uncopied. To a HEAD it sends
 * the body's length alone. Encryption reads what it sends: from memory it is twice as fast. */
static enum MHD_Result queue(struct http_server *s, struct exchange *x)
{
    struct http_response *r = &x->response;
    bool load = r->file.fd >= 0 &&
                (r->file.size == 0 || (s->tls && r->file.size <= RESPONSE_MAX && !is_head(x)));
    if ((load && http_server_load_file(r, NULL) != 0) || r->body.failed || r->headers.failed) {
        forget_answer(r);
        r->status = 500;
    }
    settle_place(s, x, load);
    struct MHD_Response *response = make_response(x);
    if (response == NULL)
        return MHD_NO;
    add_headers(response, &r->headers);
    enum MHD_Result result = MHD_queue_response(x->connection, (unsigned)r->status, response);
    MHD_destroy_response(response);
    return result;
}

/* --- text --- */

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

int http_server_unescape(const char *text, struct buf *out, struct err *err)
{
    for (const char *at = text; *at != '\0'; at++) {
        int high = *at == '%' ? hex_digit(at[1]) : 0;
        int low = *at == '%' && high >= 0 ? hex_digit(at[2]) : 0;
        if (high < 0 || low < 0)
            return err_set(err, ERR_MALFORMED, "a %%-escape at %zu that is none",
                           (size_t)(at - text));
        if (*at != '%') {
            buf_append_byte(out, (uint8_t)*at);
            continue;
        }
        if (high == 0 && low == 0)
            return err_set(err, ERR_MALFORMED, "a NUL at %zu", (size_t)(at - text));
        buf_append_byte(out, (uint8_t)(high << 4 | low));
        at += 2;
    }
    return buf_check(out, err);
}

/* --- what is refused before any handler sees it --- */

struct headers_seen {
    unsigned lengths, encodings, tokens, hosts;
    bool odd_name;
};

static bool is_name(const char *text)
{
    if (*text == '\0')
        return false;
    for (; *text != '\0'; text++)
        if (!(*text >= 'a' && *text <= 'z') && !(*text >= 'A' && *text <= 'Z') &&
            !(*text >= '0' && *text <= '9') && strchr("-_.!#$%&'*+^`|~", *text) == NULL)
            return false;
    return true;
}

static enum MHD_Result see_header(void *self, enum MHD_ValueKind kind, const char *name,
                                  const char *value)
{
    (void)kind;
    (void)value;
    struct headers_seen *seen = self;
    seen->lengths += strcasecmp(name, "Content-Length") == 0;
    seen->encodings += strcasecmp(name, "Transfer-Encoding") == 0;
    seen->tokens += strcasecmp(name, "Authorization") == 0;
    seen->hosts += strcasecmp(name, "Host") == 0;
    seen->odd_name = seen->odd_name || !is_name(name);
    return MHD_YES;
}

static uint64_t length_of(const struct http_request *r)
{
    const char *text = r->header(r, "Content-Length");
    return text == NULL ? 0 : strtoull(text, NULL, 10); /* digits only: the library saw to that */
}

/* Is this one request, to every reader alike, and within the limits? Else says what is wrong. */
static bool is_sound(struct exchange *x)
{
    struct headers_seen seen = {0};
    struct http_response *out = &x->response;
    MHD_get_connection_values(x->connection, MHD_HEADER_KIND, see_header, &seen);
    const union MHD_ConnectionInfo *size =
        MHD_get_connection_info(x->connection, MHD_CONNECTION_INFO_REQUEST_HEADER_SIZE);
    bool put = strcmp(x->request.method, "PUT") == 0;
    if (size == NULL || size->header_size > HTTP_HEADER_BYTES_MAX)
        return http_server_say(out, 431, "headers of more than %u bytes", HTTP_HEADER_BYTES_MAX);
    if (strlen(x->request.path) > HTTP_PATH_MAX)
        return http_server_say(out, 414, "a path of more than %d bytes", HTTP_PATH_MAX);
    if (seen.odd_name || seen.lengths > 1 || seen.tokens > 1 || seen.hosts > 1)
        return http_server_say(out, 400, "headers that could be read in two ways");
    if (seen.encodings > 0 && (seen.lengths > 0 || !put))
        return http_server_say(out, 400, "a Transfer-Encoding that could be read in two ways");
    if (put && seen.lengths == 0)
        return http_server_say(out, 411, "a PUT must say its Content-Length");
    if (!put && x->request.body_bytes > 0)
        return http_server_say(out, 400, "a %.16s has no body", x->request.method);
    if (x->request.body_bytes > HTTP_UPLOAD_BYTES_MAX)
        return http_server_say(out, 413, "a body of more than %u bytes", HTTP_UPLOAD_BYTES_MAX);
    return true;
}

/* --- a request's life --- */

static struct link *link_of(struct MHD_Connection *connection)
{
    const union MHD_ConnectionInfo *info =
        MHD_get_connection_info(connection, MHD_CONNECTION_INFO_SOCKET_CONTEXT);
    return info == NULL ? NULL : info->socket_context;
}

static void set_owes(struct http_server *s, struct MHD_Connection *connection, bool owes)
{
    struct link *l = link_of(connection);
    if (l != NULL)
        http_guard_owes(s->guard, l->guarded, owes);
}

static bool take_place(struct http_server *s, struct exchange *x)
{
    if (http_places_take(s->places, &x->place))
        return true;
    buf_append_text(&x->response.headers, "Retry-After: 1\n");
    return http_server_say(&x->response, 503, "busy: too many transfers at once");
}

/* Headers are in: the first call for a request. */
static enum MHD_Result begin(struct http_server *s, struct MHD_Connection *connection,
                             const char *path, const char *method, void **slot)
{
    struct exchange *x = calloc(1, sizeof *x);
    if (x == NULL)
        return MHD_NO;
    *x = (struct exchange){.connection = connection,
                           .response = {.body = buf_new(RESPONSE_MAX),
                                        .headers = buf_new(HEADERS_MAX),
                                        .file = {.fd = -1},
                                        .stream_bytes = UINT64_MAX}};
    /* `method` and `path` live as long as the request. */
    x->request = (struct http_request){
        .method = method, .path = path, .header = header_of, .query = query_of, .raw = x};
    x->request.body_bytes = length_of(&x->request);
    *slot = x;
    set_owes(s, connection, false);
    bool sound = is_sound(x);
    if (!sound || !take_place(s, x)) {
        x->decided = true;
    } else {
        x->begun = true;
        x->decided = !s->handler.begin(s->handler.self, &x->request, &x->response);
    }
    if (x->decided)
        http_places_leave(s->places, &x->place);
    if (!x->decided || (sound && x->request.body_bytes == 0))
        return MHD_YES; /* the answer, when the request is whole */
    /* Now, unread: the library closes behind it. */
    struct link *l = link_of(connection);
    if (l != NULL)
        l->refused = true;
    return queue(s, x);
}

static enum MHD_Result on_request(void *self, struct MHD_Connection *connection, const char *path,
                                  const char *method, const char *version, const char *data,
                                  size_t *size, void **slot)
{
    (void)version;
    struct http_server *s = self;
    struct exchange *x = *slot;
    if (x == NULL)
        return begin(s, connection, path, method, slot);
    if (*size > 0) {
        struct bytes piece = bytes_of(data, *size);
        *size = 0;
        if (!x->decided)
            x->decided = !s->handler.body(s->handler.self, &x->request, piece, &x->response);
        return MHD_YES;
    }
    if (!x->decided)
        s->handler.answer(s->handler.self, &x->request, &x->response);
    return queue(s, x);
}

static void on_end(void *self, struct MHD_Connection *connection, void **slot,
                   enum MHD_RequestTerminationCode code)
{
    (void)code;
    struct http_server *s = self;
    struct exchange *x = *slot;
    if (x == NULL)
        return;
    if (x->carrier != NULL)
        x->carrier->exchange = NULL;
    forget_answer(&x->response);
    if (x->begun)
        s->handler.end(s->handler.self, &x->request);
    http_places_leave(s->places, &x->place);
    set_owes(s, connection, true);
    buf_fini(&x->response.body);
    buf_fini(&x->response.headers);
    free(x);
    *slot = NULL;
}

static void on_connection(void *self, struct MHD_Connection *connection, void **slot,
                          enum MHD_ConnectionNotificationCode code)
{
    struct http_server *s = self;
    struct link *l = *slot;
    if (code == MHD_CONNECTION_NOTIFY_STARTED) {
        const union MHD_ConnectionInfo *info =
            MHD_get_connection_info(connection, MHD_CONNECTION_INFO_CONNECTION_FD);
        l = calloc(1, sizeof *l);
        if (l != NULL && info != NULL)
            l->guarded = http_guard_open(s->guard, info->connect_fd);
        *slot = l;
    } else if (l != NULL) {
        http_guard_close(s->guard, l->guarded, l->refused);
        free(l);
        *slot = NULL;
    }
}

/* Paths and queries stay as they came: nothing we serve has a character that needs coding. */
static size_t decode_nothing(void *self, struct MHD_Connection *connection, char *text)
{
    (void)self;
    (void)connection;
    return strlen(text);
}

/* --- opening --- */

static int open_socket(const struct http_server_config *c, int *out, struct err *err)
{
    char port[8];
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_PASSIVE | AI_NUMERICSERV};
    struct addrinfo *found = NULL;
    snprintf(port, sizeof port, "%u", c->port);
    int why = getaddrinfo(c->host, port, &hints, &found);
    if (why != 0)
        return err_set(err, ERR_USAGE, "address %s: %s", c->host, gai_strerror(why));
    int fd = socket(found->ai_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    int on = 1, rc = 0;
    if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) != 0 ||
        bind(fd, found->ai_addr, found->ai_addrlen) != 0 || listen(fd, BACKLOG) != 0) {
        rc = err_errno(err, "listen on %s port %u", c->host, c->port);
        if (fd >= 0)
            close(fd);
    }
    freeaddrinfo(found);
    if (rc == 0)
        *out = fd;
    return rc;
}

static uint16_t port_of(int fd)
{
    struct sockaddr_storage a;
    socklen_t size = sizeof a;
    if (getsockname(fd, (struct sockaddr *)&a, &size) != 0)
        return 0;
    if (a.ss_family == AF_INET6)
        return ntohs(((struct sockaddr_in6 *)&a)->sin6_port);
    return ntohs(((struct sockaddr_in *)&a)->sin_port);
}

static struct MHD_Daemon *start_daemon(struct http_server *s, const struct http_server_config *c,
                                       int fd)
{
    bool tls = c->key_pem != NULL;
    /* Threads that have all the connections they may have do not watch the socket, by which they
     * would be told to end: ITC tells them. */
    unsigned flags = MHD_USE_EPOLL_INTERNAL_THREAD | MHD_USE_ITC | (tls ? MHD_USE_TLS : 0u);
    struct MHD_OptionItem tls_options[] = {
        {MHD_OPTION_HTTPS_MEM_KEY, 0, (void *)(uintptr_t)c->key_pem},
        {MHD_OPTION_HTTPS_MEM_CERT, 0, (void *)(uintptr_t)c->certificate_pem},
        {MHD_OPTION_HTTPS_PRIORITIES, 0, (void *)(uintptr_t)TLS_PRIORITIES},
        {MHD_OPTION_END, 0, NULL}};
    struct MHD_OptionItem none[] = {{MHD_OPTION_END, 0, NULL}};
    /* None without a connection of its own; a pool of one is none. */
    unsigned threads = c->connections_max < POOL_THREADS ? c->connections_max : POOL_THREADS;
    unsigned per_address = c->connections_max / 2 < 64 ? 64 : c->connections_max / 2;
    return MHD_start_daemon(
        flags, 0, NULL, NULL, on_request, s, MHD_OPTION_LISTEN_SOCKET, fd,
        MHD_OPTION_NOTIFY_COMPLETED, on_end, s, MHD_OPTION_NOTIFY_CONNECTION, on_connection, s,
        MHD_OPTION_UNESCAPE_CALLBACK, decode_nothing, NULL, MHD_OPTION_STRICT_FOR_CLIENT, 1,
        MHD_OPTION_THREAD_POOL_SIZE, threads < 2 ? 0u : threads, MHD_OPTION_CONNECTION_MEMORY_LIMIT,
        (size_t)CONNECTION_MEMORY, MHD_OPTION_CONNECTION_LIMIT, c->connections_max,
        MHD_OPTION_PER_IP_CONNECTION_LIMIT, per_address, MHD_OPTION_CONNECTION_TIMEOUT,
        c->idle_seconds, MHD_OPTION_ARRAY, tls ? tls_options : none, MHD_OPTION_END);
}

int http_server_open(const struct http_server_config *c, struct http_server **out, struct err *err)
{
    struct http_server *s = calloc(1, sizeof *s);
    int fd = -1;
    if (s == NULL)
        return err_set(err, ERR_NOMEM, "out of memory");
    s->handler = c->handler;
    s->tls = c->key_pem != NULL;
    int rc = http_places_new(c->bodies_max == 0 ? HTTP_BODIES_MAX : c->bodies_max, &s->places, err);
    if (rc == 0)
        rc = http_guard_new(c->idle_seconds, &s->guard, err);
    if (rc == 0)
        rc = open_socket(c, &fd, err);
    if (rc == 0) {
        s->port = port_of(fd);
        s->daemon = start_daemon(s, c, fd); /* owns the socket, also when it fails */
        if (s->daemon == NULL)
            rc = err_set(err, ERR_IO, "cannot start the HTTP server on %s port %u", c->host,
                         c->port);
    }
    if (rc != 0) {
        http_server_close(s);
        return rc;
    }
    *out = s;
    return 0;
}

uint16_t http_server_port(const struct http_server *s)
{
    return s->port;
}

void http_server_close(struct http_server *s)
{
    if (s == NULL)
        return;
    if (s->daemon != NULL)
        MHD_stop_daemon(s->daemon);
    http_guard_free(s->guard);
    http_places_free(s->places);
    free(s);
}
