/* SPDX-License-Identifier: Apache-2.0 */
/*
 * replay -- what stands in for libFuzzer in `make test`: gives a target every file of its corpus,
 * tests/fuzz/corpus/NAME for the program NAME_fuzz, and says so in the words of a unit test. Files
 * given as arguments are taken instead.
 */
#include <dirent.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define INPUT_BYTES_MAX (4u << 20)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void give(const char *path)
{
    FILE *file = fopen(path, "rb");
    uint8_t *room = malloc(INPUT_BYTES_MAX);
    if (file == NULL || room == NULL) {
        fprintf(stderr, "%s: cannot be read\n", path);
        exit(1);
    }
    size_t size = fread(room, 1, INPUT_BYTES_MAX, file);
    fclose(file);
    /* Exactly as large as the input, so that a byte read behind it is seen by the sanitizer. */
    uint8_t *data = malloc(size + (size == 0));
    if (data == NULL)
        exit(1);
    memcpy(data, room, size);
    free(room);
    fprintf(stderr, "%s\n", path); /* the last line names the input of a crash */
    (void)LLVMFuzzerTestOneInput(data, size);
    free(data);
}

int main(int argc, char **argv)
{
    char folder[512], path[1024];
    const char *slash = strrchr(argv[0], '/'), *name = slash == NULL ? argv[0] : slash + 1;
    int length = (int)strlen(name) - (int)strlen("_fuzz");
    for (int i = 1; i < argc; i++)
        give(argv[i]);
    if (argc > 1)
        return 0;
    snprintf(folder, sizeof folder, "tests/fuzz/corpus/%.*s", length, name);
    printf("[ RUN      ] %s on its corpus\n", name);
    DIR *dir = opendir(folder);
    size_t count = 0;
    for (struct dirent *entry; dir != NULL && (entry = readdir(dir)) != NULL;) {
        if (entry->d_name[0] == '.')
            continue;
        snprintf(path, sizeof path, "%s/%s", folder, entry->d_name);
        give(path);
        count++;
    }
    if (dir != NULL)
        closedir(dir);
    if (count == 0) {
        fprintf(stderr, "%s holds no input\n", folder);
        return 1;
    }
    printf("[       OK ] %s on its corpus\n", name);
    return 0;
}
