/* SPDX-License-Identifier: Apache-2.0 */
#include "base/fault.h"

#ifdef FAULTS

#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define POINTS_MAX 16

enum action {
    KILL,
    STOP,
    FAIL
};

struct point {
    char name[64];
    unsigned long at; /* which pass acts */
    unsigned long passed;
    enum action action;
};

static struct point points[POINTS_MAX];
static size_t count;
static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_once_t once = PTHREAD_ONCE_INIT;

static void report_unused(void)
{
    for (size_t i = 0; i < count; i++)
        if (points[i].passed < points[i].at)
            fprintf(stderr, "fault: point %s was passed %lu times, not %lu\n", points[i].name,
                    points[i].passed, points[i].at);
}

static void bad(const char *what)
{
    fprintf(stderr, "fault: cannot read COLMEIA_FAULT: %s\n", what);
    exit(2);
}

/* name[:n]=kill|stop|fail */
static void add(char *text)
{
    char *equals = strchr(text, '=');
    if (equals == NULL || count == POINTS_MAX)
        bad(text);
    *equals = '\0';
    struct point *p = &points[count++];
    p->at = 1;
    char *colon = strchr(text, ':');
    if (colon != NULL) {
        *colon = '\0';
        char *end;
        p->at = strtoul(colon + 1, &end, 10);
        if (p->at == 0 || *end != '\0')
            bad(colon + 1);
    }
    if (snprintf(p->name, sizeof p->name, "%s", text) >= (int)sizeof p->name)
        bad(text);
    if (strcmp(equals + 1, "kill") == 0)
        p->action = KILL;
    else if (strcmp(equals + 1, "stop") == 0)
        p->action = STOP;
    else if (strcmp(equals + 1, "fail") == 0)
        p->action = FAIL;
    else
        bad(equals + 1);
}

static void read_environment(void)
{
    const char *text = getenv("COLMEIA_FAULT");
    if (text == NULL)
        return;
    static char copy[1024];
    if (snprintf(copy, sizeof copy, "%s", text) >= (int)sizeof copy)
        bad("too long");
    char *rest = NULL;
    for (char *part = strtok_r(copy, ",", &rest); part != NULL; part = strtok_r(NULL, ",", &rest))
        add(part);
    atexit(report_unused);
}

int fault_hit(const char *name, struct err *err)
{
    pthread_once(&once, read_environment);
    bool act = false;
    enum action action = FAIL;
    pthread_mutex_lock(&mutex);
    for (size_t i = 0; i < count; i++)
        if (strcmp(points[i].name, name) == 0 && ++points[i].passed == points[i].at) {
            act = true;
            action = points[i].action;
        }
    pthread_mutex_unlock(&mutex);
    if (!act)
        return 0;
    if (action == KILL)
        raise(SIGKILL);
    if (action == STOP)
        raise(SIGSTOP);
    return action == FAIL ? err_set(err, ERR_IO, "fault %s", name) : 0;
}

#else
typedef int fault_unused; /* ISO C wants a declaration in every file */
#endif
