/* SPDX-License-Identifier: Apache-2.0 */
#include "base/err.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

int err_set(struct err *err, int code, const char *format, ...)
{
    if (err == NULL)
        return code;
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(err->text, sizeof err->text, format, arguments);
    va_end(arguments);
    err->code = code;
    return code;
}

/* Puts ": reason" behind what stands in err->text. Where both do not fit it is the middle that
 * goes, a long path as a rule, and never the end, which says why. */
static void add_reason(struct err *err, const char *reason)
{
    static const char gap[] = "...";
    char whole[2 * ERR_TEXT_MAX + 2];
    size_t size = (size_t)snprintf(whole, sizeof whole, "%s: %s", err->text, reason);
    size_t most = sizeof err->text - 1, head = most / 3, tail = most - head - strlen(gap);
    if (size <= most)
        memcpy(err->text, whole, size + 1);
    else
        snprintf(err->text, sizeof err->text, "%.*s%s%s", (int)head, whole, gap,
                 whole + size - tail);
}

int err_wrap(struct err *err, int code, const char *format, ...)
{
    if (err == NULL)
        return code;
    char inner[ERR_TEXT_MAX];
    memcpy(inner, err->text, sizeof inner);
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(err->text, sizeof err->text, format, arguments);
    va_end(arguments);
    add_reason(err, inner);
    err->code = code;
    return code;
}

int err_errno(struct err *err, const char *format, ...)
{
    int number = errno;
    int code = ERR_IO;
    if (number == ENOENT || number == ENOTDIR)
        code = ERR_NOTFOUND;
    else if (number == EEXIST)
        code = ERR_EXISTS;
    else if (number == ENOMEM)
        code = ERR_NOMEM;
    if (err == NULL)
        return code;
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(err->text, sizeof err->text, format, arguments);
    va_end(arguments);
    add_reason(err, strerror(number));
    err->code = code;
    return code;
}

const char *err_name(int code)
{
    static const char *const names[] = {"ok",    "nomem",    "usage",      "malformed", "corrupt",
                                        "limit", "notfound", "exists",     "denied",    "io",
                                        "net",   "timeout",  "unsupported"};
    int i = -code;
    return i >= 0 && i < (int)(sizeof names / sizeof names[0]) ? names[i] : "unknown";
}

int err_exit(int code)
{
    switch (code) {
    case ERR_OK:
        return 0;
    case ERR_MALFORMED:
    case ERR_CORRUPT:
    case ERR_DENIED:
    case ERR_NOTFOUND:
        return 1;
    case ERR_USAGE:
        return 2;
    default:
        return 3;
    }
}
