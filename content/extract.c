/* SPDX-License-Identifier: Apache-2.0 */
#include "content/extract.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "base/text.h"
#include "content/extract_internal.h"

int extract_take_room(struct extract *x, uint64_t bytes, struct err *err)
{
    char needed[TEXT_SMALL], left[TEXT_SMALL];
    uint64_t room = atomic_load(&x->room);
    do
        if (bytes > room)
            return err_set(err, ERR_LIMIT, "%s more do not fit on the disk, where %s are free",
                           text_format_size(bytes, needed), text_format_size(room, left));
    while (!atomic_compare_exchange_weak(&x->room, &room, room - bytes));
    return 0;
}

/* --- one entry --- */

static int make_symlink(struct extract *x, const struct extract_place *place, struct bytes target,
                        struct err *err)
{
    char text[PATH_MAX], name[EXTRACT_NAME_TEMPORARY];
    unsigned up = place->depth > 0 ? place->depth - 1 : 0;
    int rc = extract_name_check_target(target, x->o->any_symlink ? UINT_MAX : up, err);
    if (rc != 0)
        return rc;
    memcpy(text, target.data, target.size); /* PATH_MAX - 1 bytes at most */
    text[target.size] = '\0';
    if (place->depth > 0) /* as a file in such a folder */
        return symlinkat(text, place->folder, place->name) == 0 ? 0
                                                                : err_errno(err, "make a symlink");
    for (int i = 1; symlinkat(text, place->folder, extract_name_temporary(name)) != 0; i++)
        if (errno != EEXIST || i == EXTRACT_NAME_TRIES)
            return err_errno(err, "make a symlink");
    rc = extract_name_take(place, name, err);
    if (rc != 0)
        unlinkat(place->folder, name, 0);
    return rc;
}

enum kind {
    KIND_FILE, /* of several blocks */
    KIND_FOLDER,
    KIND_DONE
};

/* What one block tells of the entry; a symlink and a file that is all in it are done at once. */
static int look(struct extract *x, const struct extract_place *place, const struct cid *cid,
                enum kind *kind, struct err *err)
{
    struct unixfs_node node = {0};
    char text[CID_TEXT_MAX];
    *kind = KIND_DONE;
    struct slab slab = slabs_take(&x->slabs);
    int rc = block_source_get(&x->o->source, cid, &slab.a, err);
    struct bytes block = buf_bytes(&slab.a);
    if (rc == 0 && cid_codec(cid) == CID_RAW) {
        rc = extract_file_bytes(x, place, block, err);
    } else if (rc == 0 && cid_codec(cid) != CID_DAG_PB) {
        rc = err_set(err, ERR_UNSUPPORTED, "%s is neither a file nor a folder",
                     cid_format(cid, text));
    } else if (rc == 0) {
        rc = unixfs_node_decode(block, &node, err);
        if (rc == 0 && node.type == UNIXFS_SYMLINK)
            rc = make_symlink(x, place, node.data, err);
        else if (rc == 0 && (node.type == UNIXFS_DIRECTORY || node.type == UNIXFS_HAMT))
            *kind = KIND_FOLDER;
        else if (rc == 0 && node.pb.link_count == 0)
            rc = extract_file_bytes(x, place, node.data, err);
        else
            *kind = KIND_FILE;
        unixfs_node_fini(&node);
    }
    slabs_give(&x->slabs, &slab);
    return rc;
}

int extract_entry(struct extract *x, const struct extract_place *place, const struct cid *cid,
                  bool *later, struct err *err)
{
    enum kind kind;
    bool large = false;
    int rc = look(x, place, cid, &kind, err);
    if (rc == 0 && kind == KIND_FOLDER && later == NULL)
        return extract_folder(x, place, cid, err);
    if (rc == 0 && kind == KIND_FOLDER)
        *later = true;
    if (rc == 0 && kind == KIND_FILE)
        rc = extract_file(x, later == NULL ? x->o->jobs : NULL, place, cid,
                          later == NULL ? NULL : &large, err);
    if (large) {
        *later = true;
        return 0;
    }
    if (rc == ERR_EXISTS && place->depth > 0) /* the folder was made here */
        rc = err_set(err, ERR_DENIED, "its folder has this name twice: refused");
    return rc != 0 ? err_wrap(err, rc, "%.400s%s", place->path, place->name) : 0;
}

/* --- the root --- */

int extract_check_free(struct extract *x, int folder, uint64_t declared, struct err *err)
{
    struct statvfs s;
    char needed[TEXT_SMALL], left[TEXT_SMALL];
    if (fstatvfs(folder, &s) != 0)
        return err_errno(err, "free space");
    uint64_t room = (uint64_t)s.f_bavail * s.f_frsize;
    atomic_store(&x->room, room);
    if (declared > room)
        return err_set(err, ERR_LIMIT, "says it has %s, but %s are free on the disk",
                       text_format_size(declared, needed), text_format_size(room, left));
    return 0;
}

