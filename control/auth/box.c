/* SPDX-License-Identifier: Apache-2.0 */
/* box - see box.h. */
#include "control/auth/box.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include "common/base/buf.h"
#include "common/base/cleanup.h"
#include "common/base/err.h"
#include "common/base/mem.h"
#include "common/base/secret.h"
#include "common/base/str.h"
#include "control/auth/crypto.h"

enum { BOX_VERSION = 1, BOX_ID_MAX = 32, BOX_KEYS_MAX = 16 };

struct box_key {
    char id[BOX_ID_MAX + 1];
    uint8_t key[AES_KEY_LEN];
};

struct boxes {
    struct box_key keys[BOX_KEYS_MAX];
    size_t count;
};

void boxes_free(struct boxes *b)
{
    if (!b)
        return;
    mem_wipe(b, sizeof(*b));
    free(b);
}

static bool box_id_valid(const char *id, size_t len)
{
    if (len < 1 || len > BOX_ID_MAX)
        return false;
    return strspn(id, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.-") >= len;
}

/* One line without its line feed. */
static int boxes_add(struct boxes *b, const char *line, size_t len, unsigned number, struct err *e)
{
    const char *space = memchr(line, ' ', len);
    const char *id = space ? line : "0", *hex = space ? space + 1 : line;
    size_t id_len = space ? (size_t)(space - line) : 1;
    uint8_t raw[AES_KEY_LEN + 1];
    size_t hex_len = len - (size_t)(hex - line);

    if (b->count == BOX_KEYS_MAX)
        return err_set(e, -E2BIG, "line %u: at most %d keys", number, BOX_KEYS_MAX);
    if (!box_id_valid(id, id_len))
        return err_set(e, -EINVAL,
                       "line %u: the key id must have 1..%d letters, digits, '.', '_' or '-'",
                       number, BOX_ID_MAX);
    if (hex_len != 2 * AES_KEY_LEN || hex_decode(hex, hex_len, raw) != AES_KEY_LEN)
        return err_set(e, -EINVAL, "line %u: the key must be %d hex digits", number,
                       2 * AES_KEY_LEN);
    struct box_key *k = &b->keys[b->count];

    memcpy(k->id, id, id_len);
    k->id[id_len] = '\0';
    memcpy(k->key, raw, AES_KEY_LEN);
    mem_wipe(raw, sizeof(raw));
    for (size_t i = 0; i < b->count; i++) {
        if (str_eq(b->keys[i].id, k->id))
            return err_set(e, -EINVAL, "line %u: key id '%s' stands there twice", number, k->id);
    }
    b->count++;
    return 0;
}

int boxes_parse(struct boxes **out, const char *text, struct err *e)
{
    struct boxes *b = xnew(struct boxes);
    unsigned number = 0;

    while (*text) {
        size_t len = strcspn(text, "\n");
        int r = len ? boxes_add(b, text, len, ++number, e) : (number++, 0);

        if (r < 0) {
            boxes_free(b);
            return r;
        }
        text += len + (text[len] == '\n');
    }
    if (b->count == 0) {
        boxes_free(b);
        return err_set(e, -EINVAL, "there is no key in it");
    }
    *out = b;
    return 0;
}

int boxes_load(struct boxes **out, const char *path, struct err *e)
{
    cleanup(secret_deinit) struct secret s = {0};
    int r = secret_load(&s, path, e);

    if (r < 0)
        return r;
    r = boxes_parse(out, (const char *)s.bytes, e);
    return r < 0 ? err_wrap(e, r, "key file '%s'", path) : 0;
}

/* Head and binding are authenticated together: u8 1 | u8 id length | id | bound. */
static int box_aad(const void *head, size_t head_len, const char *bound, struct buf *out)
{
    int r = buf_append(out, head, head_len);

    return r < 0 ? r : buf_append_str(out, bound);
}

int boxes_seal(const struct boxes *b, const char *bound, const void *plain, size_t len,
               struct buf *out)
{
    const struct box_key *k = &b->keys[0];
    size_t id_len = strlen(k->id);
    uint8_t head[2 + BOX_ID_MAX] = {BOX_VERSION, (uint8_t)id_len};
    cleanup(buf_deinit) struct buf aad = BUF_INIT(MIB);
    int r;

    memcpy(head + 2, k->id, id_len);
    r = box_aad(head, 2 + id_len, bound, &aad);
    if (r == 0)
        r = buf_append(out, head, 2 + id_len);
    return r < 0 ? r : crypto_seal(k->key, buf_data(&aad), aad.len, plain, len, out);
}

int boxes_open(const struct boxes *b, const char *bound, const void *box, size_t len,
               struct buf *out)
{
    const uint8_t *p = box;
    cleanup(buf_deinit) struct buf aad = BUF_INIT(MIB);

    if (len < 2 || p[0] != BOX_VERSION || p[1] < 1 || p[1] > BOX_ID_MAX || len < 2u + p[1])
        return -EBADMSG;
    size_t head_len = 2u + p[1];
    const struct box_key *k = NULL;

    for (size_t i = 0; i < b->count && !k; i++) {
        if (strlen(b->keys[i].id) == p[1] && memcmp(b->keys[i].id, p + 2, p[1]) == 0)
            k = &b->keys[i];
    }
    if (!k)
        return -ENOKEY;
    int r = box_aad(p, head_len, bound, &aad);

    return r < 0 ? r
                 : crypto_open(k->key, buf_data(&aad), aad.len, p + head_len, len - head_len, out);
}
