/* SPDX-License-Identifier: Apache-2.0 */
/*
 * combine_bench [MIB [UPDATES [THREADS [OPTIMISER]]]] -- sealing and combining a model of random
 * f32 values, from files to files: seconds of each stage and the peak of memory. Default: 1024 MiB,
 * 4 updates, a thread a core, no server optimiser. With one, what is measured is its second round,
 * which reads a state and writes one. Needs (UPDATES + 4) x MIB of disk under TMPDIR (default
 * /tmp), and (UPDATES + 9) x MIB with an optimiser.
 */
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include "base/jobs.h"
#include "base/random.h"
#include "model/gemm.h"
#include "model/safetensors.h"
#include "study/combine.h"
#include "study/seal.h"

#define UPDATES_MAX 64
#define TENSORS     8

struct bench {
    uint64_t mib;
    size_t updates, threads;
    char dir[256];
    struct study study;
    struct store *store;
    struct jobs *jobs;
    struct key *key;
    struct cid base, next, state;
    struct combine_update answers[UPDATES_MAX];
    double seal_s, combine_s, combine_user_s, combine_system_s, dry_s;
};

static struct err err;

static void must(int rc)
{
    if (rc == 0)
        return;
    fprintf(stderr, "combine_bench: %s\n", err.text);
    exit(1);
}

