/* SPDX-License-Identifier: Apache-2.0 */
#include "coordinator/founding.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "base/cert.h"
#include "base/config.h"
#include "base/random.h"
#include "base/text.h"
#include "model/safetensors.h"
#include "study/plan_file.h"

#define PORT_COUNT      3
#define PORT_MAX        (65535 - (PORT_COUNT - 1))
#define FREE_FROM       12000
#define FREE_TO         32000
#define FREE_TRIES      1000
#define FIXED_NAMES_MAX (PLAN_NAMES_MAX + 2)

/* --- addresses --- */

struct listen {
    char host[FOLDER_HOST_MAX], bind[FOLDER_HOST_MAX];
    uint16_t ports[PORT_COUNT];
};

static bool is_free(const struct in_addr *address, uint16_t port)
{
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons(port), .sin_addr = *address};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    bool free_port = fd >= 0 && bind(fd, (struct sockaddr *)&a, sizeof a) == 0;
    if (fd >= 0)
        close(fd);
    return free_port;
}

/* Three ports that nobody has at this moment, below those that the system gives to connections. */
static int find_free_ports(struct listen *l, struct err *err)
{
    struct in_addr address;
    if (inet_pton(AF_INET, l->bind, &address) != 1)
        return err_set(err, ERR_USAGE, "%s is not an IPv4 address", l->bind);
    size_t found = 0;
    for (int tries = 0; found < PORT_COUNT && tries < FREE_TRIES; tries++) {
        uint16_t chance;
        random_bytes(&chance, sizeof chance);
        uint16_t port = (uint16_t)(FREE_FROM + chance % (FREE_TO - FREE_FROM));
        bool taken = false;
        for (size_t i = 0; i < found; i++)
            taken = taken || l->ports[i] == port;
        if (!taken && is_free(&address, port))
            l->ports[found++] = port;
    }
    return found == PORT_COUNT ? 0 : err_set(err, ERR_IO, "no free ports on %s", l->bind);
}

/* HOST or HOST:PORT. A name is bound on every address of this machine, an address on itself. */
static int parse_listen(const char *text, struct listen *out, struct err *err)
{
    struct in_addr address;
    const char *colon = strchr(text, ':');
    size_t size = colon == NULL ? strlen(text) : (size_t)(colon - text);
    uint64_t port = FOUNDING_PORT;
    if (colon != NULL && strchr(colon + 1, ':') != NULL)
        return err_set(err, ERR_USAGE,
                       "--listen %.128s: an IPv6 address cannot be used; give a name or an IPv4 "
                       "address",
                       text);
    if (size == 0 || size >= sizeof out->host)
        return err_set(err, ERR_USAGE, "--listen %.128s: not HOST or HOST:PORT", text);
    int rc = colon == NULL ? 0 : text_parse_uint(colon + 1, PORT_MAX, &port, err);
    if (rc != 0)
        return err_wrap(err, rc, "--listen %.128s", text);
    snprintf(out->host, sizeof out->host, "%.*s", (int)size, text);
    const char *bind_to = strcmp(out->host, "localhost") == 0            ? "127.0.0.1"
                          : inet_pton(AF_INET, out->host, &address) == 1 ? out->host
                                                                         : "0.0.0.0";
    memcpy(out->bind, bind_to, strlen(bind_to) + 1);
    for (uint16_t i = 0; i < PORT_COUNT; i++)
        out->ports[i] = (uint16_t)(port + i);
    return port == 0 ? find_free_ports(out, err) : 0;
}

/* --- what a study begins with --- */

/* What init makes, step by step. */
struct founding {
    struct folder folder;
    struct listen listen;
    struct plan_file file;
    struct key *founder;
    struct store *store;
    struct layout *layout;
    char model[FILES_PATH_MAX]; /* the initial model in canonical form, until it is in the store */
    struct buf block;
};

