/* SPDX-License-Identifier: Apache-2.0 */
#include "worker/child.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/log.h"
#include "worker/birth.h"

#define SLICE_MS  50 /* how often a silent child is looked at: its pipes may outlive it */
#define MINUTE_MS 60000

struct child {
    pid_t pid;          /* of its process group as well */
    int in, out, notes; /* our ends; -1: closed */
    void (*say)(const char *note);
    size_t size, taken; /* bytes in `line`; of them handed out */
    size_t note_size;
    bool note_cut;       /* the rest of that note is dropped */
    uint64_t minute_ms;  /* began then ... */
    size_t said, unsaid; /* ... and so many notes since */
    char last_note[4 * CHILD_NOTE_MAX + 3];
    uint8_t note[CHILD_NOTE_MAX];
    uint8_t line[CHILD_LINE_MAX + 1];
};

static uint64_t now_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

static void close_end(int *fd)
{
    if (*fd >= 0)
        close(*fd);
    *fd = -1;
}

int child_start(const struct child_options *o, struct child **out, struct err *err)
{
    struct birth b = {.words = o->words, .folder = o->folder, .variable = o->variable};
    struct child *c = calloc(1, sizeof *c);
    if (c == NULL)
        return err_set(err, ERR_NOMEM, "out of memory");
    int rc = birth_give(&b, err);
    if (rc != 0) {
        free(c);
        return rc;
    }
    c->pid = b.pid;
    c->in = b.in;
    c->out = b.out;
    c->notes = b.notes;
    c->say = o->say;
    *out = c;
    return 0;
}

/* --- notes: its error output --- */

static void say_unsaid(struct child *c)
{
    char text[64];
    if (c->unsaid == 0)
        return;
    snprintf(text, sizeof text, "(%zu lines left out)", c->unsaid);
    c->unsaid = 0;
    c->say(text);
}

static void end_note(struct child *c)
{
    struct buf safe = buf_new(sizeof c->last_note - 1);
    uint64_t now = now_ms();
    if (c->note_size == 0)
        return;
    log_escape(&safe, bytes_of(c->note, c->note_size));
    snprintf(c->last_note, sizeof c->last_note, "%s%s", buf_text(&safe), c->note_cut ? "..." : "");
    buf_fini(&safe);
    c->note_size = 0;
    c->note_cut = false;
    if (now - c->minute_ms >= MINUTE_MS) {
        say_unsaid(c);
        c->minute_ms = now;
        c->said = 0;
    }
    if (c->said == CHILD_NOTES_A_MINUTE) {
        c->unsaid++;
        return;
    }
    c->said++;
    c->say(c->last_note);
}

/* Progress bars end their lines with a return. */
static void add_notes(struct child *c, const uint8_t *bytes, size_t size)
{
    for (size_t i = 0; i < size; i++) {
        if (bytes[i] == '\n' || bytes[i] == '\r')
            end_note(c);
        else if (c->note_size < sizeof c->note)
            c->note[c->note_size++] = bytes[i];
        else
            c->note_cut = true;
    }
}

/* Takes what is there, but not for ever from one that never stops. */
static void take_notes(struct child *c)
{
    uint8_t bytes[16384];
    for (int i = 0; i < 16 && c->notes >= 0; i++) {
        ssize_t got = read(c->notes, bytes, sizeof bytes);
        if (got > 0) {
            add_notes(c, bytes, (size_t)got);
        } else if (got == 0 || (errno != EAGAIN && errno != EINTR)) {
            close_end(&c->notes);
            end_note(c);
        } else {
            return;
        }
    }
}

/* --- lines --- */

static void take_output(struct child *c)
{
    size_t room = sizeof c->line - c->size;
    if (c->out < 0 || room == 0)
        return;
    ssize_t got = read(c->out, c->line + c->size, room);
    if (got > 0)
        c->size += (size_t)got;
    else if (got == 0 || (errno != EAGAIN && errno != EINTR))
        close_end(&c->out);
}

