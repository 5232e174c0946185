/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/content/store_scratch.h"

#include <pthread.h>
#include <sys/wait.h>

#include "base/jobs.h"

#define MIB (1u << 20)

static uint8_t *model_file(const char *name, const char *seed, size_t size)
{
    uint8_t *data = stream_bytes(seed, size);
    write_file(in_scratch(name), bytes_of(data, size));
    return data;
}

static struct cid import(struct store *s, const char *name, struct jobs *jobs)
{
    struct cid root;
    struct err err = {0};
    if (store_import(s, in_scratch(name), jobs, &root, &err) != 0)
        fail_msg("%s", err.text);
    return root;
}

/* The leaf that begins at `offset` of the file's bytes. */
static struct cid leaf_at(const uint8_t *data, size_t size, size_t offset)
{
    size_t part = size - offset < MIB ? size - offset : MIB;
    return cid_of(CID_RAW, bytes_of(data + offset, part));
}

static int count_one(void *self, const struct cid *cid, const char *where, struct err *err)
{
    size_t *count = self;
    (void)err;
    assert_non_null(strstr(where, "store/"));
    assert_int_equal(cid->size, CID_BYTES_V1);
    ++*count;
    return 0;
}

static size_t count_blocks(struct store *s)
{
    size_t count = 0;
    assert_int_equal(store_each(s, count_one, NULL, &count, NULL), 0);
    return count;
}

static void test_a_model_is_its_file_and_its_leaves_are_blocks(void **state)
{
    (void)state;
    size_t size = MIB + 1; /* the published vector of two leaves */
    uint8_t *data = model_file("model", "chunk-v1-seed", size);
    struct store *s = open_real();
    struct jobs *jobs;
    assert_int_equal(jobs_new(2, &jobs, NULL), 0);
    struct cid root = import(s, "model", jobs);
    assert_cid(&root, "bafybeigmix7t42i6jacydtquhet7srwvgpizfg7gjbq7627d35mjomtu64");
    struct cid first = leaf_at(data, size, 0), last = leaf_at(data, size, MIB);
    for (int again = 0; again < 2; again++) {
        assert_true(store_model_has(s, &root));
        assert_int_equal(get(s, &first), 0);
        assert_int_equal(get(s, &last), 0);
        assert_int_equal(get(s, &root), 0);
        assert_int_equal(count_blocks(s), 3); /* the node and the two leaves */
        struct buf file = read_file(path_of_model(&root));
        assert_true(bytes_equal(buf_bytes(&file), bytes_of(data, size)));
        buf_fini(&file);
        assert_int_equal(access(path_of(&first), F_OK), -1); /* no second copy */
        char path[FILES_PATH_MAX];
        uint64_t told;
        assert_int_equal(store_model_path(s, &root, path, &told, NULL), 0);
        assert_string_equal(path, path_of_model(&root));
        assert_int_equal(told, size);
        store_close(s);
        s = open_store(files_posix(), again == 0 ? STORE_READ_ONLY : STORE_WRITE);
    }
    char path[FILES_PATH_MAX];
    assert_int_equal(store_model_path(s, &last, path, NULL, NULL), ERR_NOTFOUND);
    struct cid none = {0};
    assert_false(store_model_has(s, &none));
    store_close(s);
    jobs_free(jobs);
    free(data);
}

static void test_models_of_one_leaf_and_of_none_are_models(void **state)
{
    (void)state;
    struct store *s = open_real();
    free(model_file("small", "small", 100));
    write_file(in_scratch("empty"), bytes_of(NULL, 0));
    struct cid small = import(s, "small", NULL), empty = import(s, "empty", NULL);
    assert_cid(&empty, "bafkreihdwdcefgh4dqkjv67uzcmw7ojee6xedzdetojuzjevtenxquvyku");
    for (int again = 0; again < 2; again++) {
        assert_int_equal(get(s, &small), 0);
        assert_int_equal(get(s, &empty), 0);
        struct cid *roots;
        size_t count;
        assert_int_equal(store_model_list(s, &roots, &count, NULL), 0);
        assert_int_equal(count, 2);
        assert_true(memcmp(roots[0].bytes, roots[1].bytes, sizeof roots[0].bytes) < 0);
        free(roots);
        assert_int_equal(store_export(s, &small, in_scratch("out"), NULL), 0);
        struct buf out = read_file(in_scratch("out"));
        assert_int_equal(out.size, 100);
        buf_fini(&out);
        assert_int_equal(store_export(s, &empty, in_scratch("out"), NULL), 0);
        out = read_file(in_scratch("out"));
        assert_int_equal(out.size, 0);
        buf_fini(&out);
        store_close(s);
        s = open_real();
    }
    store_close(s);
}

