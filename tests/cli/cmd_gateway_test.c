/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/cli/tool.h"

#include <arpa/inet.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>

#include "content/store.h"

static struct cid put_one(void)
{
    struct store *s;
    struct cid cid = cid_of(CID_RAW, bytes_of_text("served"));
    assert_int_equal(store_open(files_posix(), in_scratch("store"), STORE_WRITE, &s, NULL), 0);
    assert_int_equal(store_put(s, &cid, bytes_of_text("served"), NULL), 0);
    store_close(s);
    return cid;
}

/* Runs `colmeia gateway` in a process of its own, that may have so many files open (NULL: as many
 * as this one); `line` is what it says first. Its errors go to the file "err". */
static pid_t start(char **argv, int argc, const struct rlimit *files, char *line, size_t size)
{
    int ends[2];
    size_t n = 0;
    assert_int_equal(pipe(ends), 0);
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        dup2(ends[1], STDOUT_FILENO);
        close(ends[0]);
        close(ends[1]);
        if (freopen(in_scratch("err"), "w", stderr) == NULL ||
            (files != NULL && setrlimit(RLIMIT_NOFILE, files) != 0))
            _exit(99);
        int status = cmd_gateway(argc, argv);
        fflush(stderr);
        _exit(status);
    }
    close(ends[1]);
    while (n + 1 < size && read(ends[0], line + n, 1) == 1 && line[n] != '\n')
        n++;
    line[n] = '\0';
    close(ends[0]);
    return child;
}

static int end_of(pid_t child)
{
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
}

static const char *ask(uint16_t port, const char *target)
{
    static char answer[8192];
    char request[512];
    size_t n = 0;
    ssize_t got;
    struct sockaddr_in a = {
        .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK), .sin_port = htons(port)};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(connect(fd, (struct sockaddr *)&a, sizeof a), 0);
    int size = snprintf(request, sizeof request,
                        "GET %s HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n", target);
    assert_int_equal(send(fd, request, (size_t)size, MSG_NOSIGNAL), size);
    while ((got = recv(fd, answer + n, sizeof answer - 1 - n, 0)) > 0)
        n += (size_t)got;
    answer[n] = '\0';
    close(fd);
    return answer;
}

static void test_it_says_where_it_is_serves_and_ends_on_a_signal(void **state)
{
    (void)state;
    static const int signals[] = {SIGTERM, SIGINT};
    struct cid cid = put_one();
    char text[CID_TEXT_MAX], target[CID_TEXT_MAX + 64], line[256], port_text[64];
    char store[256];
    snprintf(store, sizeof store, "%s", in_scratch("store"));
    char *argv[] = {"gateway", "--listen", "127.0.0.1:0", "--store", store, NULL};
    for (size_t i = 0; i < 2; i++) {
        pid_t child = start(argv, 5, NULL, line, sizeof line);
        static const char expected[] = "gateway on http://127.0.0.1:";
        if (strncmp(line, expected, strlen(expected)) != 0)
            fail_msg("it said %s", line);
        uint16_t port = (uint16_t)strtoul(line + strlen(expected), NULL, 10);
        snprintf(target, sizeof target, "/ipfs/%s?format=raw", cid_format(&cid, text));
        assert_non_null(strstr(ask(port, target), "\r\n\r\nserved"));
        /* Routing answers name the port that was found. */
        snprintf(target, sizeof target, "/routing/v1/providers/%s", text);
        snprintf(port_text, sizeof port_text, "/ip4/127.0.0.1/tcp/%u/http\"", port);
        assert_non_null(strstr(ask(port, target), port_text));
        kill(child, signals[i]);
        assert_int_equal(end_of(child), 0);
    }
}

/* How many files the process may have open. */
static uint64_t files_of(pid_t child)
{
    static const char name[] = "Max open files";
    char path[64], line[256] = "";
    snprintf(path, sizeof path, "/proc/%d/limits", (int)child);
    FILE *f = fopen(path, "r");
    assert_non_null(f);
    while (strncmp(line, name, strlen(name)) != 0)
        assert_non_null(fgets(line, sizeof line, f));
    fclose(f);
    return strtoull(line + strlen(name), NULL, 10);
}

