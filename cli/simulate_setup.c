/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/simulate_setup.h"

#include <stdio.h>
#include <stdlib.h>

#include "coordinator/admission.h"
#include "coordinator/founding.h"
#include "study/plan_file.h"
#include "worker/home.h"

#define NAME_MAX_BYTES 32

int simulate_setup_study(const char *out, char path[FILES_PATH_MAX], struct err *err)
{
    return files_join(path, out, "study", err);
}

static const char *name_of(size_t index, char out[NAME_MAX_BYTES])
{
    snprintf(out, NAME_MAX_BYTES, "client-%04zu", index + 1);
    return out;
}

int simulate_setup_site(const char *out, size_t index, char path[FILES_PATH_MAX], struct err *err)
{
    char name[NAME_MAX_BYTES], relative[NAME_MAX_BYTES + 8];
    snprintf(relative, sizeof relative, "sites/%s", name_of(index, name));
    return files_join(path, out, relative, err);
}

/* --- the plan --- */

/* What would only be seen after a long wait, or by every site in turn. */
static int check_plan(const struct simulate_setup *s, struct err *err)
{
    struct plan_file file;
    int rc = plan_file_load(s->plan, &file, err);
    if (rc != 0)
        return rc;
    if (file.plan.minimum > s->clients)
        rc = err_set(err, ERR_USAGE,
                     "the plan's rounds open with %llu sites (minimum), and %zu "
                     "clients were asked for",
                     (unsigned long long)file.plan.minimum, s->clients);
    else if (strcmp(file.plan.trainer, "program") == 0)
        rc =
            err_set(err, ERR_USAGE,
                    "the plan's trainer is a program that each site names for itself; a simulation "
                    "has the built-in trainers only");
    else if (s->data == NULL && strcmp(file.plan.trainer, "native") == 0)
        rc = err_set(err, ERR_USAGE, "the plan's trainer needs --data DIR");
    plan_file_fini(&file);
    return rc;
}

/* OUT/plan.toml is the plan as it was when OUT was made. */
static int keep_plan(const struct simulate_setup *s, struct err *err)
{
    char path[FILES_PATH_MAX];
    const struct files *f = files_posix();
    struct buf given = buf_new(CONFIG_BYTES_MAX), kept = buf_new(CONFIG_BYTES_MAX);
    int rc = files_join(path, s->out, "plan.toml", err);
    if (rc == 0)
        rc = files_load(f, s->plan, &given, err);
    if (rc == 0 && !files_exists(f, path))
        rc = files_save(f, path, buf_bytes(&given), err);
    if (rc == 0)
        rc = files_load(f, path, &kept, err);
    if (rc == 0 && !bytes_equal(buf_bytes(&given), buf_bytes(&kept)))
        rc = err_set(err, ERR_USAGE,
                     "%.256s holds the study of another plan than %.256s; give another --out",
                     s->out, s->plan);
    buf_fini(&given);
    buf_fini(&kept);
    return rc;
}

/* --- the study --- */

static int make_study(const struct simulate_setup *s, const char *dir, struct buf *invitation,
                      struct err *err)
{
    struct invitation i;
    int rc = founding_make(dir, s->plan, s->model, NULL, &i, err);
    if (rc == ERR_EXISTS)
        rc = folder_invitation(dir, &i, err);
    return rc != 0 ? rc : invitation_format(&i, invitation, err);
}

/* How many sites the study has already; they were admitted in order. */
static int count_admitted(const char *dir, size_t *out, struct err *err)
{
    struct folder f;
    struct store *store = NULL;
    struct roster roster = {.sites = NULL};
    struct study study = {.layout = NULL};
    struct cid newest;
    int rc = folder_open(dir, &f, err);
    if (rc != 0)
        return rc;
    rc = folder_open_store(&f, STORE_READ_ONLY, &store, err);
    if (rc == 0)
        rc = study_load(store, &f.study_id, &f.plan_id, &study, err);
    if (rc == 0)
        rc = folder_read_cid(files_posix(), dir, "roster", &newest, err);
    if (rc == 0)
        rc = roster_load(store, &f.study_id, &study.charter.founder, &newest, &roster, err);
    *out = rc == 0 ? roster.count : 0;
    roster_fini(&roster);
    study_fini(&study);
    store_close(store);
    folder_close(&f);
    return rc;
}

/* --- a site --- */

static int check_data(const char *dir, const char *data, struct err *err)
{
    struct home_policy policy;
    int rc = home_read_policy(dir, &policy, err);
    char *path = rc != 0 || data == NULL ? NULL : realpath(data, NULL);
    if (rc == 0 && strcmp(path == NULL ? "" : path, policy.data) != 0)
        rc = err_set(err, ERR_USAGE, "%.256s was made with the data %.256s; give another --out",
                     dir, policy.data[0] == '\0' ? "of no file" : policy.data);
    free(path);
    return rc;
}

/* The site's folder, made or as an earlier call made it; appends its string. */
static int make_site(const struct simulate_setup *s, size_t index, const char *invitation,
                     struct buf *string, struct err *err)
{
    char dir[FILES_PATH_MAX], name[NAME_MAX_BYTES];
    const char *data = s->data == NULL ? NULL : s->data[index];
    int rc = simulate_setup_site(s->out, index, dir, err);
    if (rc != 0)
        return rc;
    rc = home_init(dir, name_of(index, name), data, invitation, string, err);
    if (rc != ERR_EXISTS)
        return rc;
    rc = check_data(dir, data, err);
    return rc != 0 ? rc : home_site_string(dir, string, err);
}

static int make_sites(const struct simulate_setup *s, const char *study, const char *invitation,
                      struct err *err)
{
    size_t admitted;
    struct buf string = buf_new(SITE_STRING_MAX);
    int rc = count_admitted(study, &admitted, err);
    if (rc == 0 && admitted > s->clients)
        rc = err_set(err, ERR_USAGE, "%.256s has %zu clients already, and %zu were asked for",
                     s->out, admitted, s->clients);
    for (size_t i = 0; rc == 0 && i < s->clients; i++) {
        char name[SITE_NAME_MAX];
        uint64_t from;
        buf_clear(&string);
        rc = make_site(s, i, invitation, &string, err);
        if (rc == 0 && i >= admitted)
            rc = admission_add(study, buf_text(&string), name, &from, err);
    }
    buf_fini(&string);
    return rc;
}

int simulate_setup_make(const struct simulate_setup *s, struct err *err)
{
    char study[FILES_PATH_MAX];
    struct buf invitation = buf_new(INVITATION_STRING_MAX);
    int rc = check_plan(s, err);
    if (rc == 0)
        rc = simulate_setup_study(s->out, study, err);
    if (rc == 0)
        rc = files_make_dirs(files_posix(), s->out, err);
    if (rc == 0)
        rc = keep_plan(s, err);
    if (rc == 0)
        rc = make_study(s, study, &invitation, err);
    if (rc == 0)
        rc = make_sites(s, study, buf_text(&invitation), err);
    buf_fini(&invitation);
    return rc;
}
