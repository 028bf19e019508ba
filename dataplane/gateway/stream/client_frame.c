/* SPDX-License-Identifier: Apache-2.0 */
#include "dataplane/gateway/stream/client_frame.h"

#include <errno.h>
#include <signal.h>
#include <string.h>

#include "common/base/arena.h"
#include "common/base/cleanup.h"
#include "common/base/err.h"
#include "common/base/str.h"

enum { CLIENT_ARGS_MAX = 10000, CLIENT_ENV_MAX = 1000, CLIENT_CMD_MAX = 128 * KIB }; /* what the agent link takes */

static const struct json_field pty_fields[] = {
    {"cols", JSON_F_INT, JSON_NULL_OK, offsetof(struct link_pty, cols), JSON_NO_PRESENT, 1, 1000, NULL},
    {"rows", JSON_F_INT, JSON_NULL_OK, offsetof(struct link_pty, rows), JSON_NO_PRESENT, 1, 1000, NULL},
    {0},
};
static const struct json_table pty_table = {pty_fields, sizeof(struct link_pty), false};

#define START_FIELD(name, kind, flags, member, max)                                                \
    {                                                                                              \
        name, kind, (flags) | JSON_NULL_OK, offsetof(struct link_start, member), JSON_NO_PRESENT, 0, max, NULL             \
    }
static const struct json_field start_fields[] = {
    START_FIELD("id", JSON_F_ID, 0, id, LINK_PID_MAX),
    START_FIELD("tag", JSON_F_STRING, 0, tag, 4096),
    {"cmd", JSON_F_STRING, JSON_REQUIRED, offsetof(struct link_start, cmd), JSON_NO_PRESENT, 1, CLIENT_CMD_MAX, NULL},
    START_FIELD("args", JSON_F_STRINGS, 0, args, CLIENT_ARGS_MAX),
    START_FIELD("cwd", JSON_F_STRING, 0, cwd, 4096),
    START_FIELD("user", JSON_F_STRING, 0, user, 128),
    START_FIELD("env|envs|environment", JSON_F_MAP, JSON_STRINGIFY | JSON_NULL_REMOVES, env, CLIENT_ENV_MAX),
    START_FIELD("stdin", JSON_F_BOOL, 0, stdin_open, 0),
    {"timeout_ms", JSON_F_INT, JSON_NULL_OK, offsetof(struct link_start, timeout_ms), JSON_NO_PRESENT, 0,
     INT64_C(1000) * 86400 * 365, NULL},
    {"pty", JSON_F_OBJECT, JSON_NULL_OK, offsetof(struct link_start, pty), offsetof(struct link_start, has_pty), 0, 0,
     &pty_table},
    {0},
};
static const struct json_table start_table = {start_fields, sizeof(struct link_start), false};

struct client_stdin {
    struct json_bytes data;
};
static const struct json_field stdin_fields[] = {
    {"data", JSON_F_BASE64, JSON_REQUIRED, offsetof(struct client_stdin, data), JSON_NO_PRESENT, 0, 16 * MIB, NULL},
    {0},
};
static const struct json_table stdin_table = {stdin_fields, sizeof(struct client_stdin), false};

struct client_signal {
    char *signal;
};
static const struct json_field signal_fields[] = {
    {"signal", JSON_F_ID, JSON_REQUIRED, offsetof(struct client_signal, signal), JSON_NO_PRESENT, 0, 16, NULL},
    {0},
};
static const struct json_table signal_table = {signal_fields, sizeof(struct client_signal), false};

static const struct json_field resize_fields[] = {
    {"cols", JSON_F_INT, JSON_REQUIRED, offsetof(struct link_pty, cols), JSON_NO_PRESENT, 1, 1000, NULL},
    {"rows", JSON_F_INT, JSON_REQUIRED, offsetof(struct link_pty, rows), JSON_NO_PRESENT, 1, 1000, NULL},
    {0},
};
static const struct json_table resize_table = {resize_fields, sizeof(struct link_pty), false};