static void test_what_goes_in_comes_out(void **state)
{
    (void)state;
    size_t size = 19 * MIB + 321; /* more than one window */
    uint8_t *data = model_file("model", "in and out", size);
    struct store *s = open_real();
    struct jobs *jobs;
    struct cid want;
    assert_int_equal(jobs_new(3, &jobs, NULL), 0);
    assert_int_equal(unixfs_hash_file(files_posix(), in_scratch("model"), NULL, &want, NULL, NULL),
                     0);
    struct cid root = import(s, "model", jobs);
    assert_true(cid_equal(&root, &want));
    struct cid again = import(s, "model", NULL); /* a second time changes nothing */
    assert_true(cid_equal(&root, &again));
    assert_int_equal(store_export(s, &root, in_scratch("out"), NULL), 0);
    struct buf out = read_file(in_scratch("out"));
    assert_true(bytes_equal(buf_bytes(&out), bytes_of(data, size)));
    buf_fini(&out);
    struct cid none = cid_of(CID_RAW, bytes_of_text("none"));
    assert_int_equal(store_export(s, &none, in_scratch("not"), NULL), ERR_NOTFOUND);
    assert_int_equal(access(in_scratch("not"), F_OK), -1);
    assert_int_equal(access(in_scratch("not.part"), F_OK), -1);
    assert_int_equal(store_import(s, scratch, jobs, &root, NULL), ERR_USAGE); /* a folder */
    assert_int_equal(store_import(s, in_scratch("absent"), jobs, &root, NULL), ERR_NOTFOUND);
    store_close(s);
    jobs_free(jobs);
    free(data);
}

static void test_a_damaged_leaf_is_named_and_never_exported(void **state)
{
    (void)state;
    size_t size = 3 * MIB;
    uint8_t *data = model_file("model", "damage", size);
    struct store *s = open_real();
    struct cid root = import(s, "model", NULL);
    struct cid second = leaf_at(data, size, MIB), third = leaf_at(data, size, 2 * MIB);
    damage_file(path_of_model(&root), MIB + 77, 1);
    struct buf out = buf_new(STORE_BLOCK_BYTES_MAX);
    struct err err = {0};
    char text[CID_TEXT_MAX];
    assert_int_equal(store_get(s, &second, &out, &err), ERR_CORRUPT);
    assert_non_null(strstr(err.text, path_of_model(&root)));
    assert_non_null(strstr(err.text, "offset 1048576"));
    assert_non_null(strstr(err.text, cid_format(&second, text)));
    assert_int_equal(get(s, &third), 0);
    assert_int_equal(store_export(s, &root, in_scratch("out"), NULL), ERR_CORRUPT);
    assert_int_equal(access(in_scratch("out"), F_OK), -1);
    assert_int_equal(truncate(path_of_model(&root), 2 * MIB + 5), 0);
    assert_int_equal(get(s, &third), ERR_CORRUPT);
    /* The way out: delete and take anew. */
    assert_int_equal(store_model_delete(s, &root, NULL), 0);
    assert_int_equal(get(s, &second), ERR_NOTFOUND);
    import(s, "model", NULL);
    assert_int_equal(get(s, &second), 0);
    /* Or, where it is owned and made again, just that. */
    damage_file(path_of_model(&root), MIB + 77, 1);
    import(s, "model", NULL);
    assert_int_equal(get(s, &second), 0);
    buf_fini(&out);
    store_close(s);
    free(data);
}

