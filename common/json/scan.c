/* SPDX-License-Identifier: Apache-2.0 */
/*
 * scan - the strict gate in front of the library, which lets NaN, single quotes, comments, raw control characters and
 * duplicate members pass and clamps integers. One walk over the bytes, nothing is allocated unless duplicates are looked for.
 */
#include "common/json/library.h"
#include "common/base/err.h"
#include "common/base/map.h"
#include "common/base/str.h"
#include "common/json/json_internal.h"
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

struct scan {
    const unsigned char *start, *p, *end;
    struct json_tokener *names; /* borrowed; NULL: do not look for duplicates */
    size_t members;
    unsigned depth;
    struct err *e;
};

static int scan_value(struct scan *s);

static int scan_bad(struct scan *s, const char *what)
{
    return err_set(s->e, -EINVAL, "not valid JSON at byte %zu: %s", (size_t) (s->p - s->start), what);
}

static void scan_space(struct scan *s)
{
    while (s->p < s->end && (*s->p == ' ' || *s->p == '\n' || *s->p == '\r' || *s->p == '\t'))
        s->p++;
}

static bool scan_char(struct scan *s, char c)
{
    if (s->p == s->end || *s->p != (unsigned char) c)
        return false;
    s->p++;
    return true;
}

/* The four digits of a \u escape at p; the point stays. */
static bool scan_hex4(const unsigned char *p, const unsigned char *end, unsigned *out)
{
    uint64_t v;

    if (end - p < 4 || str_to_u64_n((const char *) p, 4, 16, &v) < 0)
        return false;
    *out = (unsigned) v;
    return true;
}

/* After the backslash. `is_name`: the library cuts a member name at a NUL character, so it has none. */
static int scan_escape(struct scan *s, bool is_name)
{
    unsigned code, low;

    if (s->p == s->end)
        return scan_bad(s, "unfinished escape");
    if (*s->p != 'u') {
        if (!*s->p || !strchr("\"\\/bfnrt", *s->p))
            return scan_bad(s, "unknown escape");
        s->p++;
        return 0;
    }
    if (!scan_hex4(s->p + 1, s->end, &code))
        return scan_bad(s, "\\u needs four hex digits");
    if (code >= 0xdc00 && code <= 0xdfff)
        return scan_bad(s, "half of a surrogate pair");
    if (code == 0 && is_name)
        return scan_bad(s, "NUL character in a member name");
    s->p += 5;
    if (code < 0xd800 || code > 0xdbff)
        return 0;
    if (s->end - s->p < 6 || s->p[0] != '\\' || s->p[1] != 'u' || !scan_hex4(s->p + 2, s->end, &low) || low < 0xdc00 ||
        low > 0xdfff)
        return scan_bad(s, "half of a surrogate pair");
    s->p += 6;
    return 0;
}

/* Bytes from p on that are plain ASCII inside of a string. */
static size_t scan_plain(const unsigned char *p, size_t len)
{
    size_t n = 0;

    while (n < len && p[n] >= 0x20 && p[n] < 0x80 && p[n] != '"' && p[n] != '\\')
        n++;
    return n;
}

/* One character or a run of them that is not plain ASCII. */
static int scan_string_special(struct scan *s, bool is_name)
{
    if (*s->p == '\\') {
        s->p++;
        return scan_escape(s, is_name);
    }
    if (*s->p < 0x20)
        return scan_bad(s, "raw control character in a string");
    size_t n = 1; /* to the end of the run of bytes that are not ASCII */

    while (n < (size_t) (s->end - s->p) && s->p[n] >= 0x80)
        n++;
    size_t valid = utf8_valid_prefix(s->p, n);

    s->p += valid;
    return valid == n ? 0 : scan_bad(s, "not UTF-8");
}

static int scan_string(struct scan *s, bool is_name)
{
    if (!scan_char(s, '"'))
        return scan_bad(s, is_name ? "a member name in double quotes is missing" : "a string is missing");
    while (s->p < s->end) {
        s->p += scan_plain(s->p, (size_t) (s->end - s->p));
        if (s->p == s->end)
            break;
        if (scan_char(s, '"'))
            return 0;
        int r = scan_string_special(s, is_name);

        if (r < 0)
            return r;
    }
    return scan_bad(s, "unfinished string");
}

static size_t scan_digits(struct scan *s)
{
    const unsigned char *from = s->p;

    while (s->p < s->end && *s->p >= '0' && *s->p <= '9')
        s->p++;
    return (size_t) (s->p - from);
}

static bool integer_fits(const char *text, size_t len)
{
    bool negative = text[0] == '-';
    uint64_t v;

    if (str_to_u64_n(text + negative, len - negative, 10, &v) < 0)
        return false;
    return !negative || v <= (uint64_t) INT64_MAX + 1;
}

