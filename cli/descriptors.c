/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/descriptors.h"

#include <fcntl.h>
#include <unistd.h>

void descriptors_fill(void)
{
    for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++) {
        if (fcntl(fd, F_GETFD) >= 0)
            continue;
        /* The lowest number that is free, which is this one; open the wrong way round. */
        int got = open("/dev/null", fd == STDIN_FILENO ? O_WRONLY : O_RDONLY);
        if (got > STDERR_FILENO)
            close(got);
    }
}
