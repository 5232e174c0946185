/* SPDX-License-Identifier: Apache-2.0 */
#include "study/event_log.h"

#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

/* A killed process may leave half a line: the next one starts on a line of its own. */
static int end_torn_line(int fd, const char *path, struct err *err)
{
    struct stat s;
    char last = '\n';
    if (fstat(fd, &s) != 0)
        return err_errno(err, "stat %s", path);
    if (s.st_size > 0 && pread(fd, &last, 1, s.st_size - 1) != 1)
        return err_errno(err, "read %s", path);
    if (last != '\n' && write(fd, "\n", 1) != 1)
        return err_errno(err, "write %s", path);
    return 0;
}

int event_log_open(struct event_log *l, const char *path, struct err *err)
{
    int fd = open(path, O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0)
        return err_errno(err, "open %s", path);
    int rc = end_torn_line(fd, path, err);
    FILE *file = rc == 0 ? fdopen(fd, "a") : NULL;
    if (rc == 0 && file == NULL)
        rc = err_errno(err, "open %s", path);
    if (rc != 0) {
        close(fd);
        return rc;
    }
    l->file = file;
    return 0;
}

void event_log_close(struct event_log *l)
{
    if (l->file != NULL)
        fclose(l->file);
    l->file = NULL;
}

/* Wall clock, to the millisecond. */
static double now_s(void)
{
    struct timespec t;
    clock_gettime(CLOCK_REALTIME, &t);
    return (double)t.tv_sec + (double)(t.tv_nsec / 1000000) / 1000;
}

/* One line is one write. What cannot be written is lost: no decision reads this file. */
void event_log_put_object(struct event_log *l, const char *event, json_t *object)
{
    json_t *line = json_pack("{s:s,s:o}", "event", event, "time", json_real(now_s()));
    if (line != NULL && object != NULL)
        (void)json_object_update(line, object);
    char *text = json_dumps(line, JSON_COMPACT | JSON_ENSURE_ASCII | JSON_REAL_PRECISION(15));
    if (text != NULL && l->file != NULL) {
        fprintf(l->file, "%s\n", text);
        fflush(l->file);
    }
    free(text);
    json_decref(line);
    json_decref(object);
}

void event_log_put(struct event_log *l, const char *event, const char *format, ...)
{
    json_error_t bad;
    va_list arguments;
    va_start(arguments, format);
    json_t *object = json_vpack_ex(&bad, 0, format, arguments);
    va_end(arguments);
    if (object == NULL) /* such as text that is not UTF-8: say so rather than lose the event */
        object = json_pack("{s:s}", "unwritable", bad.text);
    event_log_put_object(l, event, object);
}
