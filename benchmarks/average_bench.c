/* SPDX-License-Identifier: Apache-2.0 */
/*
 * average_bench -- the exact average from memory: GB of f32 updates a second on one core and on
 * two, and the hash of the result, for the OpenBLAS kernel that this process was started with.
 *
 * Weights up to 2^29 - 1, deltas over the whole range of f32. A line a measurement: `KERNEL THREADS
 * WAY GB/S SHA-256`, where WAY is how it was summed. average_bench.py runs this under several
 * kernels and compares.
 */
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "aggregate/accumulate.h"
#include "base/hash.h"
#include "base/jobs.h"
#include "base/random.h"
#include "model/gemm.h"
#include "model/layout.h"

#define UPDATES  6
#define SHARDS   64
#define ELEMENTS ((size_t)SHARDS * LAYOUT_SHARD_ELEMENTS)
#define RUNS     7 /* the best counts: what the machine can do, not what else it did */

/* The first two cancel but for what stands between them. */
static const uint32_t weights[UPDATES] = {
    ACCUMULATE_WEIGHT_MAX, ACCUMULATE_WEIGHT_MAX, 536870909, 1, 402653189, 77};

typedef void add_function(double *acc, const float *delta, size_t n, uint32_t weight);

struct average {
    add_function *add;
    const float *updates[UPDATES]; /* (ELEMENTS), as they lie in memory: the order of arrival */
    size_t roster[UPDATES];        /* the order of the sum */
    const float *base;
    float *next;
};

static double now_s(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

static void *must(void *memory)
{
    if (memory == NULL) {
        fprintf(stderr, "average_bench: out of memory\n");
        exit(1);
    }
    return memory;
}

static void average_shard(void *self, size_t i)
{
    struct average *a = self;
    size_t at = i * LAYOUT_SHARD_ELEMENTS;
    static _Thread_local double acc[LAYOUT_SHARD_ELEMENTS];
    uint64_t total = 0;
    memset(acc, 0, sizeof acc);
    for (size_t k = 0; k < UPDATES; k++) {
        size_t site = a->roster[k];
        a->add(acc, a->updates[site] + at, LAYOUT_SHARD_ELEMENTS, weights[site]);
        total += weights[site];
    }
    (void)accumulate_finish_f32(a->base + at, acc, LAYOUT_SHARD_ELEMENTS, total, a->next + at);
}

static void measure(struct average *a, size_t threads, const char *way)
{
    struct jobs *jobs;
    uint8_t digest[HASH_BYTES];
    char text[2 * HASH_BYTES + 1];
    double best = 1e9;
    struct err err;
    if (jobs_new(threads, &jobs, &err) != 0) {
        fprintf(stderr, "average_bench: %s\n", err.text);
        exit(1);
    }
    for (size_t run = 0; run < RUNS; run++) {
        memset(a->next, 0, ELEMENTS * sizeof(float));
        double start = now_s();
        jobs_split(jobs, SHARDS, average_shard, a);
        double seconds = now_s() - start;
        best = seconds < best ? seconds : best;
    }
    jobs_free(jobs);
    hash_sha256(bytes_of(a->next, ELEMENTS * sizeof(float)), digest);
    bytes_format_hex(bytes_of(digest, sizeof digest), text);
    printf("%s %zu %s %.3f %s\n", gemm_kernel(), threads, way,
           (double)(UPDATES * ELEMENTS * sizeof(float)) * 1e-9 / best, text);
}

/* The same bytes copied, on one core: what memory allows. */
static void measure_memcpy(const struct average *a)
{
    double best = 1e9;
    for (size_t run = 0; run < RUNS; run++) {
        double start = now_s();
        for (size_t k = 0; k < UPDATES; k++)
            memcpy(a->next, a->updates[k], ELEMENTS * sizeof(float));
        double seconds = now_s() - start;
        best = seconds < best ? seconds : best;
    }
    printf("- 1 memcpy %.3f -\n", (double)(UPDATES * ELEMENTS * sizeof(float)) * 1e-9 / best);
}

/* Any finite f32. The second update is the first one's negative. */
static void fill(float *memory)
{
    uint8_t key[HASH_BYTES];
    struct random_stream s;
    uint8_t *bytes = (uint8_t *)memory;
    hash_sha256(bytes_of_text("average"), key);
    random_stream_init(&s, key);
    random_stream_fill(&s, bytes, (UPDATES + 1) * ELEMENTS * sizeof(float));
    for (size_t i = 0; i < (UPDATES + 1) * ELEMENTS; i++) {
        uint32_t bits = bytes_get_u32(bytes + 4 * i);
        if ((bits & 0x7f800000) == 0x7f800000)
            bytes_put_u32(bytes + 4 * i, bits ^ 0x40000000);
    }
    for (size_t i = 0; i < ELEMENTS; i++)
        memory[ELEMENTS + i] = -memory[i];
    for (size_t i = 0; i < ELEMENTS; i++) /* a base that does not hide small sums */
        memory[UPDATES * ELEMENTS + i] *= 0x1p-100f;
}

int main(void)
{
    float *memory = must(aligned_alloc(64, (UPDATES + 2) * ELEMENTS * sizeof(float)));
    struct average a = {.base = memory + UPDATES * ELEMENTS,
                        .next = memory + (UPDATES + 1) * ELEMENTS};
    gemm_setup();
    fill(memory);
    for (size_t k = 0; k < UPDATES; k++) {
        a.roster[k] = k;
        a.updates[k] = memory + k * ELEMENTS;
    }
    measure_memcpy(&a);
    for (size_t threads = 1; threads <= 2; threads++) {
        a.add = accumulate_add_f32_naive;
        measure(&a, threads, "plain");
        a.add = accumulate_add_f32;
        measure(&a, threads, "blas");
    }
    a.roster[1] = 2; /* another roster: what does not cancel at once is rounded away */
    a.roster[2] = 1;
    measure(&a, 2, "other-roster");
    a.roster[1] = 1;
    a.roster[2] = 2;
    /* Other arrivals: the same updates at other places of the memory. */
    float *moved = must(malloc(UPDATES * ELEMENTS * sizeof(float)));
    for (size_t k = 0; k < UPDATES; k++) {
        size_t place = (5 * k + 3) % UPDATES;
        memcpy(moved + place * ELEMENTS, a.updates[k], ELEMENTS * sizeof(float));
        a.updates[k] = moved + place * ELEMENTS;
    }
    measure(&a, 2, "other-arrival");
    free(moved);
    free(memory);
    return 0;
}
