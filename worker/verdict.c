/* SPDX-License-Identifier: Apache-2.0 */
#include "worker/verdict.h"

#define AS_TEXT(name, text, sentence)     text,
#define AS_SENTENCE(name, text, sentence) sentence,

const char *verdict_name(enum verdict v)
{
    static const char *const names[] = {"fit", VERDICTS(AS_TEXT)};
    return names[v];
}

const char *verdict_sentence(enum verdict v)
{
    static const char *const sentences[] = {"", VERDICTS(AS_SENTENCE)};
    return sentences[v];
}
