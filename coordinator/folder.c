/* SPDX-License-Identifier: Apache-2.0 */
#include "coordinator/folder.h"

#include <stdio.h>

#include "base/cert.h"
#include "base/config.h"

int folder_path(const struct folder *f, const char *name, char out[FILES_PATH_MAX], struct err *err)
{
    return files_join(out, f->dir, name, err);
}

int folder_read_cid(const struct files *f, const char *dir, const char *name, struct cid *out,
                    struct err *err)
{
    char path[FILES_PATH_MAX];
    struct buf text = buf_new(CID_TEXT_MAX);
    int rc = files_join(path, dir, name, err);
    if (rc == 0)
        rc = files_load(f, path, &text, err);
    if (rc == 0 && text.size > 0 && text.data[text.size - 1] == '\n')
        text.size--;
    if (rc == 0 &&
        (strlen(buf_text(&text)) != text.size || cid_parse(buf_text(&text), out, NULL) != 0))
        rc = err_set(err, ERR_CORRUPT, "%.600s does not hold a CID", path);
    buf_fini(&text);
    return rc;
}

int folder_write_cid(const struct files *f, const char *dir, const char *name,
                     const struct cid *cid, bool sync, struct err *err)
{
    char path[FILES_PATH_MAX], text[CID_TEXT_MAX + 1];
    int rc = files_join(path, dir, name, err);
    if (rc != 0)
        return rc;
    cid_format(cid, text);
    size_t size = strlen(text);
    text[size++] = '\n';
    return sync ? files_save(f, path, bytes_of(text, size), err)
                : files_save_unsynced(f, path, bytes_of(text, size), err);
}

static int load_config(struct folder *f, struct err *err)
{
    char path[FILES_PATH_MAX], study[CID_TEXT_MAX], plan[CID_TEXT_MAX];
    static const char a_port[] = "a port from 1 to 65535";
    const struct config_key keys[] = {
        {"study", "id", CONFIG_TEXT, true, study, sizeof study, 0, 0, "a CID"},
        {"study", "plan", CONFIG_TEXT, true, plan, sizeof plan, 0, 0, "a CID"},
        {"listen", "host", CONFIG_TEXT, true, f->host, sizeof f->host, 0, 0, "a name or address"},
        {"listen", "bind", CONFIG_TEXT, true, f->bind, sizeof f->bind, 0, 0, "an address"},
        {"listen", "control", CONFIG_UINT, true, &f->control_port, 0, 1, 65535, a_port},
        {"listen", "hints", CONFIG_UINT, true, &f->hints_port, 0, 1, 65535, a_port},
        {"listen", "https", CONFIG_UINT, true, &f->https_port, 0, 1, 65535, a_port},
    };
    int rc = folder_path(f, "config.toml", path, err);
    if (rc == 0 && !files_exists(files_posix(), path))
        return err_set(err, ERR_NOTFOUND,
                       "%.600s holds no study; make one with `colmeia-coordinator init`", f->dir);
    if (rc == 0)
        rc = config_load(path, keys, sizeof keys / sizeof keys[0], err);
    if (rc == 0 &&
        (cid_parse(study, &f->study_id, err) != 0 || cid_parse(plan, &f->plan_id, err) != 0))
        rc = err_wrap(err, ERR_USAGE, "%.600s", path);
    snprintf(f->control, sizeof f->control, "tcp://%s:%u", f->bind, (unsigned)f->control_port);
    snprintf(f->hints, sizeof f->hints, "tcp://%s:%u", f->bind, (unsigned)f->hints_port);
    return rc;
}

int folder_load_key(const struct folder *f, enum key_kind kind, const char *name, struct key **out,
                    struct err *err)
{
    char path[FILES_PATH_MAX];
    int rc = folder_path(f, name, path, err);
    return rc != 0 ? rc : key_load(kind, path, out, err);
}

static int load_pem(const struct folder *f, const char *name, struct buf *out, struct err *err)
{
    char path[FILES_PATH_MAX];
    int rc = folder_path(f, name, path, err);
    return rc != 0 ? rc : files_load(files_posix(), path, out, err);
}

int folder_begin(const char *dir, struct folder *out, struct err *err)
{
    *out =
        (struct folder){.certificate_pem = buf_new(CERT_PEM_MAX), .key_pem = buf_new(CERT_PEM_MAX)};
    size_t size = strlen(dir);
    while (size > 1 && dir[size - 1] == '/')
        size--;
    if (size == 0 || size >= FILES_PATH_MAX - 256)
        return err_set(err, ERR_USAGE, "the folder's path is empty or too long");
    memcpy(out->dir, dir, size);
    return 0;
}

int folder_open(const char *dir, struct folder *out, struct err *err)
{
    struct folder f;
    int rc = folder_begin(dir, &f, err);
    if (rc == 0)
        rc = load_config(&f, err);
    if (rc == 0)
        rc = folder_load_key(&f, KEY_ED25519, "keys/coordinator.key", &f.coordinator, err);
    if (rc == 0)
        rc = folder_load_key(&f, KEY_X25519, "keys/curve.key", &f.curve, err);
    if (rc == 0)
        rc = load_pem(&f, "keys/tls.crt", &f.certificate_pem, err);
    if (rc == 0)
        rc = load_pem(&f, "keys/tls.key", &f.key_pem, err);
    if (rc != 0) {
        folder_close(&f);
        return rc;
    }
    *out = f;
    return 0;
}

void folder_close(struct folder *f)
{
    key_free(f->coordinator);
    key_free(f->curve);
    if (f->key_pem.data != NULL)
        key_wipe(f->key_pem.data, f->key_pem.capacity);
    buf_fini(&f->certificate_pem);
    buf_fini(&f->key_pem);
    f->coordinator = f->curve = NULL;
}

int folder_open_store(const struct folder *f, enum store_mode mode, struct store **out,
                      struct err *err)
{
    char path[FILES_PATH_MAX];
    int rc = folder_path(f, "shared", path, err);
    return rc != 0 ? rc : store_open(files_posix(), path, mode, out, err);
}

int folder_make_invitation(const struct folder *f, const struct key_public *founder,
                           struct invitation *out, struct err *err)
{
    *out = (struct invitation){.study = f->study_id,
                               .plan = f->plan_id,
                               .founder = *founder,
                               .coordinator = key_public(f->coordinator),
                               .curve = key_public(f->curve),
                               .url_count = 1};
    snprintf(out->control, sizeof out->control, "tcp://%s:%u", f->host, (unsigned)f->control_port);
    snprintf(out->hints, sizeof out->hints, "tcp://%s:%u", f->host, (unsigned)f->hints_port);
    snprintf(out->urls[0], sizeof out->urls[0], "https://%s:%u", f->host, (unsigned)f->https_port);
    return cert_pin(buf_bytes(&f->certificate_pem), out->pin, err);
}

int folder_invitation(const char *dir, struct invitation *out, struct err *err)
{
    struct folder f;
    struct store *store = NULL;
    struct study study = {0};
    int rc = folder_open(dir, &f, err);
    if (rc != 0)
        return rc;
    rc = folder_open_store(&f, STORE_READ_ONLY, &store, err);
    if (rc == 0)
        rc = study_load(store, &f.study_id, &f.plan_id, &study, err);
    if (rc == 0)
        rc = folder_make_invitation(&f, &study.charter.founder, out, err);
    study_fini(&study);
    store_close(store);
    folder_close(&f);
    return rc;
}