static bool real_fits(const char *text, size_t len)
{
    char copy[JSON_NUMBER_MAX + 1];

    memcpy(copy, text, len);
    copy[len] = '\0';
    return isfinite(strtod(copy, NULL));
}

static int scan_number(struct scan *s)
{
    const unsigned char *from = s->p;
    bool real = false;

    scan_char(s, '-');
    if (!scan_char(s, '0') && scan_digits(s) == 0)
        return scan_bad(s, "a value is missing");
    if (scan_char(s, '.')) {
        real = true;
        if (scan_digits(s) == 0)
            return scan_bad(s, "digits are missing after the point");
    }
    if (scan_char(s, 'e') || scan_char(s, 'E')) {
        real = true;
        if (!scan_char(s, '+'))
            scan_char(s, '-');
        if (scan_digits(s) == 0)
            return scan_bad(s, "digits are missing in the exponent");
    }
    size_t len = (size_t) (s->p - from);

    if (s->p < s->end && ((*s->p >= '0' && *s->p <= '9') || *s->p == '.'))
        return scan_bad(s, "malformed number");
    if (len > JSON_NUMBER_MAX ||
        !(real ? real_fits((const char *) from, len) : integer_fits((const char *) from, len))) {
        s->p = from;
        return scan_bad(s, "number out of range");
    }
    return 0;
}

static int scan_word(struct scan *s, const char *word)
{
    size_t len = strlen(word);

    if ((size_t) (s->end - s->p) < len || memcmp(s->p, word, len) != 0)
        return scan_bad(s, "unknown word");
    s->p += len;
    return 0;
}

/* Puts the name that ends at the point into `seen`; it is unescaped by the library. */
static int scan_name_once(struct scan *s, const unsigned char *from, struct map *seen)
{
    static char there;
    struct json_object *name;
    int r = 0;

    json_tokener_reset(s->names);
    name = json_tokener_parse_ex(s->names, (const char *) from, (int) (s->p - from));
    if (!name || !json_object_is_type(name, json_type_string)) {
        r = scan_bad(s, "unreadable member name");
    } else if (map_put_n(seen, json_object_get_string(name), (size_t) json_object_get_string_len(name), &there)) {
        s->p = from;
        r = err_set(s->e, -EINVAL, "not valid JSON at byte %zu: member '%.64s' is there twice",
                    (size_t) (from - s->start), json_object_get_string(name));
    }
    json_object_put(name);
    return r;
}

static int scan_member(struct scan *s, struct map *seen)
{
    const unsigned char *from = s->p;
    int r = scan_string(s, true);

    if (r == 0 && seen)
        r = scan_name_once(s, from, seen);
    if (r < 0)
        return r;
    s->members++;
    scan_space(s);
    if (!scan_char(s, ':'))
        return scan_bad(s, "':' is missing");
    scan_space(s);
    return scan_value(s);
}

/* Members or elements up to the closing bracket; the opening one is behind the point. */
static int scan_items(struct scan *s, char close, struct map *seen)
{
    scan_space(s);
    if (scan_char(s, close))
        return 0;
    for (;;) {
        int r = close == '}' ? scan_member(s, seen) : scan_value(s);

        if (r < 0)
            return r;
        scan_space(s);
        if (scan_char(s, close))
            return 0;
        if (!scan_char(s, ','))
            return scan_bad(s, close == '}' ? "',' or '}' is missing" : "',' or ']' is missing");
        scan_space(s);
    }
}

static int scan_container(struct scan *s, char close)
{
    struct map *seen = NULL;

    s->p++;
    if (s->depth == JSON_DEPTH_MAX)
        return err_set(s->e, -E2BIG, "JSON is nested deeper than %d levels", JSON_DEPTH_MAX);
    s->depth++;
    if (s->names && close == '}')
        seen = map_new();
    int r = scan_items(s, close, seen);

    map_free(seen);
    s->depth--;
    return r;
}

static int scan_value(struct scan *s)
{
    if (s->p == s->end)
        return scan_bad(s, "a value is missing");
    switch (*s->p) {
    case '{':
        return scan_container(s, '}');
    case '[':
        return scan_container(s, ']');
    case '"':
        return scan_string(s, false);
    case 't':
        return scan_word(s, "true");
    case 'f':
        return scan_word(s, "false");
    case 'n':
        return scan_word(s, "null");
    default:
        return scan_number(s);
    }
}

int json_scan(const void *p, size_t len, struct json_tokener *names, size_t *members, struct err *e)
{
    struct scan s = {.start = p, .p = p, .names = names, .e = e};

    if (len > JSON_BYTES_MAX)
        return err_set(e, -E2BIG, "JSON is larger than %d bytes", JSON_BYTES_MAX);
    s.end = len ? s.start + len : s.start;
    scan_space(&s);
    int r = scan_value(&s);

    if (r < 0)
        return r;
    scan_space(&s);
    if (s.p != s.end)
        return scan_bad(&s, "more after the value");
    *members = s.members;
    return 0;
}