static int make_folders(const struct folder *f, struct err *err)
{
    static const char *const names[] = {"keys", "journal", "shared", "updates"};
    char path[FILES_PATH_MAX];
    int rc = 0;
    for (size_t i = 0; rc == 0 && i < sizeof names / sizeof names[0]; i++) {
        rc = folder_path(f, names[i], path, err);
        if (rc == 0)
            rc = files_make_dirs(files_posix(), path, err);
    }
    return rc;
}

/* The key at `name`: made, or the one that an interrupted init left. */
static int make_key(const struct folder *f, enum key_kind kind, const char *name, struct key **out,
                    struct err *err)
{
    char path[FILES_PATH_MAX];
    int rc = folder_path(f, name, path, err);
    if (rc != 0)
        return rc;
    if (files_exists(files_posix(), path))
        return key_load(kind, path, out, err);
    struct key *made;
    rc = key_new(kind, &made, err);
    if (rc == 0 && (rc = key_save(made, path, err)) != 0)
        key_free(made);
    if (rc == 0)
        *out = made;
    return rc;
}

static int make_keys(struct founding *x, struct err *err)
{
    struct folder *f = &x->folder;
    char certificate[FILES_PATH_MAX], key[FILES_PATH_MAX];
    int rc = make_key(f, KEY_ED25519, "keys/founder.key", &x->founder, err);
    if (rc == 0)
        rc = make_key(f, KEY_ED25519, "keys/coordinator.key", &f->coordinator, err);
    if (rc == 0)
        rc = make_key(f, KEY_X25519, "keys/curve.key", &f->curve, err);
    if (rc == 0)
        rc = cert_new(x->listen.host, &f->certificate_pem, &f->key_pem, err);
    if (rc == 0)
        rc = folder_path(f, "keys/tls.key", key, err);
    if (rc == 0)
        rc = folder_path(f, "keys/tls.crt", certificate, err);
    if (rc == 0)
        rc = files_save(files_posix(), key, buf_bytes(&f->key_pem), err);
    return rc != 0 ? rc
                   : files_save(files_posix(), certificate, buf_bytes(&f->certificate_pem), err);
}

/* Which tensors the plan keeps out of the average; a network's scaling is always fixed. */
static struct safetensors_uses uses_of(const struct plan_file *p,
                                       const char *fixed[FIXED_NAMES_MAX],
                                       const char *largest[PLAN_NAMES_MAX])
{
    struct safetensors_uses u = {.fixed = fixed, .largest = largest};
    struct network network;
    if (plan_network(&p->plan, &network)) {
        fixed[u.fixed_count++] = "input.mean";
        fixed[u.fixed_count++] = "input.deviation";
    }
    for (size_t i = 0; i < p->fixed.count && i < PLAN_NAMES_MAX; i++)
        fixed[u.fixed_count++] = p->fixed.items[i];
    for (size_t i = 0; i < p->largest.count && i < PLAN_NAMES_MAX; i++)
        largest[u.largest_count++] = p->largest.items[i];
    return u;
}

/* A seeded model of the plan's architecture as a file. */
static int write_seeded(const struct founding *x, struct err *err)
{
    const struct plan *p = &x->file.plan;
    struct network network;
    struct layout *layout = NULL;
    struct buf file = buf_new(SAFETENSORS_HEADER_MAX + NETWORK_BYTES_MAX);
    uint8_t seed[HASH_BYTES];
    if (!plan_network(p, &network))
        return err_set(err, ERR_USAGE,
                       "the architecture %s cannot be made here; give the initial model with "
                       "--model FILE",
                       p->architecture);
    int rc = network_layout(&network, &layout, err);
    if (rc == 0)
        rc = safetensors_format(layout, &file, err);
    uint8_t *data = rc == 0 ? buf_extend(&file, (size_t)layout->data_bytes) : NULL;
    if (data != NULL) {
        plan_initial_seed(p, seed);
        network_init(&network, layout, seed, data);
    }
    if (rc == 0)
        rc = buf_check(&file, err);
    if (rc == 0)
        rc = files_save_unsynced(files_posix(), x->model, buf_bytes(&file), err);
    layout_free(layout);
    buf_fini(&file);
    return rc;
}