static const struct {
    rlim_t soft, hard;
    bool runs;
    const char *says;
    uint64_t least; /* files it has in the end */
} budgets[] = {
    {100, 2048, true, "", 2 * 512 + 2 * 64 + 64},     /* 64 packs and their indices */
    {2048, 2048, true, "", 2048},                     /* enough: left alone */
    {100, 500, true, "122 connections at once", 500}, /* what there is, and so many fit */
    {258, 258, true, "1 connections at once", 258},
    {257, 257, false, "257 files may be open", 0},
};

static void test_it_takes_the_descriptors_it_needs_or_fewer_connections(void **state)
{
    (void)state;
    char line[256], store[256];
    (void)put_one();
    snprintf(store, sizeof store, "%s", in_scratch("store"));
    char *argv[] = {"gateway", "--listen", "127.0.0.1:0", "--store", store, NULL};
    for (size_t i = 0; i < sizeof budgets / sizeof budgets[0]; i++) {
        struct rlimit files = {.rlim_cur = budgets[i].soft, .rlim_max = budgets[i].hard};
        pid_t child = start(argv, 5, &files, line, sizeof line);
        bool runs = strncmp(line, "gateway on ", strlen("gateway on ")) == 0;
        assert_int_equal(runs, budgets[i].runs);
        if (runs) {
            assert_true(files_of(child) >= budgets[i].least);
            kill(child, SIGTERM);
        }
        assert_int_equal(end_of(child), budgets[i].runs ? 0 : 1);
        struct buf said = buf_new(4096);
        assert_int_equal(files_load(files_posix(), in_scratch("err"), &said, NULL), 0);
        if (strstr(buf_text(&said), budgets[i].says) == NULL ||
            (budgets[i].says[0] == '\0' && said.size > 0))
            fail_msg("of %llu files: %s", (unsigned long long)budgets[i].hard, buf_text(&said));
        buf_fini(&said);
    }
}

static const struct {
    const char *arguments[2];
    int status;
    const char *says;
} refusals[] = {
    {{"--listen", "8080"}, 2, "--listen is ADDRESS:PORT"},
    {{"--listen", ":8080"}, 2, "--listen is ADDRESS:PORT"},
    {{"--listen", "127.0.0.1:"}, 2, "--listen"},
    {{"--listen", "127.0.0.1:65536"}, 2, "--listen"},
    {{"--listen", "::1:80"}, 2, "--listen is ADDRESS:PORT"}, /* where does the address end? */
    {{"--listen", "[]:80"}, 2, "--listen is ADDRESS:PORT"},
    {{"--max-connections", "0"}, 2, "--max-connections"},
    {{"--max-connections", "many"}, 2, "max-connections"},
    {{"--announce", "http://a"}, 2, "multiaddr"},
    {{"--announce", "/dns/a\"b/tcp/80"}, 2, "multiaddr"},
    {{"--listen", "not an address:0"}, 2, "not an address"},
    {{"extra"}, 2, "colmeia gateway"},
};

static void test_what_it_cannot_serve_it_says(void **state)
{
    (void)state;
    char dir[256];
    (void)put_one();
    snprintf(dir, sizeof dir, "%s", in_scratch("store"));
    for (size_t i = 0; i < sizeof refusals / sizeof refusals[0]; i++) {
        tool_run(cmd_gateway, "gateway", "--store", dir, refusals[i].arguments[0],
                 refusals[i].arguments[1], NULL);
        if (tool.status != refusals[i].status || strstr(tool_err(), refusals[i].says) == NULL)
            fail_msg("%s: %d, %s", refusals[i].arguments[1], tool.status, tool_err());
    }
}

static void test_a_store_that_is_not_there_is_not_made(void **state)
{
    (void)state;
    tool_run(cmd_gateway, "gateway", "--listen", "127.0.0.1:0", "--store", in_scratch("nowhere"),
             NULL);
    tool_expect(2, "", "no store at");
    assert_false(files_exists(files_posix(), in_scratch("nowhere")));
}

int main(void)
{
#define WITH_TOOL(f) cmocka_unit_test_setup_teardown(f, tool_setup, tool_teardown)
    const struct CMUnitTest tests[] = {
        WITH_TOOL(test_it_says_where_it_is_serves_and_ends_on_a_signal),
        WITH_TOOL(test_it_takes_the_descriptors_it_needs_or_fewer_connections),
        WITH_TOOL(test_what_it_cannot_serve_it_says),
        WITH_TOOL(test_a_store_that_is_not_there_is_not_made),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