/* What the root's block says of its kind and of the bytes that are to come. */
static int declare(const struct extract_options *o, const struct cid *root, bool *folder,
                   uint64_t *bytes, struct err *err)
{
    struct buf block = buf_new(BLOCK_BYTES_MAX);
    struct unixfs_node node = {0};
    *folder = false;
    *bytes = 0;
    int rc = block_source_get(&o->source, root, &block, err);
    if (rc == 0 && cid_codec(root) == CID_DAG_PB)
        rc = unixfs_node_decode(buf_bytes(&block), &node, err);
    if (rc == 0 && cid_codec(root) == CID_DAG_PB) {
        *folder = node.type == UNIXFS_DIRECTORY || node.type == UNIXFS_HAMT;
        *bytes = node.file_bytes;
        for (size_t i = 0; *folder && i < node.pb.link_count; i++) {
            uint64_t more = node.pb.links[i].total_bytes;
            *bytes = *bytes > UINT64_MAX - more ? UINT64_MAX : *bytes + more;
        }
    } else if (rc == 0) {
        *bytes = block.size;
    }
    if (rc == 0 && o->progress != NULL)
        progress_count_set(o->progress, 0, *bytes);
    unixfs_node_fini(&node);
    buf_fini(&block);
    return rc;
}

/* A folder appears whole too: it is filled under another name. */
static int extract_root_folder(struct extract *x, const struct extract_place *place,
                               const struct cid *root, struct err *err)
{
    char name[EXTRACT_NAME_TEMPORARY];
    struct extract_place temporary = *place;
    temporary.name = name;
    temporary.shown = place->name;
    int rc = ERR_EXISTS;
    for (int i = 0; rc == ERR_EXISTS && i < EXTRACT_NAME_TRIES; i++) {
        extract_name_temporary(name);
        rc = extract_folder(x, &temporary, root, err);
    }
    if (rc == ERR_EXISTS)
        return rc; /* it is somebody else's */
    if (rc == 0) {
        rc = extract_name_take(place, name, err);
        rc = rc != 0 ? err_wrap(err, rc, "%.400s%s", place->path, place->name) : 0;
    }
    if (rc != 0)
        extract_folder_remove(place->folder, name);
    return rc;
}

int extract_check_there(const struct extract_place *place, bool *there, struct err *err)
{
    struct stat s;
    bool is = fstatat(place->folder, place->name, &s, AT_SYMLINK_NOFOLLOW) == 0;
    if (is && S_ISDIR(s.st_mode))
        return err_set(err, ERR_EXISTS, "a folder by that name is there already");
    if (is && !place->replace)
        return err_set(err, ERR_EXISTS, "it is there already");
    if (there != NULL)
        *there = is;
    return 0;
}

/* May the root be written, as far as can be told beforehand? */
static int prepare(struct extract *x, const struct extract_place *place, const struct cid *root,
                   bool *folder, struct err *err)
{
    uint64_t bytes = 0;
    bool there = false;
    int rc = extract_check_there(place, &there, err);
    if (rc == 0)
        rc = declare(x->o, root, folder, &bytes, err);
    if (rc == 0 && there && *folder)
        rc = err_set(err, ERR_EXISTS, "a file by that name is there, and this is a folder");
    return rc != 0 ? rc : extract_check_free(x, place->folder, bytes, err);
}

static int extract_root(struct extract *x, const struct extract_place *place,
                        const struct cid *root, struct err *err)
{
    bool folder = false;
    int rc = prepare(x, place, root, &folder, err);
    if (rc != 0)
        return err_wrap(err, rc, "%.400s%s", place->path, place->name);
    rc = folder ? extract_root_folder(x, place, root, err)
                : extract_entry(x, place, root, NULL, err);
    if (rc == 0 && x->o->sync && fsync(place->folder) != 0)
        rc = err_errno(err, "sync the folder of %.400s", place->name);
    return rc;
}

int extract_split(const char *out, char **folder, char **name, struct err *err)
{
    size_t size = strlen(out), start;
    while (size > 1 && out[size - 1] == '/')
        size--;
    for (start = size; start > 0 && out[start - 1] != '/';)
        start--;
    *folder = strndup(out, start);
    *name = strndup(out + start, size - start);
    if (*folder == NULL || *name == NULL)
        return err_set(err, ERR_NOMEM, "out of memory");
    if (**name == '\0' || strcmp(*name, ".") == 0 || strcmp(*name, "..") == 0)
        return err_set(err, ERR_USAGE, "\"%s\" is no name for something new", out);
    return 0;
}

int extract_open_place(struct extract_place *place, const char *folder, const char *name,
                       struct err *err)
{
    place->path = folder;
    place->name = name;
    place->folder = open(folder[0] == '\0' ? "." : folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    return place->folder >= 0 ? 0 : err_errno(err, "folder %.400s", folder);
}

int extract_path(const struct extract_options *o, const struct cid *root, const char *out,
                 struct err *err)
{
    struct extract x = {.o = o};
    struct extract_place place = {.folder = -1, .replace = o->force};
    char *folder = NULL, *name = NULL;
    slabs_init(&x.slabs, BLOCK_BYTES_MAX);
    int rc = extract_split(out, &folder, &name, err);
    if (rc == 0)
        rc = extract_open_place(&place, folder, name, err);
    if (rc == 0)
        rc = extract_root(&x, &place, root, err);
    if (place.folder >= 0)
        close(place.folder);
    slabs_fini(&x.slabs);
    free(folder);
    free(name);
    return rc;
}