static int read_layout(struct founding *x, const struct safetensors_uses *uses, struct err *err)
{
    const struct files *f = files_posix();
    struct safetensors header = {0};
    int fd;
    int rc = f->open(f->self, x->model, FILES_READ, &fd, err);
    if (rc != 0)
        return rc;
    rc = safetensors_open(f, fd, uses, &header, err);
    f->close(f->self, fd);
    if (rc != 0)
        return rc;
    x->layout = header.layout;
    header.layout = NULL;
    safetensors_fini(&header);
    return 0;
}

/* Does the model fit what the plan wants to do with it? */
static int check_layout(const struct founding *x, struct err *err)
{
    const struct plan *p = &x->file.plan;
    struct network network;
    int rc = plan_network(p, &network) ? network_check(&network, x->layout, err) : 0;
    for (size_t i = 0; rc == 0 && i < p->step_count; i++) {
        static const char *const names[] = {"input.mean", "input.deviation"};
        for (size_t k = 0; rc == 0 && k < 2 && strcmp(p->schedule[i].rule, "moments") == 0; k++) {
            const struct tensor *t = layout_find(x->layout, names[k]);
            if (t == NULL || t->use != USE_FIXED || t->elements != p->features)
                rc = err_set(err, ERR_USAGE,
                             "the schedule has the rule moments, but the model has no fixed tensor "
                             "%s of %llu elements",
                             names[k], (unsigned long long)p->features);
        }
    }
    return rc;
}

static int put(struct founding *x, const struct cid *cid, struct err *err)
{
    int rc = store_put(x->store, cid, buf_bytes(&x->block), err);
    return rc != 0 ? rc : store_sync(x->store, cid, 1, err);
}

/* The model and its layout go into the store and their CIDs into the plan. */
static int make_model(struct founding *x, const char *model_path, struct err *err)
{
    const char *fixed[FIXED_NAMES_MAX], *largest[PLAN_NAMES_MAX];
    struct safetensors_uses uses = uses_of(&x->file, fixed, largest);
    struct plan *plan = &x->file.plan;
    int rc = folder_path(&x->folder, "model.tmp", x->model, err);
    if (rc == 0)
        rc = model_path == NULL
                 ? write_seeded(x, err)
                 : safetensors_rewrite(files_posix(), model_path, x->model, &uses, err);
    if (rc == 0)
        rc = read_layout(x, &uses, err);
    if (rc == 0)
        rc = check_layout(x, err);
    if (rc != 0 && model_path != NULL)
        return err_wrap(err, rc, "%.500s", model_path);
    if (rc == 0)
        rc = store_import(x->store, x->model, NULL, &plan->model, err);
    if (rc == 0) {
        buf_clear(&x->block);
        rc = layout_encode(x->layout, &x->block, err);
    }
    if (rc == 0) {
        plan->layout = cid_of(CID_DAG_CBOR, buf_bytes(&x->block));
        rc = put(x, &plan->layout, err);
    }
    return rc;
}

static int make_records(struct founding *x, struct err *err)
{
    struct folder *f = &x->folder;
    struct charter charter;
    struct cid roster;
    struct roster nobody = {.coordinator = key_public(f->coordinator)};
    int rc = charter_make(x->file.name, x->founder, (uint64_t)time(NULL), &x->block, &charter, err);
    if (rc == 0)
        rc = put(x, &charter.cid, err);
    if (rc == 0) {
        f->study_id = charter.cid;
        buf_clear(&x->block);
        rc = roster_make(&nobody, &f->study_id, x->founder, &x->block, &roster, err);
    }
    if (rc == 0)
        rc = put(x, &roster, err);
    if (rc == 0)
        rc = folder_write_cid(files_posix(), f->dir, "roster", &roster, true, err);
    if (rc == 0) {
        buf_clear(&x->block);
        rc = plan_sign(&x->file.plan, &f->study_id, x->founder, &x->block, &f->plan_id, err);
    }
    return rc != 0 ? rc : put(x, &f->plan_id, err);
}

