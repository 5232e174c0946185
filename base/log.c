/* SPDX-License-Identifier: Apache-2.0 */
#include "base/log.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#include "base/text.h"

#define LINE_MAX_BYTES 4096

/* Any thread may log while main still reads its options. */
static atomic_int least = LOG_LEVEL_WARN;
static pthread_once_t once = PTHREAD_ONCE_INIT;

static void read_environment(void)
{
    static const char *const names[] = {"error", "warn", "info", "debug"};
    const char *wanted = getenv("COLMEIA_LOG");
    for (int i = 0; wanted != NULL && i < 4; i++)
        if (strcmp(wanted, names[i]) == 0)
            least = i;
}

void log_set_level(enum log_level level)
{
    least = (int)level;
    read_environment();
}

static void put(const char *level, const char *event, const char *format, va_list arguments)
{
    struct timeval now;
    struct tm utc;
    char stamp[40], text[LINE_MAX_BYTES - 256];
    gettimeofday(&now, NULL);
    gmtime_r(&now.tv_sec, &utc);
    strftime(stamp, sizeof stamp, "%Y-%m-%dT%H:%M:%S", &utc);
    vsnprintf(text, sizeof text, format, arguments);
    char line[LINE_MAX_BYTES];
    /* On a terminal a line of progress may stand where this one goes. */
    int start = snprintf(line, sizeof line, "%s", isatty(STDERR_FILENO) ? "\r\033[K" : "");
    int size =
        start + snprintf(line + start, sizeof line - 1 - (size_t)start, "%s %s.%03dZ %.64s %s",
                         level, stamp, (int)(now.tv_usec / 1000), event, text);
    for (int i = start; i < size; i++)
        if ((unsigned char)line[i] < 0x20 || line[i] == 0x7f)
            line[i] = '?'; /* somebody forgot log_escape; the line stays one line all the same */
    line[size++] = '\n';
    ssize_t written = write(STDERR_FILENO, line, (size_t)size);
    (void)written;
}

#define LOG_FUNCTION(name, level, text)                                                            \
    void name(const char *event, const char *format, ...)                                          \
    {                                                                                              \
        pthread_once(&once, read_environment);                                                     \
        if (least < (level))                                                                       \
            return;                                                                                \
        va_list arguments;                                                                         \
        va_start(arguments, format);                                                               \
        put(text, event, format, arguments);                                                       \
        va_end(arguments);                                                                         \
    }

LOG_FUNCTION(log_error, LOG_LEVEL_ERROR, "error")
LOG_FUNCTION(log_warn, LOG_LEVEL_WARN, "warn")
LOG_FUNCTION(log_info, LOG_LEVEL_INFO, "info")
LOG_FUNCTION(log_debug, LOG_LEVEL_DEBUG, "debug")

/* The character at `at` if it is whole, shortest and no surrogate; its length, or 0. */
static size_t take_character(const uint8_t *at, size_t left, uint32_t *point)
{
    size_t length = at[0] < 0x80 ? 1 : at[0] < 0xc2 ? 0 : at[0] < 0xe0 ? 2 : at[0] < 0xf0 ? 3 : 4;
    if (length == 0 || length > left || at[0] > 0xf4)
        return 0;
    static const uint8_t mask[] = {0, 0x7f, 0x1f, 0x0f, 0x07};
    uint32_t value = at[0] & mask[length];
    for (size_t i = 1; i < length; i++)
        value = value << 6 | (at[i] & 0x3f);
    if (!text_is_utf8(bytes_of(at, length)) && value != 0)
        return 0;
    *point = value;
    return length;
}

/* C0, DEL and C1 controls; the line and paragraph separators; what turns text round (bidi marks,
 * embeddings, overrides, isolates); invisible characters that make two names look alike. */
static bool is_unsafe(uint32_t c)
{
    return c < 0x20 || (c >= 0x7f && c <= 0x9f) || c == 0x61c || (c >= 0x200b && c <= 0x200f) ||
           (c >= 0x2028 && c <= 0x202e) || (c >= 0x2060 && c <= 0x206f) || c == 0xfeff;
}

void log_escape(struct buf *out, struct bytes text)
{
    buf_append_byte(out, '"');
    for (size_t i = 0; i < text.size;) {
        uint32_t c = text.data[i];
        size_t length = take_character(text.data + i, text.size - i, &c);
        if (length == 0 || c == '"' || c == '\\' || (c < 0x80 && is_unsafe(c)))
            buf_append_format(out, "\\x%02x", text.data[i]);
        else if (is_unsafe(c))
            buf_append_format(out, "\\u{%04x}", c);
        else
            buf_append(out, text.data + i, length);
        i += length == 0 ? 1 : length;
    }
    buf_append_byte(out, '"');
}
