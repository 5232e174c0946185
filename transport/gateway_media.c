/* SPDX-License-Identifier: Apache-2.0 */
#include "transport/gateway_media.h"

#include <strings.h>

#include "base/text.h"

#define UTF8 "; charset=utf-8"

static const struct {
    const char *ending, *type;
} endings[] = {
    {"html", "text/html" UTF8},
    {"htm", "text/html" UTF8},
    {"txt", "text/plain" UTF8},
    {"md", "text/markdown" UTF8},
    {"csv", "text/csv" UTF8},
    {"css", "text/css" UTF8},
    {"js", "text/javascript" UTF8},
    {"mjs", "text/javascript" UTF8},
    {"json", "application/json"},
    {"xml", "text/xml" UTF8},
    {"svg", "image/svg+xml"},
    {"png", "image/png"},
    {"jpg", "image/jpeg"},
    {"jpeg", "image/jpeg"},
    {"gif", "image/gif"},
    {"webp", "image/webp"},
    {"avif", "image/avif"},
    {"ico", "image/vnd.microsoft.icon"},
    {"pdf", "application/pdf"},
    {"zip", "application/zip"},
    {"gz", "application/gzip"},
    {"zst", "application/zstd"},
    {"tar", "application/x-tar"},
    {"wasm", "application/wasm"},
    {"woff", "font/woff"},
    {"woff2", "font/woff2"},
    {"mp3", "audio/mpeg"},
    {"ogg", "audio/ogg"},
    {"wav", "audio/wav"},
    {"mp4", "video/mp4"},
    {"webm", "video/webm"},
    {"car", "application/vnd.ipld.car"},
    {"safetensors", "application/octet-stream"},
};

static const struct {
    const char *bytes;
    size_t size;
    const char *type;
} beginnings[] = {
    {"\x89PNG\r\n\x1a\n", 8, "image/png"},
    {"\xff\xd8\xff", 3, "image/jpeg"},
    {"GIF8", 4, "image/gif"},
    {"%PDF-", 5, "application/pdf"},
    {"PK\x03\x04", 4, "application/zip"},
    {"\x1f\x8b", 2, "application/gzip"},
    {"\x28\xb5\x2f\xfd", 4, "application/zstd"},
    {"\0asm", 4, "application/wasm"},
    {"\x1a\x45\xdf\xa3", 4, "video/webm"},
    {"OggS", 4, "audio/ogg"},
};

const char *gateway_media_by_name(const char *name)
{
    const char *dot = strrchr(name, '.');
    for (size_t i = 0; dot != NULL && i < sizeof endings / sizeof endings[0]; i++)
        if (strcasecmp(dot + 1, endings[i].ending) == 0)
            return endings[i].type;
    return NULL;
}

static bool begins(struct bytes in, const char *word)
{
    size_t size = strlen(word);
    return in.size >= size && strncasecmp((const char *)in.data, word, size) == 0;
}

static bool contains(struct bytes in, const char *word)
{
    return memmem(in.data, in.size, word, strlen(word)) != NULL;
}

static struct bytes skip_blanks(struct bytes in)
{
    while (in.size > 0 && strchr(" \t\r\n", in.data[0]) != NULL && in.data[0] != '\0')
        in = bytes_of(in.data + 1, in.size - 1);
    return in;
}

/* An object or an array whose first item could be one. A guess, as all of this. */
static bool looks_like_json(struct bytes in)
{
    if (in.size < 2 || (in.data[0] != '{' && in.data[0] != '['))
        return false;
    struct bytes rest = skip_blanks(bytes_of(in.data + 1, in.size - 1));
    if (in.data[0] == '{')
        return rest.size > 0 && (rest.data[0] == '"' || rest.data[0] == '}');
    return rest.size > 0 && (strchr("{[\"-0123456789]", rest.data[0]) != NULL ||
                             begins(rest, "true") || begins(rest, "false") || begins(rest, "null"));
}

/* Text, but for a character that the end may have cut. */
static bool is_text(struct bytes in, bool whole)
{
    for (size_t cut = 0; cut <= 3 && cut <= in.size; cut++) {
        if (text_is_utf8(bytes_of(in.data, in.size - cut)))
            return true;
        if (whole)
            break;
    }
    return false;
}

const char *gateway_media_by_bytes(struct bytes first, bool whole)
{
    for (size_t i = 0; i < sizeof beginnings / sizeof beginnings[0]; i++)
        if (first.size >= beginnings[i].size &&
            memcmp(first.data, beginnings[i].bytes, beginnings[i].size) == 0)
            return beginnings[i].type;
    if (first.size >= 12 && memcmp(first.data, "RIFF", 4) == 0 &&
        memcmp(first.data + 8, "WEBP", 4) == 0)
        return "image/webp";
    if (first.size >= 12 && memcmp(first.data + 4, "ftyp", 4) == 0)
        return "video/mp4";
    if (!is_text(first, whole))
        return "application/octet-stream";
    for (size_t i = 0; i < first.size; i++)
        if (first.data[i] < ' ' && strchr("\t\n\r\f\x1b", first.data[i]) == NULL)
            return "application/octet-stream";
    struct bytes in = skip_blanks(first);
    if (begins(in, "<!doctype html") || begins(in, "<html"))
        return "text/html" UTF8;
    if (begins(in, "<svg") || (begins(in, "<?xml") && contains(in, "<svg")))
        return "image/svg+xml";
    if (begins(in, "<?xml"))
        return "text/xml" UTF8;
    return looks_like_json(in) ? "application/json" : "text/plain" UTF8;
}
