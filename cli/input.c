/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/input.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "cli/say.h"

#define PIECE_BYTES (64u << 10)

int input_open(const char *path, int *fd, struct err *err)
{
    char shown[SAY_SHORT];
    int got = strcmp(path, "-") == 0 ? STDIN_FILENO : open(path, O_RDONLY | O_CLOEXEC);
    if (got < 0)
        return err_errno(err, "open %s", say_short(path, shown));
    *fd = got;
    return 0;
}

void input_close(int fd)
{
    if (fd >= 0 && fd != STDIN_FILENO)
        close(fd);
}

static int read_all(int fd, struct buf *out, struct err *err)
{
    uint8_t piece[PIECE_BYTES];
    for (;;) {
        ssize_t n = read(fd, piece, sizeof piece);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return err_errno(err, "read");
        if (n == 0)
            return 0;
        buf_append(out, piece, (size_t)n);
        int rc = buf_check(out, err);
        if (rc != 0)
            return rc;
    }
}

int input_load(const char *path, struct buf *out, struct err *err)
{
    char shown[SAY_SHORT];
    int fd = -1;
    int rc = input_open(path, &fd, err);
    if (rc == 0 && (rc = read_all(fd, out, err)) != 0)
        rc = err_wrap(err, rc, "%s", say_short(input_name(path), shown));
    input_close(fd);
    return rc;
}

const char *input_name(const char *path)
{
    return strcmp(path, "-") == 0 ? "the standard input" : path;
}

bool input_operands(struct options *o, int *status)
{
    static char name[] = "-", *standard_input[] = {name};
    if (o->count > 0)
        return true;
    if (isatty(STDIN_FILENO)) {
        *status = say_usage(o->command, "give a file's name, or - for the standard input");
        return false;
    }
    o->given = standard_input;
    o->count = 1;
    return true;
}
