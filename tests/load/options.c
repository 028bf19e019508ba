/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/load/options.h"
#include <getopt.h>
#include <libwebsockets.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "common/base/mem.h"
#include "common/base/str.h"

enum { EXIT_USAGE = 2 };

static const char usage[] =
    "bivouac-load ws --mode idle|process|echo --url ws://ADDRESS:PORT/PATH [options]\n"
    "bivouac-load http --url http://ADDRESS:PORT/PATH [options]\n"
    "\n"
    "  --host-header NAME  Host of the request, when it is not the address\n"
    "  --token T | --token-file F   Authorization: Bearer\n"
    "  --conns N           sockets (default 1)      --opening N  of them in their handshake at a time (default 50)\n"
    "  --timeout S         for all of it (default 120)            --insecure  accept any certificate\n"
    " ws idle:    --hold S  once all are open (default 10); a line with \"event\":\"open\" tells when that is\n"
    " ws process: --start JSON  a start frame for each socket; without it the URL names a process to watch\n"
    "             --since C  cursors must be above C             --check-lines  stdout must be 0, 1, 2 ... one a line\n"
    " ws echo:    --start JSON  a command that answers its stdin; --rounds N (default 1000) --bytes B (default 64)\n"
    " http:       --method M (default GET) --bytes B of body --requests N in all (default 1000), a connection each\n"
    "\n"
    "One JSON object on stdout sums up. Ends with 1 when something was wrong with what came.\n";

static int usage_error(const char *what, const char *value)
{
    fprintf(stderr, "bivouac-load: %s%s%s\n\n%s", what, value ? ": " : "", value ? value : "", usage);
    return EXIT_USAGE;
}

static bool parse_mode(const char *text, enum load_mode *out)
{
    if (str_eq(text, "idle"))
        *out = LOAD_WS_IDLE;
    else if (str_eq(text, "process"))
        *out = LOAD_WS_PROCESS;
    else if (str_eq(text, "echo"))
        *out = LOAD_WS_ECHO;
    else
        return false;
    return true;
}

static bool parse_url(struct options *o, const char *url)
{
    const char *path;

    free(o->url_copy);
    o->url_copy = xstrdup(url);
    if (lws_parse_uri(o->url_copy, &o->scheme, &o->address, &o->port, &path) || strlen(path) + 2 > sizeof(o->path))
        return false;
    snprintf(o->path, sizeof(o->path), "/%s", path);
    o->tls = str_eq(o->scheme, "wss") || str_eq(o->scheme, "https");
    return o->tls || str_eq(o->scheme, "ws") || str_eq(o->scheme, "http");
}

static bool read_token(struct options *o, const char *file)
{
    FILE *f = fopen(file, "re");
    size_t n = f ? fread(o->token_text, 1, sizeof(o->token_text) - 1, f) : 0;

    if (f)
        fclose(f);
    o->token_text[n] = '\0';
    o->token_text[strcspn(o->token_text, "\r\n")] = '\0';
    o->token = o->token_text;
    return n > 0;
}

static bool parse_number(const char *text, uint64_t max, uint64_t *out)
{
    return str_to_u64(text, out) == 0 && *out <= max;
}

static bool parse_seconds(const char *text, double *out)
{
    char *end;

    *out = strtod(text, &end);
    return *text && !*end && *out >= 0;
}

static bool parse_option(struct options *o, int letter, const char *value)
{
    uint64_t n = 0;

    switch (letter) {
    case 'm':
        return parse_mode(value, &o->mode);
    case 'u':
        return parse_url(o, value);
    case 'H':
        o->host_header = value;
        return true;
    case 't':
        o->token = value;
        return true;
    case 'T':
        return read_token(o, value);
    case 's':
        o->start = value;
        return true;
    case 'M':
        o->method = value;
        return true;
    case 'l':
        o->check_lines = true;
        return true;
    case 'k':
        o->insecure = true;
        return true;
    case 'h':
        return parse_seconds(value, &o->hold_s);
    case 'w':
        return parse_seconds(value, &o->timeout_s);
    case 'n':
        return parse_number(value, 100000, &n) && (o->conns = (unsigned) n) > 0;
    case 'o':
        return parse_number(value, 10000, &n) && (o->opening_max = (unsigned) n) > 0;
    case 'r':
        return parse_number(value, 100000000, &n) && (o->rounds = (unsigned) n) > 0;
    case 'R':
        return parse_number(value, 100000000, &n) && (o->requests = (unsigned) n) > 0;
    case 'b':
        return parse_number(value, UINT64_C(1) << 40, &n) && ((o->bytes = (size_t) n), true);
    case 'c':
        return parse_number(value, UINT64_MAX, &o->since);
    default:
        return false;
    }
}

int options_parse(struct options *o, int argc, char **argv)
{
    static const struct option longs[] = {
        {"mode", 1, NULL, 'm'},    {"url", 1, NULL, 'u'},        {"host-header", 1, NULL, 'H'}, {"token", 1, NULL, 't'},
        {"token-file", 1, NULL, 'T'}, {"start", 1, NULL, 's'},   {"method", 1, NULL, 'M'},      {"check-lines", 0, NULL, 'l'},
        {"insecure", 0, NULL, 'k'}, {"hold", 1, NULL, 'h'},      {"timeout", 1, NULL, 'w'},     {"conns", 1, NULL, 'n'},
        {"opening", 1, NULL, 'o'}, {"rounds", 1, NULL, 'r'},     {"requests", 1, NULL, 'R'},    {"bytes", 1, NULL, 'b'},
        {"since", 1, NULL, 'c'},   {0},
    };
    int letter, index = 0;

    *o = (struct options){.conns = 1, .opening_max = 50, .hold_s = 10, .timeout_s = 120, .rounds = 1000, .requests = 1000,
                          .method = "GET", .mode = LOAD_WS_PROCESS};
    if (argc < 2 || (!str_eq(argv[1], "ws") && !str_eq(argv[1], "http")))
        return usage_error("ws or http?", NULL);
    optind = 2;
    while ((letter = getopt_long(argc, argv, "", longs, &index)) != -1) {
        if (letter == '?' || !parse_option(o, letter, optarg))
            return usage_error(letter == '?' ? "unknown option" : longs[index].name, optarg);
    }
    if (optind < argc)
        return usage_error("what is this", argv[optind]);
    if (str_eq(argv[1], "http"))
        o->mode = LOAD_HTTP;
    else if (o->mode == LOAD_WS_ECHO && !o->bytes)
        o->bytes = 64;
    if (!o->address)
        return usage_error("--url is missing", NULL);
    if (o->mode == LOAD_WS_ECHO && !o->start)
        return usage_error("echo needs --start", NULL);
    return 0;
}

void options_deinit(struct options *o)
{
    free(o->url_copy);
    mem_wipe(o->token_text, sizeof(o->token_text));
}