static void test_missing_or_damaged_nodes_are_made_again_from_the_file(void **state)
{
    (void)state;
    size_t size = 2 * MIB;
    uint8_t *data = model_file("model", "nodes", size);
    struct store *s = open_real();
    struct cid root = import(s, "model", NULL), leaf = leaf_at(data, size, 0);
    for (int damage = 0; damage < 2; damage++) {
        store_close(s);
        if (damage == 0)
            assert_int_equal(remove(path_of(&root)), 0);
        else
            write_file(path_of(&root), bytes_of(NULL, 0));
        s = open_store(files_posix(), STORE_READ_ONLY); /* cannot write them: no model here */
        assert_false(store_model_has(s, &root));
        assert_int_equal(get(s, &leaf), ERR_NOTFOUND);
        store_close(s);
        s = open_real();
        assert_true(store_model_has(s, &root));
        assert_int_equal(get(s, &leaf), 0);
        assert_int_equal(get(s, &root), 0);
    }
    store_close(s);
    /* A file that is not what its name says is no model, and its neighbours are. */
    free(model_file("other", "neighbour", size));
    s = open_real();
    struct cid other = import(s, "other", NULL);
    store_close(s);
    assert_int_equal(remove(path_of(&root)), 0);
    damage_file(path_of_model(&root), 9, 1);
    s = open_real();
    assert_false(store_model_has(s, &root));
    assert_false(store_has(s, &root));
    assert_int_equal(get(s, &leaf), ERR_NOTFOUND);
    assert_true(store_model_has(s, &other));
    assert_int_equal(count_blocks(s), 3);
    /* A fetch writes it anew, over the damaged one. */
    import(s, "model", NULL);
    assert_int_equal(get(s, &leaf), 0);
    store_close(s);
    free(data);
}

static void test_deleting_a_model_keeps_what_another_shares(void **state)
{
    (void)state;
    size_t size = 3 * MIB;
    uint8_t *data = model_file("one", "shared", size);
    struct cid first = leaf_at(data, size, 0), middle = leaf_at(data, size, MIB);
    data[MIB] ^= 1;
    write_file(in_scratch("two"), bytes_of(data, size));
    struct cid changed = leaf_at(data, size, MIB), last = leaf_at(data, size, 2 * MIB);
    struct store *s = open_real();
    for (int order = 0; order < 2; order++) {
        struct cid one = import(s, "one", NULL), two = import(s, "two", NULL);
        struct cid gone = order == 0 ? one : two, kept = order == 0 ? two : one;
        assert_int_equal(count_blocks(s), 2 + 4);
        assert_int_equal(store_model_delete(s, &gone, NULL), 0);
        assert_int_equal(store_model_delete(s, &gone, NULL), 0); /* absent is fine */
        assert_int_equal(access(path_of_model(&gone), F_OK), -1);
        assert_int_equal(access(path_of(&gone), F_OK), -1);
        assert_false(store_model_has(s, &gone));
        assert_true(store_model_has(s, &kept));
        assert_int_equal(get(s, &first), 0);
        assert_int_equal(get(s, &last), 0);
        assert_int_equal(get(s, order == 0 ? &changed : &middle), 0);
        assert_int_equal(get(s, order == 0 ? &middle : &changed), ERR_NOTFOUND);
        assert_int_equal(count_blocks(s), 1 + 3);
        assert_int_equal(store_model_delete(s, &kept, NULL), 0);
        assert_int_equal(count_blocks(s), 0);
    }
    store_close(s);
    free(data);
}

/* A node over the given children, in the store. */
static struct unixfs_child put_node(struct store *s, const struct unixfs_child *links, size_t count)
{
    struct buf block = buf_new(4096);
    unixfs_node_put_file(&block, links, count);
    struct unixfs_child node = {.cid = cid_of(CID_DAG_PB, buf_bytes(&block))};
    assert_int_equal(store_put(s, &node.cid, buf_bytes(&block), NULL), 0);
    for (size_t i = 0; i < count; i++)
        node.file_bytes += links[i].file_bytes;
    buf_fini(&block);
    return node;
}

static struct unixfs_child text_leaf(const char *text)
{
    return (struct unixfs_child){.cid = cid_of(CID_RAW, bytes_of_text(text)),
                                 .file_bytes = strlen(text)};
}

static void finish_text(struct store *s, const struct cid *root, const char *text)
{
    struct store_model *m;
    assert_int_equal(store_model_begin(s, "text", strlen(text), &m, NULL), 0);
    assert_int_equal(store_model_write(m, 0, bytes_of_text(text), NULL), 0);
    assert_int_equal(store_model_finish(m, root, true, NULL), 0);
}

