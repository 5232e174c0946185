/* SPDX-License-Identifier: Apache-2.0 */
#include "worker/output.h"

#include <stdio.h>
#include <stdlib.h>

#include "model/safetensors.h"

#define SUFFIX ".canonical"

/* What a tensor is used for is the plan's word, not the file's. */
static int compare(const struct layout *layout, const struct safetensors *found, struct err *err)
{
    for (size_t i = 0; i < found->layout->tensor_count; i++) {
        struct tensor *t = &found->layout->tensors[i];
        const struct tensor *known = layout_find(layout, t->name);
        if (known != NULL)
            t->use = known->use;
    }
    return layout_compare(layout, found->layout, err);
}

/* Is the file one of that layout, and in canonical form? Its being no model at all is the
 * trainer's fault, whatever the reader calls it. */
static int inspect(const struct files *f, const char *path, const struct layout *layout,
                   bool *canonical, struct err *err)
{
    struct safetensors found;
    int fd;
    int rc = f->open(f->self, path, FILES_READ, &fd, err);
    if (rc != 0)
        return rc;
    rc = safetensors_open(f, fd, NULL, &found, err);
    f->close(f->self, fd);
    if (rc == ERR_NOMEM || rc == ERR_IO)
        return rc;
    if (rc != 0)
        return err_wrap(err, ERR_MALFORMED, "its model");
    *canonical = found.canonical;
    rc = compare(layout, &found, err);
    safetensors_fini(&found);
    return rc != 0 ? err_wrap(err, ERR_MALFORMED, "its model") : 0;
}

static int rewrite(const struct files *f, const char *path, const struct layout *layout,
                   struct err *err)
{
    char made[FILES_PATH_MAX];
    const char **names = malloc(2 * (layout->tensor_count + 1) * sizeof *names);
    struct safetensors_uses uses = {.fixed = names, .largest = names + layout->tensor_count};
    if (names == NULL)
        return err_set(err, ERR_NOMEM, "out of memory");
    for (size_t i = 0; i < layout->tensor_count; i++) {
        const struct tensor *t = &layout->tensors[i];
        if (t->use == USE_FIXED)
            names[uses.fixed_count++] = t->name;
        else if (t->use == USE_LARGEST)
            names[layout->tensor_count + uses.largest_count++] = t->name;
    }
    int rc = 0;
    if ((size_t)snprintf(made, sizeof made, "%s" SUFFIX, path) >= sizeof made)
        rc = err_set(err, ERR_LIMIT, "%.64s...: path too long", path);
    if (rc == 0)
        rc = f->unlink(f->self, made, err); /* of a worker that was killed */
    if (rc == 0 || rc == ERR_NOTFOUND)
        rc = safetensors_rewrite(f, path, made, &uses, err);
    if (rc == 0)
        rc = f->rename(f->self, made, path, err);
    free(names);
    return rc;
}

int output_adopt(const struct files *f, const char *path, const struct layout *layout,
                 struct err *err)
{
    bool canonical = false;
    int rc = inspect(f, path, layout, &canonical, err);
    return rc != 0 || canonical ? rc : rewrite(f, path, layout, err);
}
