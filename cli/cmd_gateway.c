/* SPDX-License-Identifier: Apache-2.0 */
#include <arpa/inet.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/resource.h>

#include "base/multibase.h"
#include "base/random.h"
#include "base/text.h"
#include "cli/cmd.h"
#include "cli/options.h"
#include "cli/say.h"
#include "cli/store_option.h"
#include "transport/gateway_read.h"
#include "transport/http_guard.h"

#define COMMAND         "colmeia gateway"
#define LISTEN_DEFAULT  "127.0.0.1:8080"
#define CONNECTIONS     512
#define CONNECTIONS_MAX 65536
#define TRANSFERS_MAX   64 /* requests at work, CARs and pages being sent: a block each */
#define IDLE_SECONDS    30
#define HOST_MAX        256

/* Descriptors beside two a connection (its own, and a block's file): packs and their indices that
 * the store keeps open, connections that were refused and are read to their end, the program's. */
#define FILES_OF_STORE 128
#define FILES_SPARE    (FILES_OF_STORE + HTTP_GUARD_LINGER_MAX + 64)

struct gateway_run {
    const char *dir, *listen, *announce;
    uint64_t connections_max;
    bool verbose;
    char host[HOST_MAX]; /* as it is bound: no brackets */
    uint16_t port;
    struct gateway_read read;
    struct http_handler inner;
};

/* --- where --- */

/* "127.0.0.1:8080", "[::1]:8080", "localhost:0". */
static int parse_listen(struct gateway_run *g, struct err *err)
{
    const char *colon = strrchr(g->listen, ':');
    uint64_t port;
    size_t size = colon == NULL ? 0 : (size_t)(colon - g->listen);
    const char *from = g->listen;
    if (size >= 2 && from[0] == '[' && from[size - 1] == ']') {
        from++;
        size -= 2;
    } else if (memchr(from, ':', size) != NULL) {
        size = 0;
    }
    if (size == 0 || size >= sizeof g->host)
        return err_set(err, ERR_USAGE, "--listen is ADDRESS:PORT ([ADDRESS]:PORT for IPv6), not %s",
                       g->listen);
    int rc = text_parse_uint(colon + 1, UINT16_MAX, &port, err);
    if (rc != 0)
        return err_wrap(err, rc, "--listen");
    memcpy(g->host, from, size);
    g->host[size] = '\0';
    g->port = (uint16_t)port;
    return 0;
}

static bool is_loopback(const char *host)
{
    struct in_addr four;
    if (inet_pton(AF_INET, host, &four) == 1)
        return ntohl(four.s_addr) >> 24 == 127;
    return strcmp(host, "::1") == 0 || strcmp(host, "localhost") == 0;
}

/* An address that others can dial, for routing answers; none for "all interfaces". */
static void make_provider(struct gateway_run *g, uint16_t port)
{
    struct in6_addr six;
    struct in_addr four;
    char *out = g->read.provider;
    size_t size = sizeof g->read.provider;
    if (g->announce != NULL)
        snprintf(out, size, "%s", g->announce);
    else if (inet_pton(AF_INET, g->host, &four) == 1 && four.s_addr != 0)
        snprintf(out, size, "/ip4/%s/tcp/%u/http", g->host, port);
    else if (inet_pton(AF_INET6, g->host, &six) == 1 && !IN6_IS_ADDR_UNSPECIFIED(&six))
        snprintf(out, size, "/ip6/%s/tcp/%u/http", g->host, port);
    else if (strchr(g->host, ':') == NULL && inet_pton(AF_INET, g->host, &four) != 1)
        snprintf(out, size, "/dns/%s/tcp/%u/http", g->host, port);
}

static int check_announce(const char *text, struct err *err)
{
    struct gateway_read g;
    if (text == NULL)
        return 0;
    if (text[0] != '/' || strlen(text) >= sizeof g.provider)
        return err_set(err, ERR_USAGE, "--announce is a multiaddr such as /dns/HOST/tcp/443/https");
    for (const char *at = text; *at != '\0'; at++)
        if (*at <= ' ' || *at > '~' || *at == '"' || *at == '\\')
            return err_set(err, ERR_USAGE, "--announce has a character that no multiaddr has");
    return 0;
}

/* A peer id is asked for where blocks are asked for by address alone; this one is nobody's. */
static void make_peer(struct gateway_read *g)
{
    uint8_t id[] = {0x00, 0x24, 0x08, 0x01, 0x12, 0x20, [37] = 0};
    struct buf text = buf_new(sizeof g->peer - 1);
    random_bytes(id + 6, 32);
    multibase_encode_base58(bytes_of(id, sizeof id), &text);
    snprintf(g->peer, sizeof g->peer, "%s", buf_text(&text));
    buf_fini(&text);
}

/* --- requests, said --- */

static void say_request(const struct http_request *r, const struct http_response *out)
{
    struct buf line = buf_new(2 * HTTP_PATH_MAX + 256);
    buf_append_format(&line, "%d ", out->status);
    say_clean(&line, bytes_of_text(r->method));
    buf_append_byte(&line, ' ');
    say_clean(&line, bytes_of_text(r->path));
    fprintf(stderr, "%s\n", buf_text(&line));
    buf_fini(&line);
}

static bool loud_begin(void *self, struct http_request *r, struct http_response *out)
{
    struct gateway_run *g = self;
    bool going = g->inner.begin(g->inner.self, r, out);
    if (!going)
        say_request(r, out);
    return going;
}