static const struct {
    const char *name;
    int number;
} signal_names[] = {
    {"HUP", SIGHUP},   {"INT", SIGINT},   {"QUIT", SIGQUIT},   {"ILL", SIGILL},     {"TRAP", SIGTRAP},   {"ABRT", SIGABRT},
    {"BUS", SIGBUS},   {"FPE", SIGFPE},   {"KILL", SIGKILL},   {"USR1", SIGUSR1},   {"SEGV", SIGSEGV},   {"USR2", SIGUSR2},
    {"PIPE", SIGPIPE}, {"ALRM", SIGALRM}, {"TERM", SIGTERM},   {"CHLD", SIGCHLD},   {"CONT", SIGCONT},   {"STOP", SIGSTOP},
    {"TSTP", SIGTSTP}, {"TTIN", SIGTTIN}, {"TTOU", SIGTTOU},   {"URG", SIGURG},     {"XCPU", SIGXCPU},   {"XFSZ", SIGXFSZ},
    {"PROF", SIGPROF}, {"IO", SIGIO},     {"WINCH", SIGWINCH}, {"VTALRM", SIGVTALRM}, {"PWR", SIGPWR},   {"SYS", SIGSYS},
};

int signal_parse(const char *s, int64_t *out)
{
    uint64_t v;
    const char *name = strncasecmp(s, "SIG", 3) == 0 ? s + 3 : s;

    if (str_to_u64(s, &v) == 0) {
        if (v < 1 || v > 64)
            return -EINVAL;
        *out = (int64_t) v;
        return 0;
    }
    for (size_t i = 0; i < ARRAY_LEN(signal_names); i++) {
        if (strcasecmp(name, signal_names[i].name) == 0) {
            *out = signal_names[i].number;
            return 0;
        }
    }
    return -EINVAL;
}

