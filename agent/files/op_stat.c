/* SPDX-License-Identifier: Apache-2.0 */
/* op_stat - stat, exists, mkdir. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include "agent/files/helper.h"
#include "agent/files/path.h"
#include "common/base/buf.h"
#include "common/base/cleanup.h"
#include "common/base/str.h"
#include "common/json/json.h"

void op_stat(struct fop *f)
{
    cleanup(freep) char *path = fop_path(f, "path");

    if (path)
        object_reply(f, path);
}

static const char *exists_type(const struct stat *st)
{
    if (S_ISDIR(st->st_mode))
        return "directory";
    return S_ISLNK(st->st_mode) ? "symlink" : "file";
}

void op_exists(struct fop *f)
{
    cleanup(freep) char *path = fop_path(f, "path");
    cleanup(buf_deinit) struct buf json = BUF_INIT(256);
    struct json_writer w;
    struct stat st;
    bool exists;

    if (!path)
        return;
    exists = lstat(path, &st) == 0;
    if (!exists && errno != ENOENT && errno != ENOTDIR) {
        fop_errno(f, errno, path);
        return;
    }
    json_writer_init(&w, &json);
    jw_object(&w);
    jw_kbool(&w, "exists", exists);
    jw_kstr(&w, "entry_type", exists ? exists_type(&st) : NULL);
    jw_object_end(&w);
    if (json_writer_end(&w) < 0)
        abort(); /* two words */
    fop_json(f, &json);
}

int tree_make_dirs(const char *path, mode_t mode)
{
    cleanup(freep) char *parent = NULL;
    struct stat st;
    int r;

    if (mkdir(path, mode) == 0)
        return 0;
    if (errno == EEXIST)
        return stat(path, &st) == 0 && S_ISDIR(st.st_mode) ? 0 : -EEXIST;
    if (errno != ENOENT || strcmp(path, "/") == 0)
        return -errno;
    parent = path_dir(path);
    r = tree_make_dirs(parent, 0777);
    if (r < 0)
        return r;
    return mkdir(path, mode) < 0 && errno != EEXIST ? -errno : 0;
}

static bool mkdir_mode(struct fop *f, const char *path)
{
    const char *text = fop_arg(f, "mode");
    uint64_t mode;

    if (!text)
        return true;
    /* the agent has checked it */
    if (str_to_u64_n(text, strlen(text), 8, &mode) < 0 || chmod(path, (mode_t) mode) < 0) {
        fop_errno(f, errno, path);
        return false;
    }
    return true;
}

void op_mkdir(struct fop *f)
{
    cleanup(freep) char *path = fop_path(f, "path");
    bool parents = !str_eq(fop_arg(f, "parents"), "0");
    struct stat st;
    int r;

    if (!path)
        return;
    if (stat(path, &st) == 0 && S_ISDIR(st.st_mode)) {
        object_reply(f, path);
        return;
    }
    r = parents ? tree_make_dirs(path, 0777) : mkdir(path, 0777) < 0 ? -errno : 0;
    if (r < 0)
        fop_errno(f, -r, path);
    else if (mkdir_mode(f, path))
        object_reply(f, path);
}
