/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/store_option.h"

#include <stdio.h>
#include <stdlib.h>

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

int store_option_open(const char *given, enum store_mode mode, struct store **out, struct err *err)
{
    char path[FILES_PATH_MAX];
    int rc = store_option_path(given, path, err);
    if (rc == 0 && mode == STORE_READ_ONLY && !files_exists(files_posix(), path))
        return err_set(err, ERR_NOTFOUND, "no store at %.600s: `colmeia add` makes one", path);
    return rc != 0 ? rc : store_open(files_posix(), path, mode, out, err);
}

int store_option_open_present(const char *given, enum store_mode mode, struct store **out,
                              struct err *err)
{
    struct store *looked = NULL;
    int rc = store_option_open(given, STORE_READ_ONLY, &looked, err);
    store_close(looked);
    return rc != 0 ? rc : store_option_open(given, mode, out, err);
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
