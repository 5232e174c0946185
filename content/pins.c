/* SPDX-License-Identifier: Apache-2.0 */
#include "content/pins.h"

#include <stdio.h>

#include "base/text.h"

#define RECURSIVE      "recursive"
#define DIRECT         "direct"
#define LINE_BYTES_MAX (sizeof RECURSIVE + 1 + PINS_NAME_MAX)

/* Nothing that a terminal or a line of a file would take for more than a name. */
static bool is_name(struct bytes name)
{
    for (size_t i = 0; i < name.size; i++)
        if (name.data[i] < 0x20 || name.data[i] == 0x7f ||
            (i > 0 && name.data[i - 1] == 0xc2 && name.data[i] < 0xa0)) /* U+0080 to U+009F */
            return false;
    return name.size < PINS_NAME_MAX && text_is_utf8(name);
}

static int folder_of(const char *root, char out[FILES_PATH_MAX], struct err *err)
{
    return files_join(out, root, "pins", err);
}

static int path_of(const char *root, const struct cid *cid, char out[FILES_PATH_MAX],
                   struct err *err)
{
    char folder[FILES_PATH_MAX], text[CID_TEXT_MAX];
    int rc = folder_of(root, folder, err);
    return rc != 0 ? rc : files_join(out, folder, cid_format(cid, text), err);
}

int pins_add(const struct files *f, const char *root, const struct pin *pin, struct err *err)
{
    char folder[FILES_PATH_MAX], path[FILES_PATH_MAX], line[LINE_BYTES_MAX + 2];
    size_t size = strnlen(pin->name, PINS_NAME_MAX);
    if (!is_name(bytes_of(pin->name, size)))
        return err_set(
            err, ERR_USAGE,
            "a pin's name must be UTF-8 of less than %d bytes without control characters",
            PINS_NAME_MAX);
    if (cid_is_none(&pin->cid))
        return err_set(err, ERR_USAGE, "no CID to pin");
    snprintf(line, sizeof line, "%s%s%s\n", pin->recursive ? RECURSIVE : DIRECT,
             size > 0 ? " " : "", pin->name);
    int rc = folder_of(root, folder, err);
    if (rc == 0)
        rc = files_make_dirs(f, folder, err);
    if (rc == 0)
        rc = path_of(root, &pin->cid, path, err);
    return rc != 0 ? rc : files_save(f, path, bytes_of_text(line), err);
}

static int not_pinned(const struct cid *cid, struct err *err)
{
    char text[CID_TEXT_MAX];
    return err_set(err, ERR_NOTFOUND, "%s is not pinned", cid_format(cid, text));
}

int pins_remove(const struct files *f, const char *root, const struct cid *cid, struct err *err)
{
    char folder[FILES_PATH_MAX], path[FILES_PATH_MAX];
    int rc = folder_of(root, folder, err);
    if (rc == 0)
        rc = path_of(root, cid, path, err);
    if (rc == 0)
        rc = f->unlink(f->self, path, err);
    if (rc == ERR_NOTFOUND)
        return not_pinned(cid, err);
    return rc != 0 ? rc : f->sync_dir(f->self, folder, err);
}

static bool take_word(struct bytes *line, const char *word)
{
    size_t size = strlen(word);
    if (line->size < size || memcmp(line->data, word, size) != 0)
        return false;
    *line = bytes_of(line->data + size, line->size - size);
    return true;
}

static int parse_line(struct bytes line, struct pin *out)
{
    out->recursive = take_word(&line, RECURSIVE);
    if (!out->recursive && !take_word(&line, DIRECT))
        return ERR_CORRUPT;
    if (line.size == 0 || line.data[line.size - 1] != '\n')
        return ERR_CORRUPT;
    line.size--;
    if (line.size > 0 && (!take_word(&line, " ") || line.size == 0))
        return ERR_CORRUPT;
    if (!is_name(line))
        return ERR_CORRUPT;
    memcpy(out->name, line.data, line.size);
    out->name[line.size] = '\0';
    return 0;
}

static int load(const struct files *f, const char *path, struct pin *out, struct err *err)
{
    struct buf line = buf_new(LINE_BYTES_MAX);
    int rc = files_load(f, path, &line, err);
    if (rc == ERR_LIMIT || (rc == 0 && parse_line(buf_bytes(&line), out) != 0))
        rc = err_set(err, ERR_CORRUPT,
                     "%.600s is no pin: remove the file, and pin again what it was for", path);
    buf_fini(&line);
    return rc;
}

int pins_get(const struct files *f, const char *root, const struct cid *cid, struct pin *out,
             struct err *err)
{
    char path[FILES_PATH_MAX];
    struct pin pin = {.cid = *cid};
    int rc = path_of(root, cid, path, err);
    if (rc == 0)
        rc = load(f, path, &pin, err);
    if (rc == ERR_NOTFOUND)
        return not_pinned(cid, err);
    if (rc == 0)
        *out = pin;
    return rc;
}

struct listing {
    const struct files *files;
    char folder[FILES_PATH_MAX];
    int (*each)(void *self, const struct pin *pin, struct err *err);
    void *self;
};

static bool is_temporary(const char *name)
{
    size_t size = strlen(name);
    return size > 4 && strcmp(name + size - 4, ".tmp") == 0;
}

/* Of a name that is no CID in the form in which we write it, only files_save's temporary ones are
 * passed over: a pin that is overlooked is data that gc removes. */
static int each_name(void *arg, const char *name, struct err *err)
{
    struct listing *l = arg;
    char path[FILES_PATH_MAX], text[CID_TEXT_MAX];
    struct pin pin = {0};
    if (is_temporary(name))
        return 0;
    int rc = files_join(path, l->folder, name, err);
    if (rc != 0)
        return rc;
    if (cid_parse(name, &pin.cid, NULL) != 0 || strcmp(cid_format(&pin.cid, text), name) != 0)
        return err_set(err, ERR_CORRUPT, "%.600s is no pin: its name is not a CID; remove the file",
                       path);
    rc = load(l->files, path, &pin, err);
    if (rc == ERR_NOTFOUND)
        return 0; /* removed this moment */
    return rc != 0 ? rc : l->each(l->self, &pin, err);
}

int pins_each(const struct files *f, const char *root,
              int (*each)(void *self, const struct pin *pin, struct err *err), void *self,
              struct err *err)
{
    struct listing l = {.files = f, .each = each, .self = self};
    int rc = folder_of(root, l.folder, err);
    if (rc != 0 || !files_exists(f, l.folder))
        return rc;
    return f->list(f->self, l.folder, each_name, &l, err);
}

static int remove_temporary(void *arg, const char *name, struct err *err)
{
    struct listing *l = arg;
    char path[FILES_PATH_MAX];
    if (!is_temporary(name))
        return 0;
    int rc = files_join(path, l->folder, name, err);
    return rc != 0 ? rc : l->files->unlink(l->files->self, path, err);
}

int pins_sweep(const struct files *f, const char *root, struct err *err)
{
    struct listing l = {.files = f};
    int rc = folder_of(root, l.folder, err);
    if (rc != 0 || !files_exists(f, l.folder))
        return rc;
    return f->list(f->self, l.folder, remove_temporary, &l, err);
}