static void test_deleting_a_model_keeps_a_node_that_another_shares(void **state)
{
    (void)state;
    struct store *s = open_real();
    struct unixfs_child words[2] = {text_leaf("one "), text_leaf("two ")};
    struct unixfs_child shared = put_node(s, words, 2);
    struct unixfs_child left[2] = {shared, text_leaf("left")},
                        right[2] = {shared, text_leaf("right")};
    struct cid a = put_node(s, left, 2).cid, b = put_node(s, right, 2).cid;
    finish_text(s, &a, "one two left");
    finish_text(s, &b, "one two right");
    assert_int_equal(store_model_delete(s, &b, NULL), 0);
    assert_false(store_has(s, &b));
    store_close(s);
    s = open_store(files_posix(), STORE_READ_ONLY); /* which cannot make nodes again */
    assert_true(store_model_has(s, &a));
    assert_int_equal(get(s, &shared.cid), 0);
    assert_int_equal(get(s, &words[1].cid), 0);
    store_close(s);
}

static void test_a_model_whose_nodes_are_damaged_can_be_deleted(void **state)
{
    (void)state;
    free(model_file("model", "x", 2 * MIB));
    struct store *s = open_real();
    struct cid root = import(s, "model", NULL);
    write_file(path_of(&root), bytes_of_text("no node"));
    assert_int_equal(store_model_delete(s, &root, NULL), 0);
    assert_false(store_model_has(s, &root));
    assert_int_equal(access(path_of_model(&root), F_OK), -1);
    assert_int_equal(count_blocks(s), 0);
    store_close(s);
}

/* A model's bytes that are themselves a node of another model: each goes without the other, and no
 * knot. */
static void test_a_model_that_holds_a_node_s_bytes_does_not_take_it_along(void **state)
{
    (void)state;
    free(model_file("model", "x", 2 * MIB));
    struct store *s = open_real();
    struct cid root = import(s, "model", NULL);
    struct buf node = read_file(path_of(&root));
    write_file(in_scratch("node"), buf_bytes(&node));
    assert_int_equal(store_model_delete(s, &root, NULL), 0);
    struct cid copy = import(s, "node", NULL);
    import(s, "model", NULL);
    assert_false(cid_equal(&copy, &root));
    assert_int_equal(store_sync(s, &root, 1, NULL), 0);
    assert_int_equal(store_model_delete(s, &copy, NULL), 0);
    assert_int_equal(get(s, &root), 0);
    assert_int_equal(get(s, &copy), 0); /* the node's bytes by another name */
    assert_false(store_model_has(s, &copy));
    buf_fini(&node);
    store_close(s);
}

static void test_a_part_is_taken_up_and_finished(void **state)
{
    (void)state;
    size_t size = 2 * MIB + 5;
    uint8_t *data = model_file("model", "part", size), back[5];
    struct cid root, first = leaf_at(data, size, 0);
    struct store_model *m;
    struct store *s = open_real();
    assert_int_equal(store_model_begin(s, "fetched", size, &m, NULL), 0);
    assert_int_equal(store_model_write(m, 2 * MIB, bytes_of(data + 2 * MIB, 5), NULL), 0);
    assert_int_equal(store_model_write(m, 2 * MIB, bytes_of(data, 6), NULL), ERR_LIMIT);
    assert_int_equal(store_model_write(m, UINT64_MAX, bytes_of(data, 6), NULL), ERR_LIMIT);
    store_model_close(m, true);
    store_close(s);

    s = open_real();
    assert_int_equal(store_model_begin(s, "fetched", size, &m, NULL), 0);
    assert_int_equal(store_model_read(m, 2 * MIB, back, 5, NULL), 0);
    assert_memory_equal(back, data + 2 * MIB, 5);
    assert_int_equal(store_model_write(m, 0, bytes_of(data, 2 * MIB), NULL), 0);
    assert_int_equal(unixfs_hash_file(files_posix(), in_scratch("model"), NULL, &root, NULL, NULL),
                     0);
    assert_int_equal(store_model_finish(m, &root, false, NULL), ERR_NOTFOUND); /* no node yet */
    assert_false(store_model_has(s, &root));
    struct unixfs_child links[3];
    for (size_t i = 0; i < 3; i++) {
        size_t part = i < 2 ? MIB : 5;
        links[i] = (struct unixfs_child){
            .cid = leaf_at(data, size, i * MIB), .file_bytes = part, .total_bytes = part};
    }
    struct buf node = buf_new(4096);
    unixfs_node_put_file(&node, links, 3);
    assert_int_equal(store_put(s, &root, buf_bytes(&node), NULL), 0);
    assert_int_equal(store_model_finish(m, &root, false, NULL), 0);
    assert_int_equal(get(s, &first), 0);
    assert_int_equal(access(in_scratch("store/models/fetched.part"), F_OK), -1);

    /* The same again, of another length, and dropped. */
    assert_int_equal(store_model_begin(s, "fetched", size - 1, &m, NULL), 0);
    assert_int_equal(store_model_finish(m, &root, true, NULL), ERR_CORRUPT);
    store_model_close(m, false);
    assert_int_equal(access(in_scratch("store/models/fetched.part"), F_OK), -1);
    assert_int_equal(get(s, &first), 0);
    assert_int_equal(store_model_begin(s, "fetched", size, &m, NULL), 0); /* zeros, in truth */
    assert_int_equal(store_model_finish(m, &root, false, NULL), 0); /* dropped: one is there */
    assert_int_equal(get(s, &first), 0);
    store_model_close(NULL, false);
    buf_fini(&node);
    store_close(s);
    free(data);
}

