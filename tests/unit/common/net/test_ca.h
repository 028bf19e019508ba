/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* test_ca - a certificate authority in a folder of its own under /tmp, made new by each test. Fails the process when it cannot. */
#include <stdbool.h>

struct test_ca;

struct test_cert {
    const char *name;     /* <dir>/<name>.pem and <dir>/<name>.key */
    const char *cn;       /* NULL: none */
    const char *second_cn;
    const char *san;      /* "DNS:localhost,IP:127.0.0.1" or NULL */
    bool expired;
};

struct test_ca *test_ca_new(void); /* writes <dir>/ca.pem */
void test_ca_issue(struct test_ca *ca, const struct test_cert *cert);
/* <dir>/<file>; valid until the next call but seven. */
const char *test_ca_path(const struct test_ca *ca, const char *file);
void test_ca_free(struct test_ca *ca); /* and its folder */
