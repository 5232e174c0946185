/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/study_store.h"

#include "base/files.h"
#include "cli/store_option.h"

/* A study's folder holds its configuration; its store lies in it. */
int study_store_refuse(const char *dir, struct err *err)
{
    char store[FILES_PATH_MAX], folder[FILES_PATH_MAX], config[FILES_PATH_MAX];
    int rc = store_option_path(dir, store, err);
    if (rc != 0)
        return rc;
    files_folder(store, folder);
    const char *const places[] = {store, folder};
    for (size_t i = 0; i < 2; i++) {
        rc = files_join(config, places[i], "config.toml", err);
        if (rc != 0)
            return rc;
        if (files_exists(files_posix(), config))
            return err_set(err, ERR_USAGE,
                           "%s belongs to a study: a study's store keeps what its plan says",
                           store);
    }
    return 0;
}
