/* SPDX-License-Identifier: Apache-2.0 */
/* fuzz_agent_text - paths, ranges, helper arguments, passwd and group files, the kernel command line, /etc/hosts. The first byte chooses. */
#include <assert.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include "agent/boot/boot.h"
#include "agent/files/fmsg.h"
#include "agent/files/path.h"
#include "agent/files/range.h"
#include "agent/init/identity.h"
#include "agent/procs/session.h"
#include "agent/users/users.h"
#include "common/base/buf.h"
#include "common/base/mem.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void fuzz_path(const char *text)
{
    char *path = path_absolute("/workspace", text);

    if (!path) {
        assert(!*text);
        return;
    }
    assert(path[0] == '/' && !strstr(path, "//") && !strstr(path, "/./"));
    assert(strlen(path) == 1 || path[strlen(path) - 1] != '/');
    char *dir = path_dir(path), *again = path_absolute("/x", path);

    assert(strcmp(path, again) == 0);
    if (strcmp(path, "/") != 0) {
        char *joined = path_join(dir, path_base(path));

        assert(strcmp(joined, path) == 0);
        free(joined);
    }
    (void) path_has_dotdot(path);
    free(dir);
    free(again);
    free(path);
}

static void fuzz_range(const char *text, uint64_t size)
{
    uint64_t first, last;

    if (range_parse(text, size, &first, &last) == RANGE_E_PART)
        assert(first <= last && last < size);
}

static void fuzz_users(const uint8_t *p, size_t len)
{
    struct buf passwd = BUF_INIT(0), group = BUF_INIT(0);
    struct user u;

    assert(buf_append(&passwd, p, len / 2) == 0 && buf_append(&group, p + len / 2, len - len / 2) == 0);
    if (user_find_in(&u, "user", &passwd, &group) == USER_E_OK) {
        assert(u.group_count >= 1 && u.group_count <= USERS_GROUPS_MAX && strcmp(u.name, "user") == 0);
        user_deinit(&u);
    }
    if (user_find_in(&u, "0", &passwd, &group) == USER_E_OK)
        user_deinit(&u);
    buf_deinit(&passwd);
    buf_deinit(&group);
}

static void fuzz_cmdline(const char *text)
{
    struct secret token = {0};
    char *rest = malloc(strlen(text) + 1), value[16];

    assert(rest);
    cmdline_take_token(text, &token, rest);
    assert(strlen(rest) <= strlen(text));
    assert(strncmp(rest, "bivouac.boot=", 13) != 0 && !strstr(rest, " bivouac.boot="));
    (void) cmdline_get(text, "bivouac.root", value, sizeof(value));
    secret_deinit(&token);
    free(rest);
}

static void fuzz_hosts(const uint8_t *p, size_t len)
{
    struct buf once = BUF_INIT(0), twice = BUF_INIT(0);

    assert(hosts_rewrite(&once, p, len, "box") == 0);
    assert(hosts_rewrite(&twice, buf_data(&once), once.len, "box") == 0);
    assert(once.len == twice.len && memcmp(buf_data(&once), buf_data(&twice), once.len) == 0);
    buf_deinit(&once);
    buf_deinit(&twice);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 2)
        return 0;
    char *text = xstrndup((const char *) data + 1, strnlen((const char *) data + 1, size - 1));

    switch (data[0] % 7) {
    case 0:
        fuzz_path(text);
        break;
    case 1:
        fuzz_range(text, data[1] * 1000u);
        break;
    case 2:
        (void) fmsg_get((const char *) data + 1, size - 1, "path");
        break;
    case 3:
        fuzz_users(data + 1, size - 1);
        break;
    case 4:
        fuzz_cmdline(text);
        break;
    case 5:
        fuzz_hosts(data + 1, size - 1);
        break;
    default:
        assert(signal_number(text) >= 0 && signal_number(text) <= 64);
    }
    free(text);
    return 0;
}
