/* SPDX-License-Identifier: Apache-2.0 */
/*
 * object - file objects of the API, by lstat. JSON is UTF-8, names are bytes: where a path (or a link's target) is not valid UTF-8, its bad
 * bytes are shown as U+FFFD and path_base64 (symlink_target_base64) has the bytes. A query takes any byte, percent-encoded.
 */
#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include "agent/files/helper.h"
#include "agent/files/path.h"
#include "common/base/buf.h"
#include "common/base/cleanup.h"
#include "common/base/clock.h"
#include "common/base/str.h"
#include "common/json/json.h"

enum { OBJECT_BYTES_MAX = 64 * KIB };

const char *object_type(const struct stat *st)
{
    if (S_ISREG(st->st_mode))
        return "file";
    if (S_ISDIR(st->st_mode))
        return "dir";
    return S_ISLNK(st->st_mode) ? "symlink" : "other";
}

static void permissions_text(mode_t mode, char out[10])
{
    static const char bits[] = "rwxrwxrwx";

    for (unsigned i = 0; i < 9; i++)
        out[i] = mode & (0400u >> i) ? bits[i] : '-';
    if (mode & S_ISUID)
        out[2] = mode & S_IXUSR ? 's' : 'S';
    if (mode & S_ISGID)
        out[5] = mode & S_IXGRP ? 's' : 'S';
    if (mode & S_ISVTX)
        out[8] = mode & S_IXOTH ? 't' : 'T';
    out[9] = '\0';
}

static void write_bytes(struct json_writer *w, const char *key, const char *key_base64, const char *bytes)
{
    size_t len = strlen(bytes);

    jw_key(w, key);
    jw_str_n(w, bytes, len);
    if (!utf8_valid(bytes, len)) {
        jw_key(w, key_base64);
        jw_base64(w, bytes, len);
    }
}

void object_write(struct fop *f, struct json_writer *w, const char *path, const struct stat *st, const char *link_target)
{
    int64_t us = (int64_t) st->st_mtim.tv_sec * 1000000 + st->st_mtim.tv_nsec / 1000;
    char permissions[10], time[CLOCK_RFC3339_SIZE];

    permissions_text(st->st_mode, permissions);
    clock_rfc3339(us, 6, time);
    jw_object(w);
    write_bytes(w, "path", "path_base64", path);
    jw_kstr(w, "name", path_base(path));
    jw_kstr(w, "type", object_type(st));
    jw_kint(w, "bytes", st->st_size);
    jw_kint(w, "size", st->st_size);
    jw_kint(w, "mode", st->st_mode & 07777);
    jw_kstr(w, "permissions", permissions);
    jw_kstr(w, "owner", id_names_get(&f->users, st->st_uid));
    jw_kstr(w, "group", id_names_get(&f->groups, st->st_gid));
    jw_kint(w, "uid", st->st_uid);
    jw_kint(w, "gid", st->st_gid);
    jw_kint(w, "mtime", st->st_mtim.tv_sec);
    jw_kstr(w, "modified_time", time);
    jw_kstr(w, "modified_at", time);
    if (link_target)
        write_bytes(w, "symlink_target", "symlink_target_base64", link_target);
    jw_object_end(w);
}

void object_reply(struct fop *f, const char *path)
{
    cleanup(buf_deinit) struct buf json = BUF_INIT(OBJECT_BYTES_MAX);
    cleanup(freep) char *shown = fop_shown_path(path);
    char target[PATH_MAX];
    struct json_writer w;
    struct stat st;
    ssize_t n = -1;

    if (lstat(path, &st) < 0) {
        fop_errno(f, errno, path);
        return;
    }
    if (S_ISLNK(st.st_mode))
        n = readlink(path, target, sizeof(target) - 1);
    if (n >= 0)
        target[n] = '\0';
    json_writer_init(&w, &json);
    jw_object(&w);
    jw_key(&w, "file");
    object_write(f, &w, shown, &st, n >= 0 ? target : NULL);
    jw_object_end(&w);
    if (json_writer_end(&w) < 0)
        abort(); /* two paths and a dozen numbers */
    fop_json(f, &json);
}
