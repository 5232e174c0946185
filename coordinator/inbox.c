/* SPDX-License-Identifier: Apache-2.0 */
#include "coordinator/inbox.h"

#include <pthread.h>
#include <stdlib.h>

#include "study/study.h"

struct slot {
    uint32_t site;
    struct cid id;
    struct pack *pack; /* NULL until something arrives */
    unsigned users;
    enum refusal_code spoiled;
};

/* The sites of one open round. An old round's set lives on while a job or upload still uses it. */
struct open_round {
    uint64_t round;
    size_t count;
    struct slot *slots;
    unsigned users; /* of all slots */
    bool closing;
    struct open_round *next;
};

struct inbox {
    const struct files *files;
    char *dir;
    pthread_mutex_t mutex;
    struct open_round *rounds;
};

int inbox_new(const struct files *f, const char *dir, struct inbox **out, struct err *err)
{
    struct inbox *i = calloc(1, sizeof *i);
    char *copy = strdup(dir);
    if (i == NULL || copy == NULL) {
        free(i);
        free(copy);
        return err_set(err, ERR_NOMEM, "out of memory");
    }
    i->files = f;
    i->dir = copy;
    pthread_mutex_init(&i->mutex, NULL);
    *out = i;
    return 0;
}

static void free_round(struct open_round *r)
{
    for (size_t k = 0; k < r->count; k++)
        pack_close(r->slots[k].pack);
    free(r->slots);
    free(r);
}

/* Drops rounds that are closing and unused; called with the mutex held. */
static void sweep(struct inbox *i)
{
    for (struct open_round **at = &i->rounds; *at != NULL;) {
        struct open_round *r = *at;
        if (r->closing && r->users == 0) {
            *at = r->next;
            free_round(r);
        } else {
            at = &r->next;
        }
    }
}

void inbox_free(struct inbox *i)
{
    if (i == NULL)
        return;
    while (i->rounds != NULL) {
        struct open_round *r = i->rounds;
        i->rounds = r->next;
        free_round(r);
    }
    pthread_mutex_destroy(&i->mutex);
    free(i->dir);
    free(i);
}

static struct open_round *find_round(struct inbox *i, uint64_t round)
{
    for (struct open_round *r = i->rounds; r != NULL; r = r->next)
        if (r->round == round && !r->closing)
            return r;
    return NULL;
}

static struct slot *find_slot(struct inbox *i, uint32_t site, uint64_t round,
                              struct open_round **of)
{
    for (struct open_round *r = i->rounds; r != NULL; r = r->next) {
        if (r->round != round)
            continue;
        for (size_t k = 0; k < r->count; k++)
            if (r->slots[k].site == site) {
                *of = r;
                return &r->slots[k];
            }
    }
    return NULL;
}

static int add_sites(struct open_round *r, const uint32_t *sites, const struct cid *ids,
                     size_t count, struct err *err)
{
    struct slot *slots = realloc(r->slots, (r->count + count) * sizeof *slots);
    if (slots == NULL && r->count + count > 0)
        return err_set(err, ERR_NOMEM, "out of memory");
    r->slots = slots;
    for (size_t k = 0; k < count; k++) {
        bool known = false;
        for (size_t n = 0; n < r->count; n++)
            known = known || r->slots[n].site == sites[k];
        if (!known)
            r->slots[r->count++] = (struct slot){.site = sites[k], .id = ids[k]};
    }
    return 0;
}

int inbox_open_round(struct inbox *i, uint64_t round, const uint32_t *sites, const struct cid *ids,
                     size_t count, struct err *err)
{
    int rc = 0;
    pthread_mutex_lock(&i->mutex);
    for (struct open_round *r = i->rounds; r != NULL; r = r->next)
        if (r->round != round)
            r->closing = true;
    struct open_round *r = find_round(i, round);
    if (r == NULL) {
        r = calloc(1, sizeof *r);
        if (r == NULL) {
            rc = err_set(err, ERR_NOMEM, "out of memory");
            goto out;
        }
        r->round = round;
        r->next = i->rounds;
        i->rounds = r;
    }
    rc = add_sites(r, sites, ids, count, err);
    sweep(i);
out:
    pthread_mutex_unlock(&i->mutex);
    return rc;
}

static int open_pack(struct inbox *i, struct slot *s, uint64_t round, bool write, struct err *err)
{
    char path[FILES_PATH_MAX];
    int rc = study_pack_path(i->dir, &s->id, round, path, err);
    if (rc != 0)
        return rc;
    if (!write && !files_exists(i->files, path))
        return err_set(err, ERR_NOTFOUND, "nothing arrived yet");
    char folder[FILES_PATH_MAX];
    memcpy(folder, path, sizeof folder);
    *strrchr(folder, '/') = '\0';
    rc = files_make_dirs(i->files, folder, err);
    return rc != 0 ? rc : pack_open(i->files, path, true, &s->pack, err);
}

int inbox_take(struct inbox *i, uint32_t site, uint64_t round, bool write, struct pack **out,
               struct err *err)
{
    int rc = 0;
    pthread_mutex_lock(&i->mutex);
    struct open_round *r = NULL;
    struct slot *s = find_slot(i, site, round, &r);
    if (s == NULL || (r->closing && write))
        rc = err_set(err, ERR_DENIED, "round %llu is not open for this site",
                     (unsigned long long)round);
    else if (s->pack == NULL)
        rc = open_pack(i, s, round, write, err);
    if (rc == 0) {
        s->users++;
        r->users++;
        *out = s->pack;
    }
    pthread_mutex_unlock(&i->mutex);
    return rc;
}

void inbox_release(struct inbox *i, uint32_t site, uint64_t round)
{
    pthread_mutex_lock(&i->mutex);
    struct open_round *r = NULL;
    struct slot *s = find_slot(i, site, round, &r);
    if (s != NULL) {
        s->users--;
        r->users--;
    }
    sweep(i);
    pthread_mutex_unlock(&i->mutex);
}

uint64_t inbox_bytes(struct inbox *i, uint32_t site, uint64_t round)
{
    pthread_mutex_lock(&i->mutex);
    struct open_round *r = NULL;
    struct slot *s = find_slot(i, site, round, &r);
    uint64_t bytes = s == NULL || s->pack == NULL ? 0 : pack_bytes(s->pack);
    pthread_mutex_unlock(&i->mutex);
    return bytes;
}

void inbox_spoil(struct inbox *i, uint32_t site, uint64_t round, enum refusal_code code)
{
    pthread_mutex_lock(&i->mutex);
    struct open_round *r = NULL;
    struct slot *s = find_slot(i, site, round, &r);
    if (s != NULL)
        s->spoiled = code;
    pthread_mutex_unlock(&i->mutex);
}

enum refusal_code inbox_spoiled(struct inbox *i, uint32_t site, uint64_t round)
{
    pthread_mutex_lock(&i->mutex);
    struct open_round *r = NULL;
    struct slot *s = find_slot(i, site, round, &r);
    enum refusal_code code = s == NULL ? REFUSAL_NONE : s->spoiled;
    pthread_mutex_unlock(&i->mutex);
    return code;
}