static void test_a_model_is_durable_before_it_has_its_name(void **state)
{
    (void)state;
    struct flaky disk;
    size_t size = 2 * MIB;
    uint8_t *data = model_file("model", "sync", size);
    struct cid leaf = leaf_at(data, size, 0);
    flaky_init(&disk);
    struct store *s = open_store(&disk.table, STORE_WRITE);
    disk.log[0] = '\0';
    struct cid root = import(s, "model", NULL);
    /* length, leaves, node's folder and file; part synced; node and its folders synced, up to the
     * root; name. */
    assert_string_equal(disk.log, "TWWMWRSSDDDRD");
    disk.log[0] = '\0';
    assert_int_equal(store_sync(s, &leaf, 1, NULL), 0);
    assert_string_equal(disk.log, "");
    import(s, "model", NULL); /* made again: synced again, since its caller says so next */
    assert_string_equal(disk.log, "TWWSRD");
    store_close(s);

    flaky_init(&disk); /* found present by another process: whole model, once */
    s = open_store(&disk.table, STORE_WRITE);
    disk.log[0] = '\0';
    assert_int_equal(store_sync(s, &leaf, 1, NULL), 0);
    assert_string_equal(disk.log, "SDDDSD");
    assert_int_equal(store_sync(s, &leaf, 1, NULL), 0);
    assert_string_equal(disk.log, "SDDDSD");
    assert_true(store_model_has(s, &root));
    store_close(s);
    free(data);
}

static void test_whatever_fails_an_import_leaves_all_or_nothing(void **state)
{
    (void)state;
    size_t size = MIB + 7;
    uint8_t *data = model_file("model", "fails", size);
    struct cid leaf = leaf_at(data, size, 0), root;
    assert_int_equal(unixfs_hash_file(files_posix(), in_scratch("model"), NULL, &root, NULL, NULL),
                     0);
    unsigned failures = 0;
    for (unsigned n = 1;; n++) {
        struct flaky disk;
        flaky_init(&disk);
        struct store *s = open_store(&disk.table, STORE_WRITE);
        disk.changes = 0;
        disk.fail_at = n;
        int rc = store_import(s, in_scratch("model"), NULL, &root, NULL);
        disk.fail_at = 0;
        if (rc == 0) {
            assert_int_equal(get(s, &leaf), 0);
            store_close(s);
            break;
        }
        assert_int_equal(rc, ERR_IO);
        assert_int_equal(get(s, &leaf), ERR_NOTFOUND);
        store_close(s);
        s = open_real(); /* a name without a synced folder may be there; whole, then */
        assert_int_equal(get(s, &leaf), store_model_has(s, &root) ? 0 : ERR_NOTFOUND);
        assert_int_equal(store_model_delete(s, &root, NULL), 0);
        store_close(s);
        failures++;
    }
    assert_true(failures >= 8);
    free(data);
}

static int importing_child(unsigned kill_at)
{
    struct flaky disk;
    struct store *s;
    struct cid root;
    flaky_init(&disk);
    disk.kill_at = kill_at;
    int rc = store_open(&disk.table, in_scratch("store"), STORE_WRITE, &s, NULL);
    if (rc == 0)
        rc = store_import(s, in_scratch("model"), NULL, &root, NULL);
    return rc == 0 ? 0 : 1;
}

