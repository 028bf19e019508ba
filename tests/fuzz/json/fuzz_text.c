/* SPDX-License-Identifier: Apache-2.0 */
/* fuzz_text - any bytes through base64, hex, percent, UTF-8, numbers and times: what decodes encodes back, what encodes decodes back. */
#include <inttypes.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "common/base/buf.h"
#include "common/base/clock.h"
#include "common/base/mem.h"
#include "common/base/str.h"
#include "common/json/json.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(bool ok)
{
    if (!ok)
        abort();
}

static void check_base64(const uint8_t *data, size_t size)
{
    char *text = xmalloc(base64_encoded_len(size) + 1);
    uint8_t *bytes = xmalloc(base64_encoded_len(size) / 4 * 3 + 3);
    ssize_t n;

    base64_encode(data, size, text);
    check(base64_decode(text, strlen(text), false, bytes) == (ssize_t) size && memcmp(bytes, data, size) == 0);
    base64url_encode(data, size, text);
    check(base64url_decode(text, strlen(text), bytes) == (ssize_t) size && memcmp(bytes, data, size) == 0);
    free(text);
    text = xmalloc(base64_encoded_len(size) + 1);
    n = base64_decode((const char *) data, size, false, bytes);
    if (n >= 0) { /* one text for one value */
        base64_encode(bytes, (size_t) n, text);
        check(strlen(text) == size && memcmp(text, data, size) == 0);
    }
    n = base64url_decode((const char *) data, size, bytes);
    if (n >= 0) {
        base64url_encode(bytes, (size_t) n, text);
        check(strlen(text) == size && memcmp(text, data, size) == 0);
    }
    check(base64_decode((const char *) data, size, true, bytes) <= (ssize_t) size);
    free(text);
    free(bytes);
}

static void check_escapes(const uint8_t *data, size_t size)
{
    const char *s = (const char *) data;
    char *text = xmalloc(3 * size + 1), *back = xmalloc(3 * size + 1);
    size_t len = percent_encode(s, size, true, text);
    bool has_nul = memchr(s, '\0', size) != NULL;

    check(has_nul ? percent_decode(text, len, true, back) < 0
                  : percent_decode(text, len, true, back) == (ssize_t) size && memcmp(back, s, size) == 0);
    ssize_t n = percent_decode(s, size, true, back);

    check(n < 0 || (strlen(back) == (size_t) n && (size_t) n <= size));
    hex_encode(data, size, text);
    check(hex_decode(text, strlen(text), back) == (ssize_t) size && memcmp(back, data, size) == 0);
    free(text);
    free(back);
}

static void check_utf8(const uint8_t *data, size_t size)
{
    size_t valid = utf8_valid_prefix(data, size), tail = utf8_incomplete_tail(data, size);
    struct buf out = BUF_INIT(0);
    struct json_writer w;
    struct json_doc *d = NULL;

    check(valid <= size && tail <= 3 && tail <= size);
    if (size - valid <= 3 && utf8_valid(data, size - tail))
        check(size - tail == valid);
    /* Any bytes become a JSON string, valid ones the same. */
    json_writer_init(&w, &out);
    jw_str_n(&w, (const char *) data, size);
    check(json_writer_end(&w) == 0 && json_parse(&d, buf_data(&out), out.len, NULL) == 0);
    if (valid == size && !memchr(data, '\0', size))
        check(json_str_len(json_root(d)) == size && memcmp(json_str(json_root(d)), data, size) == 0);
    json_doc_free(d);
    buf_deinit(&out);
}

static void check_values(const char *s)
{
    char text[CLOCK_RFC3339_SIZE];
    int64_t us, back, i;
    uint64_t u;

    if (clock_parse_rfc3339(s, &us) == 0) {
        clock_rfc3339(us, 6, text);
        check(us < -62167219200000000 || us > 253402300799999999 || (clock_parse_rfc3339(text, &back) == 0 && back == us));
    }
    if (str_to_i64(s, &i) == 0) {
        snprintf(text, sizeof(text), "%" PRId64, i);
        check(str_to_i64(text, &back) == 0 && back == i);
    }
    check(str_to_u64(s, &u) <= 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *s = xstrndup((const char *) data, size);

    check_base64(data, size);
    check_escapes(data, size);
    check_utf8(data, size);
    check_values(s);
    free(s);
    return 0;
}
