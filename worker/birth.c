/* SPDX-License-Identifier: Apache-2.0 */
#include "worker/birth.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/files.h"

#define VARIABLES_MAX   4096
#define DESCRIPTORS_MAX 65536

/* All that the new process needs between fork and exec, made before. */
struct start {
    char path[FILES_PATH_MAX];
    const struct birth *birth;
    char **environment;
    pid_t parent;
    int in[2], out[2], notes[2], failure[2]; /* pipes: read end, write end; -1: closed */
};

static void close_end(int *fd)
{
    if (*fd >= 0)
        close(*fd);
    *fd = -1;
}

static bool is_executable(const char *path)
{
    struct stat s;
    return stat(path, &s) == 0 && S_ISREG(s.st_mode) && access(path, X_OK) == 0;
}

static int find_in_path(const char *word, char out[FILES_PATH_MAX], struct err *err)
{
    const char *at = getenv("PATH");
    for (at = at == NULL ? "" : at; *at != '\0';) {
        size_t size = strcspn(at, ":");
        int n = snprintf(out, FILES_PATH_MAX, "%.*s/%s", (int)size, at, word);
        /* An empty or relative folder would be relative to the child's. */
        if (at[0] == '/' && n > 0 && n < FILES_PATH_MAX && is_executable(out))
            return 0;
        at += size + (at[size] == ':');
    }
    return err_set(err, ERR_USAGE, "the command \"%s\" is not found in PATH", word);
}

/* The file that the first word means. */
static int find_command(const struct birth *b, char out[FILES_PATH_MAX], struct err *err)
{
    char folder[PATH_MAX];
    struct stat s;
    const char *word = b->words[0];
    if (realpath(b->folder, folder) == NULL)
        return err_errno(err, "folder %s", b->folder);
    if (strchr(word, '/') == NULL)
        return find_in_path(word, out, err);
    int n = word[0] == '/' ? snprintf(out, FILES_PATH_MAX, "%s", word)
                           : snprintf(out, FILES_PATH_MAX, "%s/%s", folder, word);
    if (n >= FILES_PATH_MAX)
        return err_set(err, ERR_USAGE, "the command's path is too long");
    if (stat(out, &s) != 0)
        return err_set(err, ERR_USAGE, "the command %.400s: %s", out, strerror(errno));
    if (!is_executable(out))
        return err_set(err, ERR_USAGE, "the command %.400s is not an executable file (chmod +x?)",
                       out);
    return 0;
}

/* Our environment with `variable` in it; the array is the caller's, what it points at is not. */
static char **make_environment(const char *variable)
{
    size_t count = 0, name = strcspn(variable, "=") + 1;
    char **made = malloc((VARIABLES_MAX + 2) * sizeof *made);
    if (made == NULL)
        return NULL;
    made[count++] = (char *)(uintptr_t)variable;
    for (char **e = environ; e != NULL && *e != NULL && count <= VARIABLES_MAX; e++)
        if (strncmp(*e, variable, name) != 0)
            made[count++] = *e;
    made[count] = NULL;
    return made;
}

/* Both ends above the standard descriptors, whatever of those our own parent had closed. */
static int make_pipe(int ends[2], struct err *err)
{
    int low[2];
    if (pipe2(low, O_CLOEXEC) != 0)
        return err_errno(err, "pipe");
    for (int i = 0; i < 2; i++) {
        ends[i] = fcntl(low[i], F_DUPFD_CLOEXEC, STDERR_FILENO + 1);
        close(low[i]);
    }
    return ends[0] < 0 || ends[1] < 0 ? err_errno(err, "pipe") : 0;
}

static void close_pipe(int ends[2])
{
    close_end(&ends[0]);
    close_end(&ends[1]);
}

static void close_on_exec(void)
{
    if (close_range(STDERR_FILENO + 1, UINT_MAX, CLOSE_RANGE_CLOEXEC) == 0)
        return;
    for (int fd = STDERR_FILENO + 1; fd < DESCRIPTORS_MAX; fd++) /* an older kernel */
        (void)fcntl(fd, F_SETFD, FD_CLOEXEC);
}

