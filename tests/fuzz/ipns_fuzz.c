/* SPDX-License-Identifier: Apache-2.0 */
/* The input is a name's text up to the first NUL, then a record of that name; what is no name is
 * tried as a record of a fixed one. */
#include <stdlib.h>

#include "base/key.h"
#include "content/ipns.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void try_record(const struct ipns_name *name, struct bytes record)
{
    struct ipns_record r;
    if (ipns_record_verify(name, record, 0, &r, NULL) == 0 &&
        (r.value[0] != '/' || r.valid_until <= 0 || record.size > IPNS_RECORD_BYTES_MAX))
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct ipns_name name = {{1}}, again;
    char text[IPNS_NAME_TEXT_MAX];
    const uint8_t *nul = size > 0 ? memchr(data, 0, size) : NULL;
    if (key_setup(NULL) != 0)
        abort();
    if (nul != NULL && ipns_name_parse((const char *)data, &name, NULL) == 0) {
        if (ipns_name_parse(ipns_name_format(&name, text), &again, NULL) != 0 ||
            memcmp(&again, &name, sizeof name) != 0)
            abort();
        try_record(&name, bytes_of(nul + 1, size - (size_t)(nul + 1 - data)));
    }
    try_record(&name, bytes_of(data, size));
    return 0;
}
