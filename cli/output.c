/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/output.h"

#include <errno.h>
#include <sys/stat.h>

#include "cli/say.h"

static const char *kind_of(mode_t mode)
{
    switch (mode & S_IFMT) {
    case S_IFDIR:
        return "folder";
    case S_IFLNK:
        return "symlink";
    case S_IFIFO:
        return "FIFO";
    case S_IFSOCK:
        return "socket";
    default:
        return "device";
    }
}

int output_check(const char *path, bool force, struct err *err)
{
    char shown[SAY_SHORT];
    struct stat st;
    say_short(path, shown);
    if (path[0] == '\0')
        return err_set(err, ERR_USAGE, "the name of what is to be written is empty");
    if (lstat(path, &st) != 0)
        return errno == ENOENT ? 0 : err_errno(err, "%s", shown);
    if (!S_ISREG(st.st_mode))
        return err_set(err, ERR_USAGE, "%s is a %s: only a file is replaced; give another name",
                       shown, kind_of(st.st_mode));
    if (!force)
        return err_set(err, ERR_USAGE, "%s is there already; --force replaces it", shown);
    return 0;
}
