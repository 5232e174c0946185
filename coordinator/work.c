/* SPDX-License-Identifier: Apache-2.0 */
#include "coordinator/work.h"

#define DRAIN_MS 100

void work_start(struct coordinator *c, struct work *w, void (*run)(struct job *job))
{
    w->coordinator = c;
    w->job.run = run;
    c->jobs_out++;
    if (w->of_site)
        c->presence[w->site].busy = true;
    c->world->start(c->world->self, &w->job);
}

static void end(struct coordinator *c, struct work *w)
{
    c->jobs_out--;
    if (w->of_site)
        c->presence[w->site].busy = false;
    w->free(w);
}

bool work_finish(struct coordinator *c, struct job *job, struct round_event *event)
{
    struct work *w = (struct work *)job;
    bool made = w->finish(c, w, event);
    end(c, w);
    return made;
}

void work_drain(struct coordinator *c)
{
    const struct world *world = c->world;
    while (c->jobs_out > 0) {
        struct job *job = world->take_done(world->self);
        if (job != NULL) {
            end(c, (struct work *)job);
            continue;
        }
        while (world->receive(world->self, &c->message) != WORLD_NOTHING)
            continue; /* nobody is answered any more */
        world->wait(world->self, DRAIN_MS);
    }
}
