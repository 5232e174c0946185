/* SPDX-License-Identifier: Apache-2.0 */
/* multibase: a text that is read is the one that its bytes are written as, and any bytes come back
 * from every base. */
#include <assert.h>

#include "base/multibase.h"

#define TEXT_MAX  2048 /* characters: the cost of some bases is quadratic */
#define BYTES_MAX 256

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void as_text(const char *text, size_t size)
{
    struct buf out = buf_new(TEXT_MAX), again = buf_new(8 * TEXT_MAX + 16);
    struct err err = {.code = 0};
    buf_append_byte(&out, 'x');
    int rc = multibase_decode(text, size, &out, &err);
    if (rc == 0) {
        assert(out.size >= 1 && out.size <= size);
        multibase_encode(text[0], bytes_of(out.data + 1, out.size - 1), &again);
        assert(again.failed == 0 && bytes_equal(buf_bytes(&again), bytes_of(text, size)));
    } else {
        assert(rc == ERR_MALFORMED && err.code == rc && err.text[0] != '\0');
        assert(out.size == 1);
    }
    buf_clear(&out);
    buf_clear(&again);
    if (multibase_decode_base58(text, size, &out, NULL) == 0) {
        multibase_encode_base58(buf_bytes(&out), &again);
        assert(bytes_equal(buf_bytes(&again), bytes_of(text, size)));
    }
    buf_fini(&out);
    buf_fini(&again);
}

static void as_bytes(struct bytes in)
{
    static const char bases[] = "079fFvVtTbBcChkKzZmMuU";
    struct buf text = buf_new(8 * BYTES_MAX + 16), back = buf_new(BYTES_MAX);
    for (size_t i = 0; bases[i] != '\0'; i++) {
        buf_clear(&text);
        buf_clear(&back);
        multibase_encode(bases[i], in, &text);
        assert(text.failed == 0 && text.data[0] == (uint8_t)bases[i]);
        int rc = multibase_decode((const char *)text.data, text.size, &back, NULL);
        assert(rc == 0 && bytes_equal(buf_bytes(&back), in));
    }
    buf_fini(&text);
    buf_fini(&back);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    as_text((const char *)data, size < TEXT_MAX ? size : TEXT_MAX);
    as_bytes(bytes_of(data, size < BYTES_MAX ? size : BYTES_MAX));
    return 0;
}
