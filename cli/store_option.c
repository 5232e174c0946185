/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/store_option.h"

#include <stdio.h>
#include <stdlib.h>

#include "cli/say.h"

static const char *variable(const char *name)
{
    const char *value = getenv(name);
    return value != NULL && value[0] != '\0' ? value : NULL;
}

int store_option_path(const char *given, char out[FILES_PATH_MAX], struct err *err)
{
    const char *dir = given != NULL ? given : variable("COLMEIA_STORE");
    if (dir != NULL)
        return options_store(dir, out, err);
    const char *data = variable("XDG_DATA_HOME"), *home = variable("HOME");
    if (data == NULL && home == NULL)
        return err_set(err, ERR_USAGE, "no home folder is known: give --store DIR");
    return data != NULL ? files_join(out, data, "colmeia/store", err)
                        : files_join(out, home, ".local/share/colmeia/store", err);
}

/* --- is it one? --- */

static bool has_any(const char *path)
{
    static const char *const parts[] = {"blocks", "packs", "models", "lock"};
    char part[FILES_PATH_MAX];
    for (size_t i = 0; i < sizeof parts / sizeof parts[0]; i++)
        if (files_join(part, path, parts[i], NULL) == 0 && files_exists(files_posix(), part))
            return true;
    return false;
}

static int count_one(void *self, const char *name, struct err *err)
{
    bool *some = self;
    (void)name;
    (void)err;
    *some = true;
    return 0;
}

/* A study that has just begun has nothing in it. */
static bool is_studys(const char *path)
{
    static const char tail[] = "/shared";
    size_t size = strlen(path);
    return size >= strlen(tail) && strcmp(path + size - strlen(tail), tail) == 0;
}

static bool makes(enum store_mode mode)
{
    return mode == STORE_WRITE || mode == STORE_SHARE;
}

/* A slip in a name makes no store of somebody's folder, and a folder without blocks is no whole
 * one. */
static int check(const char *given, const char *path, enum store_mode mode, struct err *err)
{
    const struct files *f = files_posix();
    char shown[SAY_SHORT];
    struct files_stat st;
    bool some = false;
    say_short(path, shown);
    int rc = f->stat(f->self, path, &st, err);
    if (rc == ERR_NOTFOUND && makes(mode))
        return 0;
    if (rc == ERR_NOTFOUND)
        return err_set(err, given != NULL ? ERR_USAGE : ERR_NOTFOUND,
                       "no store at %s: `colmeia add` makes one", shown);
    if (rc != 0)
        return err_wrap(err, rc, "store %s", shown);
    if (!st.is_dir)
        return err_set(err, ERR_USAGE, "%s is no folder, and so no store", shown);
    if (has_any(path))
        return 0;
    rc = f->list(f->self, path, count_one, &some, err);
    if (rc != 0)
        return err_wrap(err, rc, "store %s", shown);
    if (some)
        return err_set(err, ERR_USAGE, "%s is not a store and not empty: give another --store DIR",
                       shown);
    return makes(mode) || is_studys(path) ? 0
                                          : err_set(err, ERR_USAGE,
                                                    "no store at %s, which is empty: `colmeia add` "
                                                    "makes one",
                                                    shown);
}

static int open_checked(const char *given, enum store_mode as, enum store_mode mode,
                        struct store **out, struct err *err)
{
    char path[FILES_PATH_MAX];
    int rc = store_option_path(given, path, err);
    if (rc == 0)
        rc = check(given, path, as, err);
    return rc != 0 ? rc : store_open(files_posix(), path, mode, out, err);
}

int store_option_open(const char *given, enum store_mode mode, struct store **out, struct err *err)
{
    return open_checked(given, mode, mode, out, err);
}

int store_option_open_present(const char *given, enum store_mode mode, struct store **out,
                              struct err *err)
{
    return open_checked(given, STORE_READ_ONLY, mode, out, err);
}

int store_option_each(const char *given, enum store_mode mode, const struct options *o,
                      int (*one)(void *self, struct store *s, const char *operand, struct err *err),
                      void *self, struct err *err)
{
    struct store *s = NULL;
    int rc = store_option_open_present(given, mode, &s, err);
    for (size_t i = 0; rc == 0 && i < o->count; i++)
        rc = one(self, s, o->given[i], err);
    store_close(s);
    return rc;
}
