/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * box - secrets at rest (environment values, stored answers): AES-256-GCM under a key whose id
 * stands in the box, so that keys can be rotated. The key file has a line a key, "<id> <64 hex
 * digits>" (or the digits alone: id "0"); the first one seals, all open.
 *
 *     box = u8 1 | u8 length of the id | id | nonce | ciphertext | tag        (the part before the
 * nonce is authenticated)
 */
#include <stddef.h>
#include "common/base/attr.h"

struct boxes;
struct buf;
struct err;
struct secret;

int boxes_load(struct boxes **out, const char *path, struct err *e) must_check;
int boxes_parse(struct boxes **out, const char *text, struct err *e) must_check;
void boxes_free(struct boxes *b); /* wipes; NULL is fine */

/* `bound`: what the box belongs to; the same text is needed to open it. Appends to out. */
int boxes_seal(const struct boxes *b, const char *bound, const void *plain, size_t len,
               struct buf *out) must_check;
/* -EBADMSG: damaged or bound to something else; -ENOKEY: sealed with a key that is not in the file
 * any more. */
int boxes_open(const struct boxes *b, const char *bound, const void *box, size_t len,
               struct buf *out) must_check;
