/* SPDX-License-Identifier: Apache-2.0 */
#include "worker/home.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/config.h"
#include "base/text.h"

#define HOME_SECONDS_MAX       31536000
#define HOME_GRACE_SECONDS_MAX 3600
#define HOME_MEMORY_MIB_MAX    (1u << 30)

static int is_folder(const char *dir, struct err *err)
{
    char path[FILES_PATH_MAX];
    int rc = files_join(path, dir, "config.toml", err);
    if (rc == 0 && !files_exists(files_posix(), path))
        rc = err_set(err, ERR_USAGE,
                     "%s is not a site's folder; make one with colmeia-worker init %s", dir, dir);
    return rc;
}

/* Is it a file with something in it, or a folder, and readable now? */
static int check_data(const char *path, struct err *err)
{
    int rc = 0;
    struct stat s;
    char byte;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0 || fstat(fd, &s) != 0)
        rc = err_set(err, ERR_USAGE, "data file %s: %s", path, strerror(errno));
    else if (!S_ISREG(s.st_mode) && !S_ISDIR(s.st_mode))
        rc = err_set(err, ERR_USAGE, "data file %s is neither a file nor a folder", path);
    else if (S_ISREG(s.st_mode) && s.st_size == 0)
        rc = err_set(err, ERR_USAGE, "data file %s is empty", path);
    else if (S_ISREG(s.st_mode) && read(fd, &byte, 1) != 1)
        rc = err_set(err, ERR_USAGE, "data file %s: %s", path, strerror(errno));
    else if (S_ISDIR(s.st_mode) && access(path, X_OK) != 0)
        rc = err_set(err, ERR_USAGE, "data folder %s: %s", path, strerror(errno));
    if (fd >= 0)
        close(fd);
    return rc;
}