static void test_killed_before_any_change_of_the_disk_the_store_opens_and_is_true(void **state)
{
    (void)state;
    size_t size = MIB + 7;
    uint8_t *data = model_file("model", "kill", size);
    struct cid leaf = leaf_at(data, size, 0), root;
    assert_int_equal(unixfs_hash_file(files_posix(), in_scratch("model"), NULL, &root, NULL, NULL),
                     0);
    unsigned killed = 0;
    for (unsigned n = 1;; n++) {
        int status;
        pid_t child = fork();
        assert_true(child >= 0);
        if (child == 0)
            _exit(importing_child(n));
        assert_int_equal(waitpid(child, &status, 0), child);
        if (WIFSIGNALED(status)) {
            assert_int_equal(WTERMSIG(status), SIGKILL);
            killed++;
        } else {
            assert_int_equal(WEXITSTATUS(status), 0);
        }
        struct store *s = open_real();
        assert_int_equal(get(s, &leaf), store_model_has(s, &root) ? 0 : ERR_NOTFOUND);
        if (!WIFSIGNALED(status))
            assert_true(store_model_has(s, &root));
        char command[256]; /* nothing of a dead import stays behind */
        snprintf(command, sizeof command, "test -z \"$(find %s/store -name '*.part')\"", scratch);
        assert_int_equal(system(command), 0);
        struct cid again = import(s, "model", NULL);
        assert_true(cid_equal(&again, &root));
        assert_int_equal(get(s, &leaf), 0);
        assert_int_equal(store_model_delete(s, &root, NULL), 0);
        store_close(s);
        if (!WIFSIGNALED(status))
            break;
    }
    assert_true(killed >= 10);
    free(data);
}

/* --- threads --- */

struct reader {
    struct store *store;
    struct cid leaf;
    int rounds, misses;
};

static void *read_on(void *arg)
{
    struct reader *r = arg;
    struct buf out = buf_new(STORE_BLOCK_BYTES_MAX);
    for (int i = 0; i < r->rounds; i++)
        r->misses += store_get(r->store, &r->leaf, &out, NULL) != 0;
    buf_fini(&out);
    return NULL;
}

static void test_readers_never_miss_a_leaf_that_stays(void **state)
{
    (void)state;
    size_t size = 2 * MIB;
    uint8_t *data = model_file("stays", "threads", size);
    data[0] ^= 1;
    write_file(in_scratch("goes"), bytes_of(data, size));
    struct store *s = open_real();
    import(s, "stays", NULL);
    struct reader readers[2];
    pthread_t threads[2];
    for (int i = 0; i < 2; i++) {
        /* the second leaf: that of both models */
        readers[i] = (struct reader){.store = s, .leaf = leaf_at(data, size, MIB), .rounds = 100};
        assert_int_equal(pthread_create(&threads[i], NULL, read_on, &readers[i]), 0);
    }
    for (int i = 0; i < 10; i++) {
        struct cid goes = import(s, "goes", NULL);
        assert_int_equal(store_model_delete(s, &goes, NULL), 0);
    }
    for (int i = 0; i < 2; i++) {
        pthread_join(threads[i], NULL);
        assert_int_equal(readers[i].misses, 0);
    }
    store_close(s);
    free(data);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, scratch_setup, scratch_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_a_model_is_its_file_and_its_leaves_are_blocks),
        TEST(test_models_of_one_leaf_and_of_none_are_models),
        TEST(test_what_goes_in_comes_out),
        TEST(test_a_damaged_leaf_is_named_and_never_exported),
        TEST(test_missing_or_damaged_nodes_are_made_again_from_the_file),
        TEST(test_deleting_a_model_keeps_what_another_shares),
        TEST(test_deleting_a_model_keeps_a_node_that_another_shares),
        TEST(test_a_model_whose_nodes_are_damaged_can_be_deleted),
        TEST(test_a_model_that_holds_a_node_s_bytes_does_not_take_it_along),
        TEST(test_a_part_is_taken_up_and_finished),
        TEST(test_a_model_is_durable_before_it_has_its_name),
        TEST(test_whatever_fails_an_import_leaves_all_or_nothing),
        TEST(test_killed_before_any_change_of_the_disk_the_store_opens_and_is_true),
        TEST(test_readers_never_miss_a_leaf_that_stays),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