bool process_id_valid(const char *s)
{
    size_t n = strspn(s, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._:-");

    return n > 0 && n <= LINK_PID_MAX && s[n] == '\0';
}

static int decode_start(const struct json *v, struct arena *a, struct client_frame *out, struct err *e)
{
    int r = json_decode_tree(&start_table, v, a, &out->start, e);

    if (r < 0)
        return r;
    if (out->start.id && !process_id_valid(out->start.id))
        return err_set(e, -EINVAL, "id: must be 1 to %d of A-Z a-z 0-9 . _ : -", LINK_PID_MAX);
    /* An empty text means the default, as an absent one does. */
    if (str_empty(out->start.cwd))
        out->start.cwd = NULL;
    if (str_empty(out->start.user))
        out->start.user = NULL;
    if (out->start.has_pty) {
        /* A terminal always takes input. */
        out->start.stdin_open = true;
        if (out->start.pty.cols == 0)
            out->start.pty.cols = 80;
        if (out->start.pty.rows == 0)
            out->start.pty.rows = 24;
    }
    return 0;
}

static int decode_stdin(const struct json *v, struct arena *a, struct client_frame *out, struct err *e)
{
    struct client_stdin s;
    int r = json_decode_tree(&stdin_table, v, a, &s, e);

    if (r == 0)
        out->data = s.data;
    return r;
}

static int decode_signal(const struct json *v, struct arena *a, struct client_frame *out, struct err *e)
{
    struct client_signal s;
    int r = json_decode_tree(&signal_table, v, a, &s, e);

    if (r < 0)
        return r;
    if (signal_parse(s.signal, &out->signal) < 0)
        return err_set(e, -EINVAL, "signal: not a signal");
    return 0;
}

static int decode_resize(const struct json *v, struct arena *a, struct client_frame *out, struct err *e)
{
    struct link_pty p;
    int r = json_decode_tree(&resize_table, v, a, &p, e);

    if (r < 0)
        return r;
    out->cols = p.cols;
    out->rows = p.rows;
    return 0;
}

static int decode_nothing(const struct json *v, struct arena *a, struct client_frame *out, struct err *e)
{
    (void) v;
    (void) a;
    (void) out;
    (void) e;
    return 0;
}

static const struct {
    const char *name;
    enum client_frame_type type;
    int (*decode)(const struct json *v, struct arena *a, struct client_frame *out, struct err *e);
} client_types[] = {
    {"start", CLIENT_START, decode_start},   {"stdin", CLIENT_STDIN, decode_stdin},
    {"close_stdin", CLIENT_CLOSE_STDIN, decode_nothing}, {"signal", CLIENT_SIGNAL, decode_signal},
    {"resize", CLIENT_RESIZE, decode_resize}, {"ping", CLIENT_PING, decode_nothing},
};

/* ---- the short way for {"type":"stdin","data":"<base64>"}: no tree, one pass ---- */

struct scan {
    const char *p, *end;
};

static bool scan_char(struct scan *s, char c)
{
    while (s->p < s->end && (*s->p == ' ' || *s->p == '\t' || *s->p == '\n' || *s->p == '\r'))
        s->p++;
    if (s->p == s->end || *s->p != c)
        return false;
    s->p++;
    return true;
}

/* A string without escapes. */
static bool scan_string(struct scan *s, const char **text, size_t *len)
{
    const char *q;

    if (!scan_char(s, '"'))
        return false;
    q = memchr(s->p, '"', (size_t) (s->end - s->p));
    if (!q || memchr(s->p, '\\', (size_t) (q - s->p)))
        return false;
    *text = s->p;
    *len = (size_t) (q - s->p);
    s->p = q + 1;
    return true;
}

static bool scan_is(const char *text, size_t len, const char *want)
{
    return len == strlen(want) && memcmp(text, want, len) == 0;
}

/* True when the message is exactly this shape and was decoded; false sends it the long way, which finds the words for what is wrong. */
static bool client_stdin_fast(const char *p, size_t len, struct arena *a, struct client_frame *out)
{
    struct scan s = {p, p + len};
    const char *key, *value, *data = NULL;
    size_t key_len, value_len, data_len = 0;
    bool type = false;
    ssize_t n;

    if (!scan_char(&s, '{'))
        return false;
    for (int i = 0; i < 2; i++) {
        if ((i > 0 && !scan_char(&s, ',')) || !scan_string(&s, &key, &key_len) || !scan_char(&s, ':') ||
            !scan_string(&s, &value, &value_len))
            return false;
        if (scan_is(key, key_len, "type") && scan_is(value, value_len, "stdin")) {
            type = true;
        } else if (scan_is(key, key_len, "data")) {
            data = value;
            data_len = value_len;
        } else {
            return false;
        }
    }
    if (!type || !data || !scan_char(&s, '}'))
        return false;
    while (s.p < s.end && (*s.p == ' ' || *s.p == '\t' || *s.p == '\n' || *s.p == '\r'))
        s.p++;
    if (s.p != s.end)
        return false;
    out->data.data = arena_alloc(a, data_len / 4 * 3 + 4);
    n = out->data.data ? base64_decode(data, data_len, false, out->data.data) : -1;
    if (n < 0)
        return false;
    out->type = CLIENT_STDIN;
    out->data.len = (size_t) n;
    return true;
}

int client_frame_decode(const void *p, size_t len, struct arena *a, struct client_frame *out, struct err *e)
{
    cleanup(json_doc_freep) struct json_doc *doc = NULL;
    const struct json *root;
    const char *type;
    int r;

    memset(out, 0, sizeof(*out));
    if (client_stdin_fast(p, len, a, out))
        return 0;
    r = json_parse(&doc, p, len, e);
    if (r < 0)
        return err_wrap(e, -EINVAL, "message");
    root = json_root(doc);
    if (json_type(root) != JSON_OBJECT)
        return err_set(e, -EINVAL, "message: must be an object");
    type = json_str(json_get(root, "type"));
    for (size_t i = 0; type && i < ARRAY_LEN(client_types); i++) {
        if (strcmp(client_types[i].name, type) == 0) {
            out->type = client_types[i].type;
            return client_types[i].decode(root, a, out, e);
        }
    }
    return err_set(e, -EINVAL, "type: must be start, stdin, close_stdin, signal, resize or ping");
}