static bool loud_body(void *self, struct http_request *r, struct bytes piece,
                      struct http_response *out)
{
    struct gateway_run *g = self;
    return g->inner.body(g->inner.self, r, piece, out);
}

static void loud_answer(void *self, struct http_request *r, struct http_response *out)
{
    struct gateway_run *g = self;
    g->inner.answer(g->inner.self, r, out);
    say_request(r, out);
}

static void loud_end(void *self, struct http_request *r)
{
    struct gateway_run *g = self;
    g->inner.end(g->inner.self, r);
}

static struct http_handler loud(struct gateway_run *g)
{
    return (struct http_handler){
        .self = g, .begin = loud_begin, .body = loud_body, .answer = loud_answer, .end = loud_end};
}

/* --- running --- */

/* As many descriptors as the connections need, or as many connections as there are descriptors: a
 * gateway that finds out later is one that closes on those who ask. */
static int fit_files(struct gateway_run *g, struct err *err)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0)
        return err_errno(err, "see how many files may be open");
    rlim_t need = 2 * g->connections_max + FILES_SPARE, had = limit.rlim_cur;
    if (had >= need)
        return 0;
    limit.rlim_cur = limit.rlim_max < need ? limit.rlim_max : need;
    if (setrlimit(RLIMIT_NOFILE, &limit) != 0)
        limit.rlim_cur = had;
    if (limit.rlim_cur >= need)
        return 0;
    if (limit.rlim_cur < FILES_SPARE + 2)
        return err_set(err, ERR_LIMIT,
                       "%llu files may be open at once, and a gateway needs %d: raise ulimit -n",
                       (unsigned long long)limit.rlim_cur, FILES_SPARE + 2);
    uint64_t fit = (limit.rlim_cur - FILES_SPARE) / 2;
    fprintf(stderr,
            COMMAND ": %llu connections at once and not %llu, since %llu files may be open; "
                    "ulimit -n raises that\n",
            (unsigned long long)fit, (unsigned long long)g->connections_max,
            (unsigned long long)limit.rlim_cur);
    g->connections_max = fit;
    return 0;
}

static int serve(struct gateway_run *g, struct err *err)
{
    struct http_server *server = NULL;
    sigset_t ending;
    int signal_number;
    sigemptyset(&ending);
    sigaddset(&ending, SIGINT);
    sigaddset(&ending, SIGTERM);
    pthread_sigmask(SIG_BLOCK, &ending, NULL); /* before threads, who inherit it */
    signal(SIGPIPE, SIG_IGN);
    int rc = fit_files(g, err);
    if (rc != 0)
        return rc;
    g->inner = gateway_read_handler(&g->read);
    const struct http_server_config config = {.host = g->host,
                                              .port = g->port,
                                              .connections_max = (unsigned)g->connections_max,
                                              .idle_seconds = IDLE_SECONDS,
                                              .bodies_max = TRANSFERS_MAX,
                                              .handler = g->verbose ? loud(g) : g->inner};
    make_provider(g, g->port);
    rc = http_server_open(&config, &server, err);
    if (rc != 0)
        return rc;
    if (g->port == 0) /* nobody knows the port yet */
        make_provider(g, http_server_port(server));
    if (!is_loopback(g->host))
        fprintf(stderr,
                COMMAND ": %s is open to others: everything in this store can be read by "
                        "whoever reaches it, unencrypted\n",
                g->host);
    bool six = strchr(g->host, ':') != NULL;
    say_line("gateway on http://%s%s%s:%u", six ? "[" : "", g->host, six ? "]" : "",
             http_server_port(server));
    fflush(stdout);
    sigwait(&ending, &signal_number);
    http_server_close(server);
    return 0;
}

int cmd_gateway(int argc, char **argv)
{
    struct gateway_run g = {.listen = LISTEN_DEFAULT, .connections_max = CONNECTIONS};
    struct err err = {0};
    int status;
    const struct options_row rows[] = {
        {.name = "listen",
         .argument = "ADDRESS:PORT",
         .help = "where (" LISTEN_DEFAULT "; port 0: any that is free)",
         .text = &g.listen},
        {.name = "store", .argument = "DIR", .help = "the store to serve", .text = &g.dir},
        {.name = "max-connections",
         .argument = "N",
         .help = "connections at once (512)",
         .number = &g.connections_max,
         .most = CONNECTIONS_MAX},
        {.name = "announce",
         .argument = "MULTIADDR",
         .help = "the address that routing answers give (by default the one listened on)",
         .text = &g.announce},
        {.name = "verbose", .letter = 'v', .help = "say every request", .flag = &g.verbose}};
    struct options o = {.command = COMMAND,
                        .operands = "",
                        .about = "Serves a store over HTTP to anybody: raw blocks, CARs and IPNS "
                                 "records to programs that check what they get, files and folders "
                                 "to browsers. It only reads, and asks nobody else.",
                        .rows = rows,
                        .row_count = sizeof rows / sizeof rows[0]};
    if (!options_parse(&o, argc, argv, &status))
        return status;
    int rc = parse_listen(&g, &err);
    if (rc == 0 && g.connections_max == 0)
        rc = err_set(&err, ERR_USAGE, "--max-connections is at least 1");
    if (rc == 0)
        rc = check_announce(g.announce, &err);
    if (rc == 0)
        rc = store_option_open(g.dir, STORE_READ_ONLY, &g.read.store, &err);
    if (rc == 0) {
        g.read.open = true;
        make_peer(&g.read);
        rc = serve(&g, &err);
        store_close(g.read.store);
    }
    return rc != 0 ? say_error(COMMAND, rc, &err) : 0;
}
