/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>
#include "control/db/stmt.h"
#include "control/db/tx.h"
#include "control/db/tx_internal.h"

static const struct db_stmt two = {"two", "SELECT $1, $2", 2};
static const struct db_stmt one = {"one", "SELECT $1", 1};

static void parameters(void **state)
{
    struct db_tx *tx = tx_new();
    char text[] = "abc";

    (void)state;
    tx_add(tx, &two);
    tx_text(tx, text);
    text[0] = 'X'; /* copied */
    tx_i64(tx, INT64_MIN);
    tx_add(tx, &two);
    tx_bool(tx, true);
    tx_null(tx);
    tx_add(tx, &one);
    tx_bytes(tx, "a\0b", 3);
    assert_int_equal(tx->stmts_count, 3);
    assert_int_equal(tx->stmts[1].first_param, 2);
    assert_string_equal(tx->values[0], "abc");
    assert_string_equal(tx->values[1], "-9223372036854775808");
    assert_string_equal(tx->values[2], "t");
    assert_null(tx->values[3]);
    assert_memory_equal(tx->values[4], "a\0b", 3);
    assert_int_equal(tx->lengths[4], 3);
    assert_int_equal(tx->formats[4], 1);
    assert_int_equal(tx->formats[0], 0);
    tx_free(tx);
}

static void arrays(void **state)
{
    struct db_tx *tx = tx_new();
    const int64_t numbers[] = {1, -2, INT64_MAX};
    const char *const texts[] = {"a", "b\"c", "d\\e", "{f,g}", ""};

    (void)state;
    tx_add(tx, &two);
    tx_i64s(tx, numbers, 3);
    tx_i64s(tx, NULL, 0);
    tx_add(tx, &two);
    tx_texts(tx, texts, 5);
    tx_texts(tx, NULL, 0);
    assert_string_equal(tx->values[0], "{1,-2,9223372036854775807}");
    assert_string_equal(tx->values[1], "{}");
    assert_string_equal(tx->values[2], "{\"a\",\"b\\\"c\",\"d\\\\e\",\"{f,g}\",\"\"}");
    assert_string_equal(tx->values[3], "{}");
    tx_free(tx);
}

static void actor_goes_first_and_does_not_count(void **state)
{
    struct db_tx *tx = tx_new();

    (void)state;
    tx_actor(tx, "key:abc", NULL);
    tx_add(tx, &one);
    tx_i64(tx, 1);
    assert_true(tx->has_actor);
    assert_int_equal(tx->stmts_count, 2);
    assert_string_equal(tx->values[0], "key:abc");
    assert_string_equal(tx->values[1], "");
    assert_string_equal(tx_sqlstate(tx), "");
    tx_free(tx);
    tx_free(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(parameters),
        cmocka_unit_test(arrays),
        cmocka_unit_test(actor_goes_first_and_does_not_count),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
