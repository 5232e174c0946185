/* SPDX-License-Identifier: Apache-2.0 */
#include "worker/home.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/config.h"
#include "base/text.h"

static int is_folder(const char *dir, struct err *err)
{
    char path[FILES_PATH_MAX];
    int rc = files_join(path, dir, "config.toml", err);
    if (rc == 0 && !files_exists(files_posix(), path))
        rc = err_set(err, ERR_USAGE,
                     "%s is not a site's folder; make one with colmeia-worker init %s", dir, dir);
    return rc;
}

/* The absolute path of a data file that this user can read now. */
static int find_data(const char *data, char out[HOME_DATA_MAX], struct err *err)
{
    char *path = realpath(data, NULL);
    if (path == NULL)
        return err_set(err, ERR_USAGE, "data file %s: %s", data, strerror(errno));
    int rc = 0;
    struct stat s;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    char byte;
    if (fd < 0 || fstat(fd, &s) != 0)
        rc = err_set(err, ERR_USAGE, "data file %s: %s", path, strerror(errno));
    else if (!S_ISREG(s.st_mode))
        rc = err_set(err, ERR_USAGE, "data file %s is not a file", path);
    else if (s.st_size == 0)
        rc = err_set(err, ERR_USAGE, "data file %s is empty", path);
    else if (read(fd, &byte, 1) != 1)
        rc = err_set(err, ERR_USAGE, "data file %s: %s", path, strerror(errno));
    else if (strlen(path) >= HOME_DATA_MAX)
        rc = err_set(err, ERR_USAGE, "data file: its path is longer than %d bytes",
                     HOME_DATA_MAX - 1);
    if (rc == 0)
        memcpy(out, path, strlen(path) + 1);
    if (fd >= 0)
        close(fd);
    free(path);
    return rc;
}

/* The key in DIR/keys/NAME, made if it is not there yet. */
static int make_key(const char *dir, enum key_kind kind, const char *name, struct key **out,
                    struct err *err)
{
    char keys[FILES_PATH_MAX], path[FILES_PATH_MAX];
    int rc = files_join(keys, dir, "keys", err);
    if (rc == 0)
        rc = files_make_dirs(files_posix(), keys, err);
    if (rc == 0)
        rc = files_join(path, keys, name, err);
    if (rc != 0)
        return rc;
    if (files_exists(files_posix(), path))
        return key_load(kind, path, out, err);
    struct key *k = NULL;
    rc = key_new(kind, &k, err);
    if (rc == 0)
        rc = key_save(k, path, err);
    if (rc != 0) {
        key_free(k);
        return rc;
    }
    *out = k;
    return 0;
}

static int save_line(const char *dir, const char *name, const char *text, struct err *err)
{
    char path[FILES_PATH_MAX];
    struct buf line = buf_new(INVITATION_STRING_MAX + 2);
    buf_append_text(&line, text);
    buf_append_byte(&line, '\n');
    int rc = buf_check(&line, err);
    if (rc == 0)
        rc = files_join(path, dir, name, err);
    if (rc == 0)
        rc = files_save(files_posix(), path, buf_bytes(&line), err);
    buf_fini(&line);
    return rc;
}

/* The one line of DIR/NAME, appended without its end. */
static int load_line(const char *dir, const char *name, struct buf *out, struct err *err)
{
    char path[FILES_PATH_MAX];
    int rc = files_join(path, dir, name, err);
    if (rc == 0)
        rc = files_load(files_posix(), path, out, err);
    if (rc != 0)
        return rc;
    while (out->size > 0 && (out->data[out->size - 1] == '\n' || out->data[out->size - 1] == '\r'))
        out->size--;
    return buf_check(out, err);
}

/* Written last: a folder is one when this file is there. */
static int save_config(const char *dir, const struct cid *plan, const char *data, struct err *err)
{
    char path[FILES_PATH_MAX], cid[CID_TEXT_MAX];
    struct buf text = buf_new(CONFIG_BYTES_MAX);
    buf_append_format(&text,
                      "# What this site decides. `run` reads the file again before every task.\n\n"
                      "# The plan that this site has approved: tasks under any other are refused.\n"
                      "plan = \"%s\"\n\n"
                      "# The table that the plan's trainer reads; it never leaves this machine.\n",
                      cid_format(plan, cid));
    buf_append_text(&text, data[0] == '\0' ? "# data = " : "data = ");
    config_put_text(&text, data[0] == '\0' ? "/path/to/data.csv" : data);
    buf_append_byte(&text, '\n');
    int rc = buf_check(&text, err);
    if (rc == 0)
        rc = files_join(path, dir, "config.toml", err);
    if (rc == 0)
        rc = files_save(files_posix(), path, buf_bytes(&text), err);
    buf_fini(&text);
    return rc;
}

/* Makes keys and site record and saves all that DIR holds at first. */
static int fill(const char *dir, const char *name, const char *data, const char *invitation,
                const struct cid *plan, struct buf *string, struct err *err)
{
    struct key *ed25519 = NULL, *curve = NULL;
    struct buf record = buf_new(RECORD_BYTES_MAX);
    struct site site;
    int rc = files_make_dirs(files_posix(), dir, err);
    if (rc == 0)
        rc = make_key(dir, KEY_ED25519, "site.key", &ed25519, err);
    if (rc == 0)
        rc = make_key(dir, KEY_X25519, "curve.key", &curve, err);
    if (rc == 0) {
        struct key_public public = key_public(curve);
        rc = site_make(name, ed25519, &public, &record, &site, err);
    }
    if (rc == 0) {
        site_format(buf_bytes(&record), string);
        rc = buf_check(string, err);
    }
    if (rc == 0)
        rc = save_line(dir, "site", buf_text(string), err);
    if (rc == 0)
        rc = save_line(dir, "invitation", invitation, err);
    if (rc == 0)
        rc = save_config(dir, plan, data, err);
    buf_fini(&record);
    key_free(ed25519);
    key_free(curve);
    return rc;
}