static double now_s(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

static void cpu_s(double *user, double *kernel)
{
    struct rusage r;
    getrusage(RUSAGE_SELF, &r);
    *user = (double)r.ru_utime.tv_sec + (double)r.ru_utime.tv_usec * 1e-6;
    *kernel = (double)r.ru_stime.tv_sec + (double)r.ru_stime.tv_usec * 1e-6;
}

/* VmHWM: the whole process, files that it mapped included. */
static double peak_mib(void)
{
    char line[256];
    double kib = 0;
    FILE *f = fopen("/proc/self/status", "r");
    while (f != NULL && fgets(line, sizeof line, f) != NULL)
        if (strncmp(line, "VmHWM:", 6) == 0)
            kib = strtod(line + 6, NULL);
    if (f != NULL)
        fclose(f);
    return kib / 1024;
}

static const char *in_dir(const struct bench *b, const char *name)
{
    static char path[512];
    snprintf(path, sizeof path, "%s/%s", b->dir, name);
    return path;
}

static void make_layout(struct bench *b)
{
    struct tensor tensors[TENSORS];
    char names[TENSORS][16];
    struct buf block = buf_new(STORE_BLOCK_BYTES_MAX);
    for (size_t i = 0; i < TENSORS; i++) {
        snprintf(names[i], sizeof names[i], "layer.%zu", i);
        tensors[i] = (struct tensor){.name = names[i],
                                     .dtype = DTYPE_F32,
                                     .rank = 2,
                                     .shape = {b->mib * 256 / TENSORS, 1024}};
    }
    must(layout_new(tensors, TENSORS, &b->study.layout, &err));
    must(layout_encode(b->study.layout, &block, &err));
    b->study.plan.layout = cid_of(CID_DAG_CBOR, buf_bytes(&block));
    buf_fini(&block);
}

/* A model of values in (-1, 1), written a MiB at a time: the peak of memory is not this function's.
 */
static void write_model(const struct bench *b, const char *seed, const char *path)
{
    static uint8_t block[1 << 20];
    struct buf header = buf_new(SAFETENSORS_HEADER_MAX);
    uint8_t key[HASH_BYTES];
    struct random_stream s;
    FILE *f = fopen(path, "wb");
    must(safetensors_format(b->study.layout, &header, &err));
    hash_sha256(bytes_of_text(seed), key);
    random_stream_init(&s, key);
    bool ok = f != NULL && fwrite(header.data, 1, header.size, f) == header.size;
    for (uint64_t at = 0; ok && at < b->study.layout->data_bytes; at += sizeof block) {
        random_stream_fill(&s, block, sizeof block);
        for (size_t i = 0; i < sizeof block; i += 4)
            bytes_put_u32(block + i, (bytes_get_u32(block + i) & 0x807fffff) | 0x3f000000);
        ok = fwrite(block, 1, sizeof block, f) == sizeof block;
    }
    /* On the disk before anything is timed: its writing is not what is measured. */
    if (!ok || fflush(f) != 0 || fsync(fileno(f)) != 0 || fclose(f) != 0)
        must(err_errno(&err, "%s", path));
    buf_fini(&header);
}

static void set_up(struct bench *b)
{
    const char *tmp = getenv("TMPDIR");
    snprintf(b->dir, sizeof b->dir, "%.200s/combine-bench-XXXXXX", tmp != NULL ? tmp : "/tmp");
    if (mkdtemp(b->dir) == NULL)
        must(err_errno(&err, "%s", b->dir));
    gemm_setup();
    must(key_setup(&err));
    must(key_new(KEY_ED25519, &b->key, &err));
    must(jobs_new(b->threads, &b->jobs, &err));
    b->threads = jobs_thread_count(b->jobs);
    snprintf(b->study.plan.codec, sizeof b->study.plan.codec, "plain");
    b->study.charter.cid = cid_of(CID_DAG_CBOR, bytes_of_text("charter"));
    b->study.plan.cid = cid_of(CID_DAG_CBOR, bytes_of_text("plan"));
    make_layout(b);
    must(store_open(files_posix(), in_dir(b, "store"), STORE_WRITE, &b->store, &err));
    write_model(b, "base", in_dir(b, "model"));
    must(store_import(b->store, in_dir(b, "model"), b->jobs, &b->base, &err));
}

static void read_answer(struct combine_update *a, const struct cid *record)
{
    struct buf block = buf_new(RECORD_BYTES_MAX);
    struct update u;
    must(pack_get(a->pack, record, &block, &err));
    must(update_decode(buf_bytes(&block), &u, &err));
    a->answer = u.delta;
    a->weight = (uint32_t)u.examples;
    buf_fini(&block);
}

static void seal_all(struct bench *b)
{
    for (size_t i = 0; i < b->updates; i++) {
        struct combine_update *a = &b->answers[i];
        struct cid record;
        char name[32], path[512];
        snprintf(name, sizeof name, "site-%zu", i);
        a->site_name = "a site";
        must(pack_open(files_posix(), in_dir(b, name), true, &a->pack, &err));
        snprintf(path, sizeof path, "%s", in_dir(b, "model"));
        write_model(b, name, path);
        struct seal s = {.study = &b->study,
                         .rule = rule_find("fedavg"),
                         .store = b->store,
                         .base = b->base,
                         .new_model = path,
                         .update = {.round = 1, .examples = 1000 + i},
                         .key = b->key,
                         .pack = a->pack,
                         .jobs = b->jobs};
        double start = now_s();
        must(seal_update(&s, &record, &err));
        b->seal_s += now_s() - start;
        read_answer(a, &record);
    }
}

static double combine(struct bench *b, bool dry, struct combine_result *result)
{
    struct combine c = {.study = &b->study,
                        .rule = rule_find("fedavg"),
                        .store = b->store,
                        .base = b->base,
                        .state = b->state,
                        .t = 1,
                        .updates = b->answers,
                        .update_count = b->updates,
                        .jobs = b->jobs,
                        .dry = dry,
                        .part = "round-1"};
    double start = now_s();
    must(combine_round(&c, result, &err));
    return now_s() - start;
}

/* The state of a first round, to begin from. */
static void make_state(struct bench *b)
{
    struct combine_result result;
    if (optimiser_slots(b->study.plan.optimiser.kind) == 0)
        return;
    combine(b, false, &result);
    b->state = result.state;
    must(store_model_delete(b->store, &result.next, &err));
}

static int remove_one(const char *path, const struct stat *s, int kind, struct FTW *ftw)
{
    (void)s;
    (void)kind;
    (void)ftw;
    return remove(path);
}

static void tear_down(struct bench *b)
{
    for (size_t i = 0; i < b->updates; i++)
        pack_close(b->answers[i].pack);
    store_close(b->store);
    jobs_free(b->jobs);
    key_free(b->key);
    study_fini(&b->study);
    (void)nftw(b->dir, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

static void report(const struct bench *b)
{
    char next[CID_TEXT_MAX];
    double gib = (double)b->mib / 1024, updates = (double)b->updates;
    const char *optimiser = optimiser_name(b->study.plan.optimiser.kind);
    printf("a model of %.2f GiB, %zu updates, %zu threads, optimiser %s, warm\n", gib, b->updates,
           b->threads, optimiser);
    printf("  seal, an update   %6.2f s\n", b->seal_s / updates);
    printf("  combine           %6.2f s  (%.2f GB/s of updates; CPU: %.2f s user, %.2f s system)\n",
           b->combine_s, gib * updates * 1.073741824 / b->combine_s, b->combine_user_s,
           b->combine_system_s);
    printf("  the same, dry     %6.2f s\n", b->dry_s);
    printf("  peak of memory    %6.1f MiB\n", peak_mib());
    printf("  next model        %s\n", cid_format(&b->next, next));
    printf("{\"mib\":%llu,\"updates\":%zu,\"threads\":%zu,\"optimiser\":\"%s\",\"seal_s\":%.3f,"
           "\"combine_s\":%.3f,\"combine_user_s\":%.3f,\"combine_system_s\":%.3f,\"dry_s\":%.3f,"
           "\"peak_mib\":%.1f,"
           "\"next\":\"%s\"}\n",
           (unsigned long long)b->mib, b->updates, b->threads, optimiser, b->seal_s / updates,
           b->combine_s, b->combine_user_s, b->combine_system_s, b->dry_s, peak_mib(), next);
}

int main(int argc, char **argv)
{
    static struct bench b = {.mib = 1024, .updates = 4};
    struct optimiser_setting *o = &b.study.plan.optimiser;
    *o = (struct optimiser_setting){OPTIMISER_NONE, 0.1, 0.9, 0.99, 1e-3};
    if (argc > 1)
        b.mib = strtoull(argv[1], NULL, 10);
    if (argc > 2)
        b.updates = strtoull(argv[2], NULL, 10);
    if (argc > 3)
        b.threads = strtoull(argv[3], NULL, 10);
    bool known = argc <= 4 || optimiser_parse(argv[4], &o->kind);
    if (argc > 5 || !known || b.mib == 0 || b.updates == 0 || b.updates > UPDATES_MAX) {
        fprintf(stderr, "usage: combine_bench [MIB [UPDATES (1..%d) [THREADS [OPTIMISER]]]]\n",
                UPDATES_MAX);
        return 2;
    }
    set_up(&b);
    seal_all(&b);
    make_state(&b);
    double user, kernel;
    struct combine_result made, dry;
    cpu_s(&user, &kernel);
    b.combine_s = combine(&b, false, &made);
    cpu_s(&b.combine_user_s, &b.combine_system_s);
    b.combine_user_s -= user;
    b.combine_system_s -= kernel;
    b.next = made.next;
    b.dry_s = combine(&b, true, &dry);
    bool same = cid_equal(&made.next, &dry.next) && cid_equal(&made.state, &dry.state);
    report(&b);
    tear_down(&b);
    if (!same)
        fprintf(stderr, "combine_bench: the dry run gave another model\n");
    return same ? 0 : 1;
}