/* Sleeps until it says or takes something, and keeps what it says. */
static void listen(struct child *c, uint64_t timeout_ms, bool to_write)
{
    struct pollfd fds[] = {{.fd = c->size < sizeof c->line ? c->out : -1, .events = POLLIN},
                           {.fd = c->notes, .events = POLLIN},
                           {.fd = to_write ? c->in : -1, .events = POLLOUT}};
    bool ended = child_has_ended(c); /* before reading: all it said is in the pipes then */
    int ready = poll(fds, 3, ended ? 0 : (int)(timeout_ms < SLICE_MS ? timeout_ms : SLICE_MS));
    if (fds[1].revents != 0)
        take_notes(c);
    if (fds[0].revents != 0)
        take_output(c);
    else if (ended && ready >= 0 && c->size < sizeof c->line)
        close_end(&c->out); /* held open by something it left behind */
}

/* The number of bytes of the first whole line with its end; 0: none. */
static size_t line_size(const struct child *c)
{
    const uint8_t *end = memchr(c->line, '\n', c->size);
    if (end != NULL)
        return (size_t)(end - c->line) + 1;
    return c->out < 0 ? c->size : 0; /* the last one may lack its end */
}

int child_read(struct child *c, uint64_t timeout_ms, struct bytes *line, struct err *err)
{
    uint64_t until = now_ms() + timeout_ms;
    bool listened = false; /* once at least, whatever the time */
    memmove(c->line, c->line + c->taken, c->size - c->taken);
    c->size -= c->taken;
    c->taken = 0;
    for (;;) {
        c->taken = line_size(c);
        if (c->taken > 0) {
            *line = bytes_of(c->line, c->taken - (c->line[c->taken - 1] == '\n'));
            return 0;
        }
        if (c->size == sizeof c->line)
            return err_set(err, ERR_LIMIT, "a line of more than %u bytes", CHILD_LINE_MAX);
        if (c->out < 0)
            return err_set(err, ERR_NOTFOUND, "its output has ended");
        uint64_t now = now_ms();
        if (listened && now >= until)
            return err_set(err, ERR_TIMEOUT, "no line of its output");
        listen(c, now < until ? until - now : 0, false);
        listened = true;
    }
}

/* A write to a pipe that nobody reads must not end us: the signal is held back and taken. */
static ssize_t write_quietly(int fd, const void *data, size_t size)
{
    static const struct timespec none;
    sigset_t broken, before, pending;
    sigemptyset(&broken);
    sigaddset(&broken, SIGPIPE);
    sigpending(&pending);
    pthread_sigmask(SIG_BLOCK, &broken, &before);
    ssize_t n = write(fd, data, size);
    int why = errno;
    if (n < 0 && why == EPIPE && sigismember(&pending, SIGPIPE) == 0)
        (void)sigtimedwait(&broken, NULL, &none);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    errno = why;
    return n;
}

int child_write(struct child *c, struct bytes line, uint64_t timeout_ms, struct err *err)
{
    uint64_t until = now_ms() + timeout_ms;
    for (size_t done = 0; done < line.size;) {
        ssize_t n = c->in < 0 ? -1 : write_quietly(c->in, line.data + done, line.size - done);
        if (n >= 0) {
            done += (size_t)n;
            continue;
        }
        if (c->in < 0 || (errno != EAGAIN && errno != EINTR))
            return err_set(err, ERR_NOTFOUND, "it reads no more");
        uint64_t now = now_ms();
        if (now >= until)
            return err_set(err, ERR_TIMEOUT, "it does not read");
        listen(c, until - now, true);
    }
    return 0;
}

/* --- what it is --- */

bool child_has_ended(const struct child *c)
{
    siginfo_t info = {.si_pid = 0};
    /* Left unburied, its number cannot become somebody else's. */
    int rc = waitid(P_PID, (id_t)c->pid, &info, WEXITED | WNOHANG | WNOWAIT);
    return rc == 0 ? info.si_pid != 0 : errno == ECHILD;
}