int home_init(const char *dir, const char *name, const char *data, const char *invitation,
              struct buf *site_string, struct err *err)
{
    struct invitation study;
    char path[FILES_PATH_MAX], data_path[HOME_DATA_MAX] = "";
    if (!text_is_name(name))
        return err_set(err, ERR_USAGE,
                       "\"%s\" is not a name: 1 to 64 of a-z 0-9 - _ . beginning with a letter or "
                       "digit",
                       name);
    int rc = invitation_parse(invitation, &study, err);
    if (rc != 0)
        return err_wrap(err, ERR_USAGE, "invitation");
    if (data != NULL)
        rc = find_data(data, data_path, err);
    if (rc == 0)
        rc = files_join(path, dir, "config.toml", err);
    if (rc != 0)
        return rc;
    if (files_exists(files_posix(), path))
        return err_set(err, ERR_EXISTS,
                       "%s is a site's folder already; colmeia-worker site %s prints its string",
                       dir, dir);
    struct buf string = buf_new(SITE_STRING_MAX);
    rc = fill(dir, name, data_path, invitation, &study.plan, &string, err);
    if (rc == 0)
        buf_append(site_string, string.data, string.size);
    buf_fini(&string);
    return rc != 0 ? err_wrap(err, rc, "make %s", dir) : buf_check(site_string, err);
}

int home_read_policy(const char *dir, struct home_policy *out, struct err *err)
{
    char path[FILES_PATH_MAX], plan[CID_TEXT_MAX] = "";
    struct home_policy p = {.data = ""};
    struct config_key keys[] = {
        {.table = "",
         .name = "plan",
         .type = CONFIG_TEXT,
         .required = true,
         .target = plan,
         .size = sizeof plan,
         .allowed = "the CID of a plan"},
        {.table = "",
         .name = "data",
         .type = CONFIG_TEXT,
         .target = p.data,
         .size = sizeof p.data,
         .allowed = "the path of a file"},
    };
    int rc = files_join(path, dir, "config.toml", err);
    if (rc == 0)
        rc = config_load(path, keys, sizeof keys / sizeof keys[0], err);
    if (rc != 0)
        return rc;
    if (cid_parse(plan, &p.plan, err) != 0)
        return err_wrap(err, ERR_USAGE, "%s: plan", path);
    if (p.data[0] != '\0' && p.data[0] != '/')
        return err_set(err, ERR_USAGE, "%s: data: \"%s\" is not an absolute path", path, p.data);
    *out = p;
    return 0;
}

/* The site's own record: what it says must be what the keys in the folder are. */
static int load_site(struct home *f, struct err *err)
{
    struct buf string = buf_new(SITE_STRING_MAX), record = buf_new(RECORD_BYTES_MAX);
    int rc = load_line(f->dir, "site", &string, err);
    if (rc == 0)
        rc = site_parse(buf_text(&string), &record, err);
    if (rc == 0)
        rc = site_decode(buf_bytes(&record), &f->site, NULL, err);
    if (rc == 0) {
        struct key_public ed25519 = key_public(f->ed25519), curve = key_public(f->curve);
        if (!key_equal(&ed25519, &f->site.ed25519) || !key_equal(&curve, &f->site.curve))
            rc =
                err_set(err, ERR_USAGE, "DIR/site was made with other keys than those in DIR/keys");
    }
    buf_fini(&string);
    buf_fini(&record);
    return rc;
}

static int load_keys(struct home *f, struct err *err)
{
    char path[FILES_PATH_MAX];
    int rc = files_join(path, f->dir, "keys/site.key", err);
    if (rc == 0)
        rc = key_load(KEY_ED25519, path, &f->ed25519, err);
    if (rc == 0)
        rc = files_join(path, f->dir, "keys/curve.key", err);
    if (rc == 0)
        rc = key_load(KEY_X25519, path, &f->curve, err);
    return rc;
}

static int load_invitation(struct home *f, struct err *err)
{
    struct buf string = buf_new(INVITATION_STRING_MAX + 2);
    int rc = load_line(f->dir, "invitation", &string, err);
    if (rc == 0)
        rc = invitation_parse(buf_text(&string), &f->invitation, err);
    buf_fini(&string);
    return rc;
}

int home_open(const char *dir, struct home *out, struct err *err)
{
    int rc = is_folder(dir, err);
    if (rc != 0)
        return rc;
    *out = (struct home){.ed25519 = NULL};
    if (strlen(dir) >= sizeof out->dir)
        return err_set(err, ERR_LIMIT, "%s: path too long", dir);
    memcpy(out->dir, dir, strlen(dir) + 1);
    rc = load_keys(out, err);
    if (rc == 0)
        rc = load_invitation(out, err);
    if (rc == 0)
        rc = load_site(out, err);
    if (rc == 0)
        rc = home_read_policy(dir, &out->policy, err);
    if (rc != 0) {
        home_close(out);
        return err_wrap(err, rc, "site's folder %s", dir);
    }
    return 0;
}

void home_close(struct home *f)
{
    key_free(f->ed25519);
    key_free(f->curve);
    f->ed25519 = NULL;
    f->curve = NULL;
}

int home_site_string(const char *dir, struct buf *out, struct err *err)
{
    int rc = is_folder(dir, err);
    return rc != 0 ? rc : load_line(dir, "site", out, err);
}
