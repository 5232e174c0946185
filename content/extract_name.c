/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/log.h"
#include "base/random.h"
#include "base/text.h"
#include "content/directory.h"
#include "content/extract_internal.h"

#define SHOWN_BYTES      64 /* of a bad name in a sentence */
#define TARGET_BYTES_MAX 4095

static bool has_control(struct bytes text)
{
    for (size_t i = 0; i < text.size; i++) {
        uint8_t c = text.data[i];
        bool c1 = c == 0xc2 && i + 1 < text.size && text.data[i + 1] >= 0x80 &&
                  text.data[i + 1] <= 0x9f; /* U+0080 to U+009F */
        if (c < 0x20 || c == 0x7f || c1)
            return true;
    }
    return false;
}

static bool is_text(struct bytes a, const char *text)
{
    return bytes_equal(a, bytes_of_text(text));
}

/* "name "..\x1b" holds a control character". */
static int refuse(const char *what, struct bytes text, const char *why, struct err *err)
{
    struct buf shown = buf_new(1024);
    log_escape(&shown, bytes_of(text.data, text.size < SHOWN_BYTES ? text.size : SHOWN_BYTES));
    int rc = err_set(err, ERR_DENIED, "%s %s%s %s: refused", what, buf_text(&shown),
                     text.size > SHOWN_BYTES ? "..." : "", why);
    buf_fini(&shown);
    return rc;
}

int extract_name_check(struct bytes name, struct err *err)
{
    const char *why = NULL;
    if (name.size == 0)
        why = "is empty";
    else if (is_text(name, ".") || is_text(name, ".."))
        why = "leads out of its folder";
    else if (memchr(name.data, '/', name.size) != NULL)
        why = "holds a slash";
    else if (name.size > DIRECTORY_NAME_MAX)
        why = "is longer than 255 bytes";
    else if (has_control(name))
        why = "holds a control character";
    else if (!text_is_utf8(name))
        why = "is not UTF-8";
    return why == NULL ? 0 : refuse("the name", name, why, err);
}

/* May it step upwards, then only at its beginning, and no more than `most` times: what comes behind
 * a name may be a symlink itself, so that `a/..` need not be where it seems. */
static bool leads_out(struct bytes target, unsigned most)
{
    unsigned up = 0;
    bool named = false;
    if (target.data[0] == '/')
        return true;
    for (size_t at = 0; at < target.size;) {
        const uint8_t *slash = memchr(target.data + at, '/', target.size - at);
        size_t end = slash == NULL ? target.size : (size_t)(slash - target.data);
        struct bytes part = bytes_of(target.data + at, end - at);
        if (is_text(part, "..") && (named || ++up > most))
            return true;
        named = named || (part.size > 0 && !is_text(part, ".") && !is_text(part, ".."));
        at = end + 1;
    }
    return false;
}

int extract_name_check_target(struct bytes target, unsigned up, struct err *err)
{
    const char *why = NULL;
    if (target.size == 0)
        why = "is empty";
    else if (target.size > TARGET_BYTES_MAX)
        why = "is too long";
    else if (memchr(target.data, '\0', target.size) != NULL)
        why = "holds a NUL";
    else if (up != UINT_MAX && leads_out(target, up))
        why = "leads out of the folder";
    return why == NULL ? 0 : refuse("the symlink's target", target, why, err);
}

const char *extract_name_temporary(char out[EXTRACT_NAME_TEMPORARY])
{
    uint64_t random;
    random_bytes(&random, sizeof random);
    snprintf(out, EXTRACT_NAME_TEMPORARY, ".colmeia-%016llx.part", (unsigned long long)random);
    return out;
}

int extract_name_take(const struct extract_place *place, const char *from, struct err *err)
{
    int fd = place->folder;
    unsigned flags = place->replace ? 0 : RENAME_NOREPLACE;
    if (renameat2(fd, from, fd, place->name, flags) == 0)
        return 0;
    if (errno == EEXIST)
        return err_set(err, ERR_EXISTS, "there is something by that name");
    if (errno != EINVAL || place->replace)
        return err_errno(err, "rename");
    /* A file system that cannot: the same in two steps. */
    if (faccessat(fd, place->name, F_OK, AT_SYMLINK_NOFOLLOW) == 0)
        return err_set(err, ERR_EXISTS, "there is something by that name");
    return renameat(fd, from, fd, place->name) == 0 ? 0 : err_errno(err, "rename");
}
