/* SPDX-License-Identifier: Apache-2.0 */
#include "content/extract_part.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/files.h"
#include "content/extract_internal.h"

#define HEAD_BYTES      200 /* of OUT, if it is longer than most */
#define TAIL_CHARACTERS 12
#define OPENS_TRIED     10 /* another command may finish it between our opening and locking it */

struct extract_part {
    struct extract_options o;
    struct extract_place place;
    char *folder, *name; /* the place's */
    char part[NAME_MAX + 1];
    int fd; /* -1: not begun, or finished */
};

static int name_part(struct extract_part *p, const struct cid *cid, struct err *err)
{
    char text[CID_TEXT_MAX];
    size_t size = strlen(cid_format(cid, text));
    if (strlen(p->name) > NAME_MAX)
        return err_set(err, ERR_USAGE, "the name %.100s... is too long", p->name);
    const char *tail = size > TAIL_CHARACTERS ? text + size - TAIL_CHARACTERS : text;
    snprintf(p->part, sizeof p->part, "%.*s.%.*s.part", HEAD_BYTES, p->name, TAIL_CHARACTERS, tail);
    return 0;
}

int extract_part_open(const struct extract_options *o, const struct cid *cid, const char *out,
                      struct extract_part **p, struct err *err)
{
    struct extract_part *made = calloc(1, sizeof *made);
    if (made == NULL)
        return err_set(err, ERR_NOMEM, "out of memory");
    made->o = *o;
    made->fd = -1;
    made->place = (struct extract_place){.folder = -1, .replace = o->force};
    int rc = extract_split(out, &made->folder, &made->name, err);
    if (rc == 0)
        rc = name_part(made, cid, err);
    if (rc == 0)
        rc = extract_open_place(&made->place, made->folder, made->name, err);
    if (rc == 0)
        rc = extract_check_there(&made->place, NULL, err);
    if (rc != 0) {
        extract_part_close(made, false);
        return rc;
    }
    *p = made;
    return 0;
}

/* Is the open file still the one by that name, and, if it was `found`, one of ours alone? What
 * another user put there could be changed by them later, and what has a second name is the file
 * of somebody who would find our bytes in it. */
static int check_open(const struct extract_part *p, int fd, bool found, bool *same, struct err *err)
{
    struct stat open, named;
    const char *why = NULL;
    if (fstat(fd, &open) != 0)
        return err_errno(err, "%s", p->part);
    if (!S_ISREG(open.st_mode))
        why = "is no plain file";
    else if (found && open.st_uid != geteuid())
        why = "belongs to another user";
    else if (found && open.st_nlink > 1)
        why = "has another name besides";
    if (why != NULL)
        return err_set(err, ERR_DENIED, "%s is in the way, and %s: remove it", p->part, why);
    *same = fstatat(p->place.folder, p->part, &named, AT_SYMLINK_NOFOLLOW) == 0 &&
            open.st_dev == named.st_dev && open.st_ino == named.st_ino;
    return 0;
}

static int open_once(struct extract_part *p, bool *same, struct err *err)
{
    const struct files *f = files_posix();
    int flags = O_RDWR | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC;
    int fd = openat(p->place.folder, p->part, flags | O_CREAT | O_EXCL, 0666);
    bool found = fd < 0 && errno == EEXIST;
    if (found)
        fd = openat(p->place.folder, p->part, flags);
    if (found && fd < 0 && errno == ENOENT)
        return 0; /* finished meanwhile: not the same */
    if (fd < 0)
        return err_errno(err, "make %s", p->part);
    int rc = f->lock_fd(f->self, fd, false, err);
    if (rc == ERR_DENIED)
        rc = err_set(err, rc, "another command is writing %s", p->part);
    if (rc == 0)
        rc = check_open(p, fd, found, same, err);
    if (rc == 0 && *same)
        p->fd = fd;
    else
        close(fd);
    return rc;
}

/* What the part has already does not count against what is free. */
static int make_room(const struct extract_part *p, uint64_t bytes, struct err *err)
{
    struct stat s;
    struct extract x = {.o = &p->o};
    if (fstat(p->fd, &s) != 0)
        return err_errno(err, "%s", p->part);
    uint64_t held = (uint64_t)s.st_blocks * 512;
    int rc = extract_check_free(&x, p->place.folder, bytes > held ? bytes - held : 0, err);
    if (rc == 0 && (uint64_t)s.st_size > bytes && ftruncate(p->fd, (off_t)bytes) != 0)
        rc = err_errno(err, "cut %s", p->part);
    return rc;
}

int extract_part_begin(struct extract_part *p, uint64_t bytes, struct err *err)
{
    bool same = false;
    int rc = 0;
    for (int i = 0; rc == 0 && !same && i < OPENS_TRIED; i++)
        rc = open_once(p, &same, err);
    if (rc == 0 && !same)
        rc = err_set(err, ERR_IO, "%s comes and goes", p->part);
    if (rc == 0)
        rc = make_room(p, bytes, err);
    return rc != 0 ? err_wrap(err, rc, "%.400s%s", p->place.path, p->name) : 0;
}

int extract_part_read(struct extract_part *p, uint64_t offset, void *data, size_t size,
                      struct err *err)
{
    const struct files *f = files_posix();
    return f->read(f->self, p->fd, offset, data, size, err);
}

int extract_part_write(struct extract_part *p, uint64_t offset, struct bytes data, struct err *err)
{
    const struct files *f = files_posix();
    int rc = f->write(f->self, p->fd, offset, data.data, data.size, err);
    return rc != 0 ? err_wrap(err, rc, "%.400s%s", p->place.path, p->part) : 0;
}

int extract_part_finish(struct extract_part *p, struct err *err)
{
    const struct files *f = files_posix();
    int rc = p->o.sync ? f->sync(f->self, p->fd, err) : 0;
    if (rc == 0)
        rc = extract_name_take(&p->place, p->part, err);
    if (rc == 0) {
        close(p->fd);
        p->fd = -1;
    }
    if (rc == 0 && p->o.sync && fsync(p->place.folder) != 0)
        rc = err_errno(err, "sync its folder");
    return rc != 0 ? err_wrap(err, rc, "%.400s%s", p->place.path, p->name) : 0;
}

void extract_part_close(struct extract_part *p, bool keep)
{
    if (p == NULL)
        return;
    if (p->fd >= 0) {
        if (!keep)
            unlinkat(p->place.folder, p->part, 0);
        close(p->fd);
    }
    if (p->place.folder >= 0)
        close(p->place.folder);
    free(p->folder);
    free(p->name);
    free(p);
}
