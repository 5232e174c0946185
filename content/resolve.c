/* SPDX-License-Identifier: Apache-2.0 */
#include "content/resolve.h"

#include <stdio.h>

#include "content/dagjson.h"
#include "content/directory.h"

#define QUOTE_CHARS 64

struct walk {
    const struct block_source *source;
    int (*visit)(void *self, const struct cid *cid, struct bytes block, struct err *err);
    void *self;
    struct buf block;
};

static const char *skip_slashes(const char *path)
{
    return path + strspn(path, "/");
}

/* A segment as a sentence may repeat it: its beginning, and nothing that a terminal obeys. */
static const char *quote(struct bytes in, char out[QUOTE_CHARS + 4])
{
    size_t n = 0;
    for (; n < QUOTE_CHARS && n < in.size; n++)
        out[n] = (char)(in.data[n] >= ' ' && in.data[n] <= '~' ? in.data[n] : '?');
    snprintf(out + n, 4, "%s", n < in.size ? "..." : "");
    return out;
}

static int missing(struct bytes segment, const struct cid *cid, const char *what, struct err *err)
{
    char said[QUOTE_CHARS + 4], text[CID_TEXT_MAX];
    return err_set(err, ERR_NOTFOUND, "no \"%s\" under %s%s", quote(segment, said),
                   cid_format(cid, text), what);
}

/* dag-pb that does not claim to be UnixFS, whose links are found by their names. */
static int find_link(struct bytes block, struct bytes name, bool *is_plain, struct cid *out,
                     struct err *err)
{
    struct dagpb_node node;
    int rc = dagpb_decode(block, &node, err);
    if (rc != 0)
        return rc;
    *is_plain = !node.has_data || node.data.size < 2 || node.data.data[0] != 0x08;
    rc = ERR_NOTFOUND;
    for (size_t i = 0; *is_plain && i < node.link_count && rc != 0; i++)
        if (bytes_equal(node.links[i].name, name)) {
            *out = node.links[i].cid;
            rc = 0;
        }
    dagpb_node_fini(&node);
    return rc;
}

static bool is_directory(struct bytes block)
{
    struct unixfs_node node;
    if (unixfs_node_decode(block, &node, NULL) != 0)
        return false;
    bool is = node.type == UNIXFS_DIRECTORY || node.type == UNIXFS_HAMT;
    unixfs_node_fini(&node);
    return is;
}

static int step_pb(struct walk *w, struct bytes segment, struct cid *cid, struct err *err)
{
    struct cid found;
    bool plain;
    int rc = find_link(buf_bytes(&w->block), segment, &plain, &found, err);
    if (rc != 0 && rc != ERR_NOTFOUND)
        return rc;
    if (!plain) {
        char said[QUOTE_CHARS + 4], text[CID_TEXT_MAX];
        rc = directory_find(w->source, buf_bytes(&w->block), segment, w->visit, w->self, &found,
                            err);
        if (rc == ERR_UNSUPPORTED && !is_directory(buf_bytes(&w->block)))
            return missing(segment, cid, ", which is not a directory", err);
        if (rc != 0) /* not there, or a shard that is not */
            return err_wrap(err, rc, "\"%s\" under %s", quote(segment, said),
                            cid_format(cid, text));
    }
    if (rc == ERR_NOTFOUND)
        return missing(segment, cid, "", err);
    if (rc == 0)
        *cid = found;
    return rc;
}

/* Follows the path inside one block up to the first link; `path` is moved on only if there is one.
 */
static int step_data(struct walk *w, const char **path, struct cid *cid, struct err *err)
{
    struct cid link;
    size_t used;
    int rc = dagjson_follow(cid, buf_bytes(&w->block), *path, &link, &used, err);
    if (rc == ERR_NOTFOUND)
        return missing(bytes_of_text(*path), cid, "", err);
    if (rc != 0 || cid_is_none(&link))
        return rc;
    *cid = link;
    *path = skip_slashes(*path + used);
    return 0;
}

