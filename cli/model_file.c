/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/model_file.h"

#include <stdlib.h>

#include "model/safetensors.h"

static int read_tensors(const struct safetensors *s, int fd, uint8_t *data, struct err *err)
{
    const struct files *f = files_posix();
    for (size_t i = 0; i < s->layout->tensor_count; i++) {
        const struct tensor *t = &s->layout->tensors[i];
        int rc = f->read(f->self, fd, s->data_start + s->offsets[i], data + t->offset,
                         (size_t)(t->elements * dtype_bytes(t->dtype)), err);
        if (rc != 0)
            return rc;
    }
    return 0;
}

int model_file_load(const char *path, struct model_file *out, struct err *err)
{
    static const char *const fixed[] = {"input.mean", "input.deviation"};
    const struct safetensors_uses uses = {.fixed = fixed, .fixed_count = 2};
    const struct files *f = files_posix();
    struct safetensors s;
    uint8_t *data = NULL;
    int fd;
    int rc = f->open(f->self, path, FILES_READ, &fd, err);
    if (rc != 0)
        return rc;
    rc = safetensors_open(f, fd, &uses, &s, err);
    if (rc == ERR_USAGE) /* it lacks what every network has */
        rc = ERR_MALFORMED;
    if (rc != 0)
        goto out;
    if (s.layout->data_bytes > MODEL_FILE_BYTES_MAX)
        rc = err_set(err, ERR_LIMIT, "a model of more than 1 GiB");
    if (rc == 0) {
        data = malloc((size_t)s.layout->data_bytes + 1);
        rc = data == NULL ? err_set(err, ERR_NOMEM, "out of memory")
                          : read_tensors(&s, fd, data, err);
    }
    if (rc == 0) {
        *out = (struct model_file){.layout = s.layout, .data = data};
        s.layout = NULL;
        data = NULL;
    }
    free(data);
    safetensors_fini(&s);
out:
    f->close(f->self, fd);
    return rc != 0 ? err_wrap(err, rc, "model %.400s", path) : 0;
}

int model_file_new(const struct network *n, const uint8_t seed[HASH_BYTES], struct model_file *out,
                   struct err *err)
{
    struct model_file m = {.layout = NULL};
    int rc = network_layout(n, &m.layout, err);
    if (rc != 0)
        return rc;
    m.data = malloc((size_t)m.layout->data_bytes + 1);
    if (m.data == NULL) {
        model_file_fini(&m);
        return err_set(err, ERR_NOMEM, "out of memory");
    }
    network_init(n, m.layout, seed, m.data);
    *out = m;
    return 0;
}

int model_file_save(const struct model_file *m, const char *path, struct err *err)
{
    struct buf file = buf_new(MODEL_FILE_BYTES_MAX + SAFETENSORS_HEADER_MAX);
    int rc = safetensors_format(m->layout, &file, err);
    if (rc == 0) {
        buf_append(&file, m->data, (size_t)m->layout->data_bytes);
        rc = buf_check(&file, err);
    }
    if (rc == 0)
        rc = files_save(files_posix(), path, buf_bytes(&file), err);
    buf_fini(&file);
    return rc;
}

void model_file_fini(struct model_file *m)
{
    layout_free(m->layout);
    free(m->data);
    *m = (struct model_file){.layout = NULL};
}