static int write_config(struct founding *x, struct err *err)
{
    struct folder *f = &x->folder;
    char path[FILES_PATH_MAX], study[CID_TEXT_MAX], plan[CID_TEXT_MAX];
    struct buf text = buf_new(CONFIG_BYTES_MAX);
    memcpy(f->host, x->listen.host, sizeof f->host);
    memcpy(f->bind, x->listen.bind, sizeof f->bind);
    f->control_port = x->listen.ports[0];
    f->hints_port = x->listen.ports[1];
    f->https_port = x->listen.ports[2];
    buf_append_format(
        &text,
        "# A Colmeia study's coordinator. Who changes an address gives the sites a new\n"
        "# invitation (colmeia-coordinator invitation DIR).\n"
        "[study]\nid = \"%s\"\nplan = \"%s\"\n\n"
        "[listen]\n"
        "# What sites are told, and the local address that is bound (0.0.0.0: all).\n"
        "host = ",
        cid_format(&f->study_id, study), cid_format(&f->plan_id, plan));
    config_put_text(&text, f->host);
    buf_append_text(&text, "\nbind = ");
    config_put_text(&text, f->bind);
    buf_append_format(&text, "\ncontrol = %u\nhints = %u\nhttps = %u\n", (unsigned)f->control_port,
                      (unsigned)f->hints_port, (unsigned)f->https_port);
    int rc = buf_check(&text, err);
    if (rc == 0)
        rc = folder_path(f, "config.toml", path, err);
    if (rc == 0)
        rc = files_save(files_posix(), path, buf_bytes(&text), err);
    buf_fini(&text);
    return rc;
}

static int found(struct founding *x, const char *model_path, struct invitation *out,
                 struct err *err)
{
    char path[FILES_PATH_MAX];
    int rc = folder_path(&x->folder, "config.toml", path, err);
    if (rc == 0 && files_exists(files_posix(), path))
        rc = err_set(err, ERR_EXISTS,
                     "%.600s holds a study already; give another folder, or see its invitation "
                     "with `colmeia-coordinator invitation`",
                     x->folder.dir);
    if (rc == 0)
        rc = make_folders(&x->folder, err);
    if (rc == 0)
        rc = folder_open_store(&x->folder, STORE_WRITE, &x->store, err);
    if (rc == 0)
        rc = make_model(x, model_path, err);
    if (rc == 0)
        rc = make_keys(x, err);
    if (rc == 0)
        rc = make_records(x, err);
    if (rc == 0)
        rc = write_config(x, err);
    struct key_public founder = {{0}};
    if (rc == 0) {
        founder = key_public(x->founder);
        rc = folder_make_invitation(&x->folder, &founder, out, err);
    }
    return rc;
}

int founding_make(const char *dir, const char *plan_path, const char *model_path,
                  const char *listen, struct invitation *out, struct err *err)
{
    struct founding *x = calloc(1, sizeof *x);
    if (x == NULL)
        return err_set(err, ERR_NOMEM, "out of memory");
    x->block = buf_new(STORE_BLOCK_BYTES_MAX);
    int rc = folder_begin(dir, &x->folder, err);
    if (rc == 0)
        rc = parse_listen(listen == NULL ? "127.0.0.1" : listen, &x->listen, err);
    if (rc == 0)
        rc = plan_file_load(plan_path, &x->file, err);
    if (rc == 0) {
        rc = found(x, model_path, out, err);
        plan_file_fini(&x->file);
    }
    if (x->model[0] != '\0')
        (void)files_posix()->unlink(files_posix()->self, x->model, NULL);
    layout_free(x->layout);
    store_close(x->store);
    key_free(x->founder);
    folder_close(&x->folder);
    buf_fini(&x->block);
    free(x);
    return rc;
}