/* One block on the way: takes what it can off `path`. `done`: the rest is a place inside `cid`. */
static int step(struct walk *w, const char **path, struct cid *cid, bool *done, struct err *err)
{
    char text[CID_TEXT_MAX];
    uint32_t codec = cid_codec(cid);
    struct bytes segment = bytes_of(*path, strcspn(*path, "/"));
    if (codec != CID_DAG_PB && codec != CID_DAG_CBOR && codec != CID_DAG_JSON)
        return missing(segment, cid, ", which is not a directory", err);
    struct cid before = *cid;
    int rc = block_source_get(w->source, cid, &w->block, err);
    if (rc != 0)
        return err_wrap(err, rc, "block %s", cid_format(cid, text));
    if (w->visit != NULL && !cid_identity(cid, NULL))
        rc = w->visit(w->self, cid, buf_bytes(&w->block), err);
    if (rc != 0)
        return rc;
    if (codec == CID_DAG_PB) {
        rc = step_pb(w, segment, cid, err);
        *path = skip_slashes(*path + segment.size);
    } else {
        const char *from = *path;
        rc = step_data(w, path, cid, err);
        *done = from == *path && cid_equal(&before, cid);
    }
    return rc == 0 || rc == ERR_NOTFOUND ? rc
                                         : err_wrap(err, rc, "block %s", cid_format(&before, text));
}

static int check_path(const char *path, struct err *err)
{
    size_t segments = 0;
    if (strnlen(path, RESOLVE_PATH_MAX + 1) > RESOLVE_PATH_MAX)
        return err_set(err, ERR_LIMIT, "a path longer than %d bytes", RESOLVE_PATH_MAX);
    for (const char *at = skip_slashes(path); *at != '\0'; segments++) {
        at += strcspn(at, "/");
        at = skip_slashes(at);
    }
    if (segments > RESOLVE_SEGMENTS_MAX)
        return err_set(err, ERR_LIMIT, "a path of %zu segments, more than %d", segments,
                       RESOLVE_SEGMENTS_MAX);
    return 0;
}

int resolve_path(const struct block_source *source, const struct cid *root, const char *path,
                 int (*visit)(void *self, const struct cid *cid, struct bytes block,
                              struct err *err),
                 void *self, struct resolved *out, struct err *err)
{
    int rc = check_path(path, err);
    if (rc != 0)
        return rc;
    struct walk w = {
        .source = source, .visit = visit, .self = self, .block = buf_new(BLOCK_BYTES_MAX)};
    struct resolved r = {.cid = *root, .rest = skip_slashes(path)};
    /* A block that is a bare link takes nothing off the path: bounded apart from it. */
    for (int hops = 0; rc == 0 && *r.rest != '\0'; hops++) {
        bool done = false;
        if (hops == 2 * RESOLVE_SEGMENTS_MAX)
            rc = err_set(err, ERR_LIMIT, "a path through more than %d blocks",
                         2 * RESOLVE_SEGMENTS_MAX);
        else
            rc = step(&w, &r.rest, &r.cid, &done, err);
        if (done)
            break;
    }
    buf_fini(&w.block);
    if (rc == 0)
        *out = r;
    return rc;
}

/* What people paste that is no CID, and what to give instead. */
static int refuse_prefix(const char *text, struct err *err)
{
    static const char *const names[] = {"/ipns/", "ipns://"};
    static const char *const urls[] = {"http://", "https://"};
    for (size_t i = 0; i < 2; i++) {
        if (strncmp(text, names[i], strlen(names[i])) == 0)
            return err_set(err, ERR_USAGE,
                           "IPNS names are not followed here: give the CID that the name leads to, "
                           "as CID/PATH");
        if (strncmp(text, urls[i], strlen(urls[i])) == 0)
            return err_set(
                err, ERR_USAGE,
                "a URL, where a CID is needed: give CID/PATH, and the gateway apart from "
                "it (--from %sHOST)",
                urls[i]);
    }
    return 0;
}

int resolve_parse(const char *text, struct cid *root, const char **path, struct err *err)
{
    static const char *const prefixes[] = {"/ipfs/", "ipfs://"};
    char name[CID_TEXT_MAX];
    const char *at = text;
    for (size_t i = 0; i < sizeof prefixes / sizeof prefixes[0]; i++)
        if (strncmp(text, prefixes[i], strlen(prefixes[i])) == 0)
            at = text + strlen(prefixes[i]);
    int rc = refuse_prefix(text, err);
    if (rc != 0)
        return rc;
    size_t size = strcspn(at, "/");
    if (size == 0)
        return err_set(err, ERR_USAGE, "no CID in the path; write CID, CID/PATH or /ipfs/CID/PATH");
    if (size >= sizeof name)
        return err_set(err, ERR_USAGE, "%zu characters are no CID, which has %d at most", size,
                       CID_TEXT_MAX - 1);
    memcpy(name, at, size);
    name[size] = '\0';
    struct cid cid;
    if (cid_parse(name, &cid, err) != 0) {
        char said[QUOTE_CHARS + 4];
        return err_wrap(err, ERR_USAGE, "\"%s\" is no CID", quote(bytes_of_text(name), said));
    }
    *root = cid;
    *path = at + size;
    return 0;
}
