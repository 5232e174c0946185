/* SPDX-License-Identifier: Apache-2.0 */
/*
 * store_tool -- what tests of the store's commands share: folders added, CIDs read from what was
 * said, damage done.
 */
#ifndef COLMEIA_TESTS_CLI_STORE_TOOL_H
#define COLMEIA_TESTS_CLI_STORE_TOOL_H

#include "content/store.h"
#include "tests/cli/tool.h"

struct said_cid {
    char text[CID_TEXT_MAX];
};

/* As tool_setup, without the gateways that whoever runs the tests has configured. */
UNUSED static int store_tool_setup(void **state)
{
    int rc = tool_setup(state);
    unsetenv("IPFS_GATEWAY");
    setenv("IPFS_PATH", scratch, 1);
    return rc;
}

/* The first word on stdout. */
UNUSED static struct said_cid tool_cid(void)
{
    struct said_cid c;
    snprintf(c.text, sizeof c.text, "%.*s", (int)strcspn(tool_out(), " \n"), tool_out());
    return c;
}

/* Runs a row of a group: `tool_group(cmd_pin, "pin", "ls", ...)`. */
#define tool_group(command, ...)                                                                   \
    tool_run(command, __VA_ARGS__, "--store", in_scratch("store"), NULL)

/* A file of `size` reproducible bytes, added to the store `store`; its root. */
UNUSED static struct said_cid tool_add_file(const char *store, const char *seed, size_t size)
{
    uint8_t *data = stream_bytes(seed, size);
    write_file(in_scratch("added"), bytes_of(data, size));
    free(data);
    tool_run(cmd_add, "add", "-Q", "--store", in_scratch(store), in_scratch("added"), NULL);
    tool_expect(0, "b", "");
    return tool_cid();
}

/* A block put into `store` by its codec. */
UNUSED static struct said_cid tool_put(const char *store, const char *codec, struct bytes block)
{
    write_file(in_scratch("block"), block);
    tool_run(cmd_block, "block", "put", "--store", in_scratch(store), "--codec", codec,
             in_scratch("block"), NULL);
    tool_expect(0, "b", "");
    return tool_cid();
}

UNUSED static bool tool_holds(const char *store, const char *cid)
{
    struct store *s;
    struct cid c;
    assert_int_equal(cid_parse(cid, &c, NULL), 0);
    assert_int_equal(store_open(files_posix(), in_scratch(store), STORE_READ_ONLY, &s, NULL), 0);
    bool here = store_has(s, &c);
    store_close(s);
    return here;
}

/* The file of a block that lies alone. */
UNUSED static const char *tool_block_path(const char *store, const char *cid)
{
    char name[140];
    snprintf(name, sizeof name, "%.20s/blocks/%.2s/%.100s", store, cid + strlen(cid) - 3, cid);
    return in_scratch(name);
}

#endif
