/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* template_internal - shared by template.c (images) and store_scan.c (what the store has). */
#include "dataplane/vmhost/template/template.h"

struct store_scan;
struct timer;

struct templates {
    struct host *host;
    struct list all;            /* struct template */
    struct template *building;  /* one at a time; a reference */
    struct timer *timer;        /* owned */
    struct store_scan *scan_job; /* owned */
    unsigned scan;
    bool started, scanned, warned;
    bool cleaned;               /* the store holds nothing but what is needed */
};

struct template *template_new(struct templates *ts);
void template_free(struct template *t); /* no references */
