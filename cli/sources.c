/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/sources.h"

#include <malloc.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <strings.h>

#include "cli/say.h"
#include "content/extract_part.h"
#include "content/packs.h"
#include "transport/fetch_dag.h"
#include "transport/fetch_file.h"

#define CONNECT_SECONDS 10
#define STALL_SECONDS   30
#define GIVE_UP_SECONDS 60
#define LIST_BYTES_MAX  (64u << 10)
#define KEPT_BYTES      (64 << 20) /* of freed memory, for the next that asks */

struct sources {
    struct fetch fetch;
    struct fetch_source over; /* the store that sources_block_source was given */
};

static void say_notice(void *self, const char *sentence)
{
    struct buf text = buf_new(4096);
    (void)self;
    say_clean(&text, bytes_of_text(sentence));
    fprintf(stderr, "colmeia: %s\n", buf_text(&text));
    buf_fini(&text);
}

/* --- which --- */

static bool is_url(const char *text, size_t size)
{
    size_t head = strncasecmp(text, "http://", 7) == 0    ? 7
                  : strncasecmp(text, "https://", 8) == 0 ? 8
                                                          : 0;
    if (head == 0 || size <= head || text[head] == '/' || text[head] == ':')
        return false;
    for (size_t i = 0; i < size; i++)
        if (text[i] <= ' ' || text[i] >= 0x7f || strchr("?#\\\"<>", text[i]) != NULL)
            return false;
    return memmem(text + head, size - head, "/ipfs/", 6) ==
           NULL; /* a page, copied from a browser */
}

static int add_url(struct sources *s, const char *text, size_t size, const char *where,
                   struct err *err)
{
    struct fetch *f = &s->fetch;
    int shown = size < 100 ? (int)size : 100;
    while (size > 0 && text[size - 1] == '/')
        size--;
    if (size >= sizeof f->sources[0] || !is_url(text, size))
        return err_set(err, ERR_USAGE,
                       "%s: \"%.*s\" is no gateway's URL; http://HOST:PORT or https://HOST is one",
                       where, shown, text);
    for (size_t i = 0; i < f->source_count; i++)
        if (strlen(f->sources[i]) == size && memcmp(f->sources[i], text, size) == 0)
            return 0;
    if (f->source_count == FETCH_SOURCES_MAX)
        return err_set(err, ERR_USAGE, "%s: more than %d sources", where, FETCH_SOURCES_MAX);
    snprintf(f->sources[f->source_count++], sizeof f->sources[0], "%.*s", (int)size, text);
    return 0;
}

/* URLs with commas, blanks or ends of lines between them. A line that begins with # is passed over.
 */
static int add_list(struct sources *s, const char *text, const char *where, struct err *err)
{
    static const char between[] = ", \t\r\n";
    int rc = 0;
    bool begins = true;
    while (rc == 0 && *text != '\0') {
        size_t size = strcspn(text, between);
        if (begins && *text == '#')
            size = strcspn(text, "\n");
        else if (size > 0)
            rc = add_url(s, text, size, where, err);
        text += size;
        begins = *text == '\n' || (begins && size == 0);
        text += *text != '\0';
    }
    return rc;
}

static int add_file(struct sources *s, struct err *err)
{
    const char *folder = getenv("IPFS_PATH"), *home = getenv("HOME");
    char path[FILES_PATH_MAX];
    struct buf text = buf_new(LIST_BYTES_MAX);
    bool given = folder != NULL && folder[0] != '\0';
    if (!given && (home == NULL || home[0] == '\0'))
        return 0;
    int rc = files_join(path, given ? folder : home, given ? "gateway" : ".ipfs/gateway", err);
    if (rc == 0)
        rc = files_load(files_posix(), path, &text, err);
    if (rc == 0)
        rc = add_list(s, buf_text(&text), path, err);
    else if (rc == ERR_NOTFOUND)
        rc = 0;
    buf_fini(&text);
    return rc;
}

static int add_named(struct sources *s, const struct options_list *from, struct err *err)
{
    const char *variable = getenv("IPFS_GATEWAY");
    int rc = 0;
    for (size_t i = 0; from != NULL && rc == 0 && i < from->count; i++)
        rc = add_url(s, from->items[i], strlen(from->items[i]), "--from", err);
    if (rc != 0 || s->fetch.source_count > 0)
        return rc;
    if (variable != NULL && variable[0] != '\0')
        return add_list(s, variable, "IPFS_GATEWAY", err);
    return add_file(s, err);
}