/* The new process: never returns. What fails is told by its errno. */
static void become(const struct start *s)
{
    struct sigaction usual = {.sa_handler = SIG_DFL};
    sigset_t none;
    for (int i = 1; i < NSIG; i++)
        (void)sigaction(i, &usual, NULL);
    sigemptyset(&none);
    if (setpgid(0, 0) == 0 && prctl(PR_SET_PDEATHSIG, SIGKILL) == 0 && getppid() == s->parent &&
        chdir(s->birth->folder) == 0 && dup2(s->in[0], STDIN_FILENO) >= 0 &&
        dup2(s->out[1], STDOUT_FILENO) >= 0 && dup2(s->notes[1], STDERR_FILENO) >= 0) {
        close_on_exec();
        sigprocmask(SIG_SETMASK, &none, NULL);
        execve(s->path, (char **)(uintptr_t)s->birth->words, s->environment);
    }
    int why = errno;
    ssize_t written = write(s->failure[1], &why, sizeof why);
    (void)written;
    _exit(127);
}

/* No handler of ours runs in the new process: all signals are blocked over the fork. */
static pid_t fork_quietly(struct start *s)
{
    sigset_t all, before;
    sigfillset(&all);
    s->parent = getpid();
    pthread_sigmask(SIG_SETMASK, &all, &before);
    pid_t pid = fork();
    if (pid == 0)
        become(s);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (pid > 0)
        (void)setpgid(pid, pid); /* whoever of the two is first */
    return pid;
}

static int launch(struct start *s, pid_t *out, struct err *err)
{
    int why = 0;
    pid_t pid = fork_quietly(s);
    if (pid < 0)
        return err_errno(err, "fork");
    close_end(&s->failure[1]);
    ssize_t got;
    do
        got = read(s->failure[0], &why, sizeof why); /* nothing, once exec closed the other end */
    while (got < 0 && errno == EINTR);
    if (got == 0) {
        *out = pid;
        return 0;
    }
    (void)waitpid(pid, NULL, 0);
    return err_set(err, ERR_USAGE, "the command %.400s cannot be run: %s%s", s->path, strerror(why),
                   why == ENOEXEC ? " (a script begins with #!)" : "");
}

/* Our ends: the new process's stay as any program expects them. */
static int unblock(const struct start *s, struct err *err)
{
    const int ours[] = {s->in[1], s->out[0], s->notes[0]};
    for (size_t i = 0; i < sizeof ours / sizeof ours[0]; i++)
        if (fcntl(ours[i], F_SETFL, O_NONBLOCK) != 0)
            return err_errno(err, "pipe");
    return 0;
}

static int take(int *fd)
{
    int taken = *fd;
    *fd = -1;
    return taken;
}

int birth_give(struct birth *b, struct err *err)
{
    struct start s = {
        .birth = b, .in = {-1, -1}, .out = {-1, -1}, .notes = {-1, -1}, .failure = {-1, -1}};
    int *const pipes[] = {s.in, s.out, s.notes, s.failure};
    s.environment = make_environment(b->variable);
    int rc = s.environment == NULL ? err_set(err, ERR_NOMEM, "out of memory")
                                   : find_command(b, s.path, err);
    for (size_t i = 0; rc == 0 && i < sizeof pipes / sizeof pipes[0]; i++)
        rc = make_pipe(pipes[i], err);
    if (rc == 0)
        rc = unblock(&s, err);
    if (rc == 0)
        rc = launch(&s, &b->pid, err);
    if (rc == 0) {
        b->in = take(&s.in[1]);
        b->out = take(&s.out[0]);
        b->notes = take(&s.notes[0]);
    }
    for (size_t i = 0; i < sizeof pipes / sizeof pipes[0]; i++)
        close_pipe(pipes[i]);
    free(s.environment);
    return rc;
}
