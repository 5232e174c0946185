/* SPDX-License-Identifier: Apache-2.0 */
#include "coordinator/admission.h"

#include <stdlib.h>
#include <time.h>

#include "study/round_record.h"

#define LOCK_TRIES    100
#define LOCK_PAUSE_NS 100000000L

/* One admission at a time, so that none is lost; others wait a while. */
static int take_lock(const struct folder *f, int *fd, struct err *err)
{
    const struct files *files = files_posix();
    const struct timespec pause = {.tv_nsec = LOCK_PAUSE_NS};
    char path[FILES_PATH_MAX];
    int rc = folder_path(f, "roster.lock", path, err);
    if (rc != 0)
        return rc;
    for (int i = 0; i < LOCK_TRIES; i++) {
        rc = files->lock(files->self, path, fd, err);
        if (rc != ERR_DENIED)
            return rc;
        nanosleep(&pause, NULL);
    }
    return err_set(err, ERR_DENIED, "another admission is at work on %.600s", f->dir);
}

/* The round under way: the first whose selection is still to come, or that is still short of
 * sites. */
static int round_under_way(const struct folder *f, struct store *store, const struct roster *roster,
                           uint64_t *out, struct err *err)
{
    struct cid head;
    struct round_record record = {0};
    struct buf block = buf_new(STORE_BLOCK_BYTES_MAX);
    int rc = folder_read_cid(files_posix(), f->dir, "head", &head, err);
    if (rc == ERR_NOTFOUND) {
        *out = 1;
        return 0;
    }
    if (rc == 0)
        rc = study_get(store, &head, &block, err);
    if (rc == 0)
        rc = round_record_decode(buf_bytes(&block), &f->study_id, &roster->coordinator, &record,
                                 err);
    if (rc == 0)
        *out = record.round + 1;
    round_record_fini(&record);
    buf_fini(&block);
    return rc;
}

static int check_new(const struct roster *r, const struct site *site, struct err *err)
{
    if (!cid_is_none(&site->prev))
        return err_set(err, ERR_UNSUPPORTED,
                       "site %s: a record that replaces an earlier one; only a site's first one "
                       "can be admitted",
                       site->name);
    if (r->count >= ROSTER_SITES_MAX)
        return err_set(err, ERR_LIMIT, "a study has at most %d sites", ROSTER_SITES_MAX);
    for (size_t i = 0; i < r->count; i++) {
        const struct roster_site *s = &r->sites[i];
        if (cid_equal(&s->id, &site->cid))
            return err_set(err, ERR_EXISTS, "site %s is admitted already", site->name);
        if (strcmp(s->site.name, site->name) == 0)
            return err_set(err, ERR_EXISTS, "another site has the name %s", site->name);
        if (key_equal(&s->site.ed25519, &site->ed25519) || key_equal(&s->site.curve, &site->curve))
            return err_set(err, ERR_EXISTS, "site %s has a key of site %s", site->name,
                           s->site.name);
    }
    return 0;
}

/* What admit works with. */
struct admission {
    struct folder folder;
    struct key *founder;
    struct store *store;
    struct roster roster;
    struct site site;
    struct buf record, block;
    uint64_t from;
};

static int write_roster(struct admission *a, struct err *err)
{
    struct roster *r = &a->roster;
    struct cid cid, both[2];
    struct roster_site *sites = realloc(r->sites, (r->count + 1) * sizeof *sites);
    if (sites == NULL)
        return err_set(err, ERR_NOMEM, "out of memory");
    r->sites = sites;
    r->sites[r->count++] = (struct roster_site){
        .id = a->site.cid, .from = a->from, .until = ROSTER_FOREVER, .site = a->site};
    r->prev = r->cid;
    int rc = roster_make(r, &a->folder.study_id, a->founder, &a->block, &cid, err);
    if (rc == 0)
        rc = store_put(a->store, &a->site.cid, buf_bytes(&a->record), err);
    if (rc == 0)
        rc = store_put(a->store, &cid, buf_bytes(&a->block), err);
    both[0] = a->site.cid;
    both[1] = cid;
    if (rc == 0)
        rc = store_sync(a->store, both, 2, err);
    return rc != 0 ? rc : folder_write_cid(files_posix(), a->folder.dir, "roster", &cid, true, err);
}

static int admit(struct admission *a, struct err *err)
{
    struct cid newest;
    struct key_public founder = key_public(a->founder);
    int rc = folder_read_cid(files_posix(), a->folder.dir, "roster", &newest, err);
    if (rc == 0)
        rc = roster_load(a->store, &a->folder.study_id, &founder, &newest, &a->roster, err);
    if (rc == 0)
        rc = check_new(&a->roster, &a->site, err);
    if (rc == 0)
        rc = round_under_way(&a->folder, a->store, &a->roster, &a->from, err);
    return rc != 0 ? rc : write_roster(a, err);
}

int admission_add(const char *dir, const char *site_string, char name[SITE_NAME_MAX],
                  uint64_t *from, struct err *err)
{
    const struct files *files = files_posix();
    struct admission a = {.record = buf_new(RECORD_BYTES_MAX), .block = buf_new(RECORD_BYTES_MAX)};
    int lock = -1;
    int rc = site_parse(site_string, &a.record, err);
    if (rc == 0)
        rc = site_decode(buf_bytes(&a.record), &a.site, NULL, err);
    if (rc == 0)
        rc = folder_open(dir, &a.folder, err);
    if (rc == 0)
        rc = folder_load_key(&a.folder, KEY_ED25519, "keys/founder.key", &a.founder, err);
    if (rc == 0)
        rc = folder_open_store(&a.folder, STORE_ADD, &a.store, err);
    if (rc == 0)
        rc = take_lock(&a.folder, &lock, err);
    if (rc == 0)
        rc = admit(&a, err);
    if (rc == 0) {
        memcpy(name, a.site.name, SITE_NAME_MAX);
        *from = a.from;
    }
    if (lock >= 0)
        files->close(files->self, lock);
    roster_fini(&a.roster);
    store_close(a.store);
    key_free(a.founder);
    folder_close(&a.folder);
    buf_fini(&a.record);
    buf_fini(&a.block);
    return rc;
}