/* The absolute path of data that this user can read. */
static int find_data(const char *data, char out[HOME_DATA_MAX], struct err *err)
{
    char *path = realpath(data, NULL);
    if (path == NULL)
        return err_set(err, ERR_USAGE, "data file %s: %s", data, strerror(errno));
    int rc = check_data(path, err);
    if (rc == 0 && strlen(path) >= HOME_DATA_MAX)
        rc = err_set(err, ERR_USAGE, "data file: its path is longer than %d bytes",
                     HOME_DATA_MAX - 1);
    if (rc == 0)
        memcpy(out, path, strlen(path) + 1);
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

static const char trainer_table[] =
    "\n\n"
    "# The program that trains here, where the plan's trainer is \"program\". Its words are taken\n"
    "# as they are, by no shell; relative names are relative to this folder.\n"
    "# `colmeia-worker trainer` tries it out and prints the digest that a plan may pin.\n"
    "# [trainer]\n"
    "# command = [\"python3\", \"cnn.py\"]\n"
    "# files = []           # further files that its digest covers\n"
    "# stall_seconds = 600  # without a message for so long it counts as hung\n"
    "# memory_mib = 0       # resident, of it and what it starts; 0: no limit\n"
    "# grace_seconds = 5    # to end in when asked; then SIGTERM, then SIGKILL\n";

/* Written last: a folder is one when this file is there. */
static int save_config(const char *dir, const struct cid *plan, const char *data, struct err *err)
{
    char path[FILES_PATH_MAX], cid[CID_TEXT_MAX];
    struct buf text = buf_new(CONFIG_BYTES_MAX);
    buf_append_format(&text,
                      "# What this site decides. `run` reads the file again before every task.\n\n"
                      "# The plan that this site has approved: tasks under any other are refused.\n"
                      "plan = \"%s\"\n\n"
                      "# What the plan's trainer reads, a file or a folder; it never leaves this "
                      "machine.\n",
                      cid_format(plan, cid));
    buf_append_text(&text, data[0] == '\0' ? "# data = " : "data = ");
    config_put_text(&text, data[0] == '\0' ? "/path/to/data.csv" : data);
    buf_append_text(&text, trainer_table);
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

/* The words one behind the other, each with its NUL. */
static int pack_words(const char *key, const struct config_list *from,
                      char out[PROGRAM_WORDS_BYTES_MAX], size_t *count, struct err *err)
{
    size_t at = 0;
    if (from->count > PROGRAM_WORDS_MAX)
        return err_set(err, ERR_USAGE, "[trainer] %s has more than %d items", key,
                       PROGRAM_WORDS_MAX);
    for (size_t i = 0; i < from->count; i++) {
        size_t size = strlen(from->items[i]) + 1;
        if (size > PROGRAM_WORDS_BYTES_MAX - at)
            return err_set(err, ERR_USAGE, "[trainer] %s is longer than %d bytes", key,
                           PROGRAM_WORDS_BYTES_MAX);
        memcpy(out + at, from->items[i], size);
        at += size;
    }
    *count = from->count;
    return 0;
}

/* What the file says, before it is put into its form here. */
struct raw_policy {
    char plan[CID_TEXT_MAX];
    struct config_list command, files;
    double stall_seconds, grace_seconds;
    uint64_t memory_mib;
};

static int load_policy(const char *path, struct raw_policy *raw, char *data, struct err *err)
{
    const struct config_key keys[] = {
        {"", "plan", CONFIG_TEXT, true, raw->plan, sizeof raw->plan, 0, 0, "the CID of a plan"},
        {"", "data", CONFIG_TEXT, false, data, HOME_DATA_MAX, 0, 0, "the path of a file or folder"},
        {"trainer", "command", CONFIG_TEXT_LIST, false, &raw->command, 0, 0, 0, NULL},
        {"trainer", "files", CONFIG_TEXT_LIST, false, &raw->files, 0, 0, 0, NULL},
        {"trainer", "stall_seconds", CONFIG_DOUBLE, false, &raw->stall_seconds, 0, 0.01,
         HOME_SECONDS_MAX, "seconds, up to a year"},
        {"trainer", "memory_mib", CONFIG_UINT, false, &raw->memory_mib, 0, 0, HOME_MEMORY_MIB_MAX,
         "a number of MiB, or 0 for no limit"},
        {"trainer", "grace_seconds", CONFIG_DOUBLE, false, &raw->grace_seconds, 0, 0,
         HOME_GRACE_SECONDS_MAX, "seconds, up to an hour"},
    };
    return config_load(path, keys, sizeof keys / sizeof keys[0], err);
}

static int take_trainer(const struct raw_policy *raw, struct program_config *out, struct err *err)
{
    out->stall_ms = (uint64_t)(raw->stall_seconds * 1000);
    out->grace_ms = (uint64_t)(raw->grace_seconds * 1000);
    out->memory_bytes = raw->memory_mib << 20;
    int rc = pack_words("command", &raw->command, out->command, &out->command_count, err);
    if (rc == 0 && raw->command.count > 0 && raw->command.items[0][0] == '\0')
        rc = err_set(err, ERR_USAGE, "[trainer] command: its first word is empty");
    return rc != 0 ? rc : pack_words("files", &raw->files, out->files, &out->file_count, err);
}

int home_read_policy(const char *dir, struct home_policy *out, struct err *err)
{
    char path[FILES_PATH_MAX];
    struct home_policy p;
    struct raw_policy raw = {.stall_seconds = PROGRAM_STALL_MS / 1e3,
                             .grace_seconds = PROGRAM_GRACE_MS / 1e3};
    memset(&p, 0, sizeof p); /* to the last byte: it is compared */
    int rc = files_join(path, dir, "config.toml", err);
    if (rc == 0)
        rc = load_policy(path, &raw, p.data, err);
    if (rc == 0 && cid_parse(raw.plan, &p.plan, err) != 0)
        rc = err_wrap(err, ERR_USAGE, "%s: plan", path);
    if (rc == 0 && p.data[0] != '\0' && p.data[0] != '/')
        rc = err_set(err, ERR_USAGE, "%s: data: \"%s\" is not an absolute path", path, p.data);
    if (rc == 0 && (rc = take_trainer(&raw, &p.trainer, err)) != 0)
        err_wrap(err, rc, "%s", path);
    config_list_fini(&raw.command);
    config_list_fini(&raw.files);
    if (rc == 0)
        memcpy(out, &p, sizeof p);
    return rc;
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
