/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/stored_file.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "cli/store_option.h"
#include "content/extract.h"

static int open_whole(const char *path, const struct cid *root, struct jobs *jobs, int *fd,
                      struct err *err)
{
    struct cid found;
    uint64_t size;
    int rc = unixfs_hash_file(files_posix(), path, jobs, &found, &size, err);
    if (rc == 0 && !cid_equal(root, &found))
        rc = err_set(err, ERR_CORRUPT, "%.400s is damaged: its bytes are not those of its CID",
                     path);
    return rc != 0 ? rc : files_posix()->open(NULL, path, FILES_READ, fd, err);
}

/* It has no name, so that nothing of it stays. Beside the store there is room for what it holds; a
 * folder that is not ours to write, or a file system that cannot, leaves $TMPDIR. */
static int open_nameless(const char *beside, int *fd, struct err *err)
{
    const char *folder = getenv("TMPDIR");
    char path[FILES_PATH_MAX];
    *fd = open(beside, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
    if (*fd >= 0)
        return 0;
    int rc = files_join(path, folder != NULL && folder[0] != '\0' ? folder : "/tmp",
                        "colmeia-XXXXXX", err);
    if (rc != 0)
        return rc;
    *fd = mkostemp(path, O_CLOEXEC);
    if (*fd < 0)
        return err_errno(err, "make %s", path);
    unlink(path);
    return 0;
}

static int write_out(struct store *s, const struct cid *root, struct jobs *jobs, int *fd,
                     struct err *err)
{
    struct extract_options o = {.source = store_source(s), .jobs = jobs};
    int made = -1;
    int rc = open_nameless(store_root(s), &made, err);
    if (rc == 0)
        rc = extract_stream(&o, root, 0, UINT64_MAX, made, err);
    if (rc == 0)
        *fd = made;
    else if (made >= 0)
        close(made);
    return rc;
}

int stored_file_open(const char *dir, const struct cid *root, int *fd, struct err *err)
{
    char path[FILES_PATH_MAX];
    struct store *store = NULL;
    struct jobs *jobs = NULL;
    uint64_t size;
    int rc = store_option_open(dir, STORE_READ_ONLY, &store, err);
    if (rc == 0)
        rc = jobs_new(0, &jobs, err);
    if (rc == 0 && store_model_has(store, root)) {
        rc = store_model_path(store, root, path, &size, err);
        if (rc == 0)
            rc = open_whole(path, root, jobs, fd, err);
    } else if (rc == 0) {
        rc = write_out(store, root, jobs, fd, err);
    }
    jobs_free(jobs);
    store_close(store);
    return rc;
}
