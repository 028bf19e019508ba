/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/files/path.h"
#include <assert.h>
#include <string.h>
#include "common/base/mem.h"

/* Appends the components of `path` to out, which ends at `to`. */
static char *path_append(char *to, const char *path)
{
    while (*path) {
        size_t len = strcspn(path, "/");

        if (len && !(len == 1 && path[0] == '.')) {
            *to++ = '/';
            memcpy(to, path, len);
            to += len;
        }
        path += len;
        path += *path == '/';
    }
    return to;
}

char *path_absolute(const char *base, const char *path)
{
    size_t room = strlen(base) + strlen(path) + 4;
    char *out, *to;

    if (!*path)
        return NULL;
    out = to = xmalloc(room);
    if (path[0] != '/')
        to = path_append(to, base);
    to = path_append(to, path);
    if (to == out)
        *to++ = '/';
    *to = '\0';
    assert((size_t) (to - out) < room);
    return out;
}

bool path_has_dotdot(const char *path)
{
    while (*path) {
        size_t len = strcspn(path, "/");

        if (len == 2 && path[0] == '.' && path[1] == '.')
            return true;
        path += len;
        path += *path == '/';
    }
    return false;
}

bool path_ends_in_slash(const char *path)
{
    size_t len = strlen(path);

    return len > 0 && path[len - 1] == '/';
}

const char *path_base(const char *path)
{
    const char *slash = strrchr(path, '/');

    return slash && slash[1] ? slash + 1 : path;
}

char *path_dir(const char *path)
{
    const char *slash = strrchr(path, '/');

    if (!slash || slash == path)
        return xstrdup("/");
    return xstrndup(path, (size_t) (slash - path));
}

char *path_join(const char *dir, const char *name)
{
    return strcmp(dir, "/") == 0 ? xasprintf("/%s", name) : xasprintf("%s/%s", dir, name);
}
