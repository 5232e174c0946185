/* SPDX-License-Identifier: Apache-2.0 */
#include "base/loop.h"

#include <assert.h>
#include <stdlib.h>

static bool step_checked(struct loop *l, const void *event)
{
#ifdef FAULTS
    memcpy(l->before, l->program.state, l->program.state_bytes);
    bool changed = l->program.step(l->program.self, event);
    assert(changed == (memcmp(l->before, l->program.state, l->program.state_bytes) != 0));
    return changed;
#else
    return l->program.step(l->program.self, event);
#endif
}

static int replay_frame(void *self, const struct journal_frame *frame, struct err *err)
{
    struct loop *l = self;
    struct cbor r = cbor_reader(frame->batch);
    while (cbor_peek(&r) != CBOR_END) {
        int rc = l->program.decode(&r, l->program.event, err);
        if (rc != 0)
            return err_wrap(err, rc, "journal frame %llu", (unsigned long long)frame->sequence);
        bool changed = step_checked(l, l->program.event);
        l->program.forget(l->program.self);
        if (!changed)
            return err_set(err, ERR_CORRUPT,
                           "journal frame %llu holds an event that changes nothing: it was written "
                           "by another version of this program",
                           (unsigned long long)frame->sequence);
        l->replayed++;
    }
    l->offset_ms = frame->time_ms - l->world->now_ms(l->world->self);
    return cbor_finish(&r, err);
}

int loop_open(struct loop *l, const struct world *world, const struct loop_program *program,
              const char *dir, struct err *err)
{
    *l = (struct loop){.world = world, .program = *program};
    l->batch = buf_new(JOURNAL_BATCH_BYTES_MAX);
    l->offset_ms = 0 - world->now_ms(world->self);
    l->before = malloc(program->state_bytes);
    if (l->before == NULL)
        return err_set(err, ERR_NOMEM, "out of memory");
    int rc = journal_open(world->files, dir, replay_frame, l, &l->journal, &l->cut_bytes, err);
    if (rc != 0) {
        free(l->before);
        l->before = NULL;
    }
    return rc;
}

void loop_close(struct loop *l)
{
    journal_close(l->journal);
    buf_fini(&l->batch);
    free(l->before);
    l->journal = NULL;
    l->before = NULL;
}

uint64_t loop_time_ms(const struct loop *l)
{
    return l->world->now_ms(l->world->self) + l->offset_ms;
}

/* Commits what the batch holds as one frame. */
static int commit(struct loop *l, struct err *err)
{
    if (l->batch.size == 0)
        return 0;
    int rc = buf_check(&l->batch, err);
    if (rc == 0)
        rc = journal_append(l->journal, loop_time_ms(l), buf_bytes(&l->batch), err);
    buf_clear(&l->batch);
    return rc;
}

/* Decides one event; what it changed goes into the batch, or begins the next file. */
static int take(struct loop *l, const void *event, struct err *err)
{
    if (!step_checked(l, event))
        return 0;
    uint64_t number;
    if (!l->program.starts_file(event, &number)) {
        l->program.encode(event, &l->batch);
        return 0;
    }
    int rc = commit(l, err);
    if (rc != 0)
        return rc;
    l->program.encode(event, &l->batch);
    rc = buf_check(&l->batch, err);
    if (rc == 0)
        rc = journal_start(l->journal, number, loop_time_ms(l), buf_bytes(&l->batch), err);
    buf_clear(&l->batch);
    return rc;
}

int loop_feed(struct loop *l, const void *event, struct err *err)
{
    int rc = take(l, event, err);
    if (rc == 0)
        rc = commit(l, err);
    if (rc == 0)
        rc = l->program.perform(l->program.self, err);
    return rc;
}

int loop_turn(struct loop *l, uint64_t timeout_ms, struct err *err)
{
    l->world->wait(l->world->self, timeout_ms);
    for (size_t i = 0; i < LOOP_EVENTS_MAX; i++) {
        if (!l->program.next(l->program.self, loop_time_ms(l), l->program.event))
            break;
        int rc = take(l, l->program.event, err);
        if (rc != 0)
            return rc;
    }
    int rc = commit(l, err);
    return rc != 0 ? rc : l->program.perform(l->program.self, err);
}