/* --- life --- */

/* Each request has a receive buffer of its own; given back to the kernel after each, their pages
 * would be made and cleared anew for the next: a tenth of what fetching costs. */
static void keep_memory(void)
{
    mallopt(M_MMAP_THRESHOLD, KEPT_BYTES / 2);
    mallopt(M_TRIM_THRESHOLD, KEPT_BYTES);
}

int sources_open(const struct options_list *from, struct sources **out, struct err *err)
{
    struct http_client_config c = {.connect_seconds = CONNECT_SECONDS,
                                   .stall_seconds = STALL_SECONDS};
    struct sources *s = calloc(1, sizeof *s);
    if (s == NULL)
        return err_set(err, ERR_NOMEM, "out of memory");
    s->fetch.give_up_seconds = GIVE_UP_SECONDS;
    s->fetch.notice = say_notice;
    int rc = add_named(s, from, err);
    if (rc == 0 && s->fetch.source_count > 0) {
        signal(SIGPIPE, SIG_IGN);
        keep_memory();
        rc = http_client_new(&c, &s->fetch.http, err);
        if (rc == 0)
            rc = jobs_new(0, &s->fetch.jobs, err);
    }
    if (rc != 0 || s->fetch.source_count == 0) {
        sources_close(s);
        s = NULL;
    }
    if (rc == 0)
        *out = s;
    return rc;
}

void sources_close(struct sources *s)
{
    if (s == NULL)
        return;
    jobs_free(s->fetch.jobs);
    http_client_free(s->fetch.http);
    free(s);
}

size_t sources_count(const struct sources *s)
{
    return s == NULL ? 0 : s->fetch.source_count;
}

const char *sources_url(const struct sources *s, size_t i)
{
    return s->fetch.sources[i];
}

uint64_t sources_received(const struct sources *s)
{
    uint64_t sent, received;
    http_client_moved(s->fetch.http, &sent, &received);
    return received;
}

/* --- use --- */

struct block_source sources_block_source(struct sources *s, struct store *store)
{
    if (s == NULL)
        return store_source(store);
    s->over = (struct fetch_source){
        .fetch = &s->fetch, .store = store, .mutex = PTHREAD_MUTEX_INITIALIZER};
    return fetch_source(&s->over);
}

int sources_fetch(struct sources *s, struct store *store, const struct cid *root, bool sync,
                  struct progress_count *progress, struct err *err)
{
    return fetch_dag(&s->fetch, store, root, sync, progress, err);
}

/* A file on its way into its place. */
struct incoming {
    struct extract_part *part;
    struct progress_count *progress;
};

static int begin_part(void *self, uint64_t bytes, struct err *err)
{
    return extract_part_begin(((struct incoming *)self)->part, bytes, err);
}

static int read_part(void *self, uint64_t offset, void *data, size_t size, struct err *err)
{
    return extract_part_read(((struct incoming *)self)->part, offset, data, size, err);
}

static int write_part(void *self, uint64_t offset, struct bytes data, struct err *err)
{
    return extract_part_write(((struct incoming *)self)->part, offset, data, err);
}

static void note_progress(void *self, uint64_t have, uint64_t all)
{
    progress_count_set(((struct incoming *)self)->progress, have, all);
}

int sources_fetch_file(struct sources *s, struct store *store, const struct cid *root,
                       struct extract_part *to, bool keep, struct progress_count *progress,
                       struct err *err)
{
    char text[CID_TEXT_MAX];
    struct incoming in = {.part = to, .progress = progress};
    struct fetch_file file = {.store = store,
                              .bytes_max = UINT64_MAX,
                              .self = &in,
                              .begin = begin_part,
                              .read = read_part,
                              .write = write_part,
                              .progress = note_progress};
    int rc = keep ? store_batch_new(store, &file.batch, err) : 0;
    if (rc == 0)
        rc = fetch_file(&s->fetch, &file, root, err);
    if (file.batch != NULL) { /* what came stays, however it ended */
        int sealed = store_batch_finish(file.batch, false, rc == 0 ? err : NULL);
        if (sealed != 0)
            packs_batch_free(file.batch);
        rc = rc != 0 ? rc : sealed;
    }
    return rc != 0 ? err_wrap(err, rc, "fetch %s", cid_format(root, text)) : 0;
}