/* Resident pages of the process, if it is of the group. /proc/PID/stat: "pid (name) state ppid
 * pgrp ...", where the name may hold anything; the 24th field is rss. */
static uint64_t pages_of(const char *pid, pid_t group)
{
    char path[64], text[2048];
    long pgrp = 0;
    unsigned long long pages = 0;
    snprintf(path, sizeof path, "/proc/%.20s/stat", pid);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t got = fd < 0 ? -1 : read(fd, text, sizeof text - 1);
    if (fd >= 0)
        close(fd);
    if (got <= 0)
        return 0;
    text[got] = '\0';
    const char *behind = strrchr(text, ')');
    if (behind == NULL || sscanf(behind + 1,
                                 " %*c %*s %ld %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s "
                                 "%*s %*s %*s %*s %*s %llu",
                                 &pgrp, &pages) != 2)
        return 0;
    return pgrp == (long)group ? pages : 0;
}

uint64_t child_memory(const struct child *c)
{
    uint64_t pages = 0;
    DIR *folder = opendir("/proc");
    if (folder == NULL)
        return 0;
    for (const struct dirent *e; (e = readdir(folder)) != NULL;)
        if (isdigit((unsigned char)e->d_name[0]))
            pages += pages_of(e->d_name, c->pid);
    closedir(folder);
    return pages * (uint64_t)sysconf(_SC_PAGESIZE);
}

pid_t child_pid(const struct child *c)
{
    return c->pid;
}

const char *child_last_note(const struct child *c)
{
    return c->last_note;
}

/* --- its end --- */

/* Listens meanwhile: one that cannot write cannot end. */
static bool ends_within(struct child *c, uint64_t timeout_ms)
{
    uint64_t until = now_ms() + timeout_ms;
    for (;;) {
        if (child_has_ended(c))
            return true;
        uint64_t now = now_ms();
        if (now >= until)
            return false;
        c->size = c->taken = 0;
        if (c->out < 0 && c->notes < 0)
            (void)poll(NULL, 0, 5);
        else
            listen(c, until - now, false);
    }
}

static void describe(int status, char words[CHILD_WORDS_MAX])
{
    const char *name = WIFSIGNALED(status) ? sigabbrev_np(WTERMSIG(status)) : NULL;
    if (WIFSIGNALED(status))
        snprintf(words, CHILD_WORDS_MAX, "signal %s", name != NULL ? name : "of no name");
    else
        snprintf(words, CHILD_WORDS_MAX, "exit status %d", WEXITSTATUS(status));
}

bool child_stop(struct child *c, uint64_t ask_ms, uint64_t term_ms, char words[CHILD_WORDS_MAX])
{
    int status = 0;
    pid_t buried;
    close_end(&c->in);
    bool willing = ends_within(c, ask_ms);
    if (!willing) {
        (void)kill(-c->pid, SIGTERM);
        (void)ends_within(c, term_ms);
    }
    take_notes(c);
    end_note(c);
    say_unsaid(c);
    (void)kill(-c->pid, SIGKILL); /* also what a child that ended well has left */
    do
        buried = waitpid(c->pid, &status, 0);
    while (buried < 0 && errno == EINTR);
    if (words != NULL && buried == c->pid)
        describe(status, words);
    else if (words != NULL)
        snprintf(words, CHILD_WORDS_MAX, "an end that is not known");
    willing = willing && buried == c->pid && WIFEXITED(status) && WEXITSTATUS(status) == 0;
    c->pid = 0;
    close_end(&c->out);
    close_end(&c->notes);
    return willing;
}

void child_free(struct child *c)
{
    if (c == NULL)
        return;
    if (c->pid > 0)
        (void)child_stop(c, 0, 0, NULL);
    free(c);
}
