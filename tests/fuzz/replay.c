/* SPDX-License-Identifier: Apache-2.0 */
/* replay - runs a fuzz target over every file of the folders and files that are given, without libFuzzer. */
#include <dirent.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int main(int argc, char **argv);

static int replay_file(const char *path)
{
    FILE *f = fopen(path, "rbe");
    uint8_t *data = NULL;
    size_t len = 0, cap = 0, n;

    if (!f) {
        perror(path);
        return -1;
    }
    do {
        if (cap - len < 65536) {
            cap = cap * 2 + 65536;
            data = realloc(data, cap);
            if (!data)
                abort();
        }
        n = fread(data + len, 1, cap - len, f);
        len += n;
    } while (n > 0);
    fclose(f);
    /* An exact-size copy, so that a sanitizer sees a read past the end. */
    uint8_t *exact = malloc(len ? len : 1);

    if (!exact)
        abort();
    for (size_t i = 0; i < len; i++)
        exact[i] = data[i];
    LLVMFuzzerTestOneInput(exact, len);
    free(exact);
    free(data);
    return 0;
}

static int replay_path(const char *path, unsigned *count)
{
    struct stat st;
    struct dirent **names;

    if (stat(path, &st) < 0) {
        perror(path);
        return -1;
    }
    if (!S_ISDIR(st.st_mode)) {
        (*count)++;
        return replay_file(path);
    }
    int n = scandir(path, &names, NULL, alphasort);
    int r = n < 0 ? -1 : 0;

    for (int i = 0; i < n; i++) {
        char child[4096];

        snprintf(child, sizeof(child), "%s/%s", path, names[i]->d_name);
        if (names[i]->d_name[0] != '.' && replay_path(child, count) < 0)
            r = -1;
        free(names[i]);
    }
    if (n >= 0)
        free(names);
    return r;
}

int main(int argc, char **argv)
{
    unsigned count = 0;

    for (int i = 1; i < argc; i++) {
        if (replay_path(argv[i], &count) < 0)
            return 1;
    }
    printf("%u inputs replayed\n", count);
    return count ? 0 : 1; /* an empty corpus is a mistake */
}
