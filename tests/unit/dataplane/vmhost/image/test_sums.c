/* SPDX-License-Identifier: Apache-2.0 */
/* test_sums - checksums of a snapshot: holes, damage of each file, incomplete states; and the two sums beneath. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include "common/base/buf.h"
#include "common/base/err.h"
#include "dataplane/vmhost/image/crc32c.h"
#include "dataplane/vmhost/image/sha256.h"
#include "dataplane/vmhost/image/sums.h"

enum { MEMORY = 7 * MIB, STATE = 5000, DISK = 3 * MIB + 17 };

struct fixture {
    struct sums_fds fds;
    struct err e;
};

static int temp_file(void)
{
    char path[] = "/tmp/test_sums.XXXXXX";
    int fd = mkostemp(path, O_CLOEXEC);

    assert_true(fd >= 0);
    unlink(path);
    return fd;
}

static void fill(int fd, off_t at, size_t len, uint8_t seed)
{
    uint8_t *p = malloc(len);

    for (size_t i = 0; i < len; i++)
        p[i] = (uint8_t) (seed + i * 7 + i / 251);
    assert_int_equal(pwrite(fd, p, len, at), len);
    free(p);
}

static int setup(void **state)
{
    static struct fixture f;
    const uint8_t begin[] = {0x51, 0x45, 0x56, 0x4d, 0, 0, 0, 3}, end = 0;

    memset(&f, 0, sizeof(f));
    f.fds = (struct sums_fds){temp_file(), temp_file(), temp_file()};
    assert_int_equal(ftruncate(f.fds.memory, MEMORY), 0);
    fill(f.fds.memory, 0, 4096, 1);
    fill(f.fds.memory, 3 * MIB, 100000, 2);
    fill(f.fds.state, 0, STATE, 3);
    assert_int_equal(pwrite(f.fds.state, begin, 8, 0), 8);
    assert_int_equal(pwrite(f.fds.state, &end, 1, STATE - 1), 1);
    fill(f.fds.disk, 0, DISK, 4);
    *state = &f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;

    close(f->fds.memory);
    close(f->fds.state);
    close(f->fds.disk);
    return 0;
}

static void test_make_and_verify(void **state)
{
    struct fixture *f = *state;
    struct buf table = BUF_INIT(SUMS_BYTES_MAX);
    uint64_t used;

    assert_int_equal(sums_make(&f->fds, false, &table, &used, &f->e), 0);
    assert_int_equal(used, 4096 + (100000 + 4095) / 4096 * 4096);
    assert_int_equal(sums_verify(&f->fds, buf_data(&table), table.len, &f->e), 0);
    buf_deinit(&table);
}

/* Zero pages that were written become holes, and nothing that can be read changes. */
static void test_punch(void **state)
{
    struct fixture *f = *state;
    struct buf before = BUF_INIT(SUMS_BYTES_MAX), after = BUF_INIT(SUMS_BYTES_MAX);
    static const uint8_t zeros[2 * MIB];
    struct stat a, b;

    assert_int_equal(pwrite(f->fds.memory, zeros, sizeof(zeros), 4 * MIB), sizeof(zeros));
    assert_int_equal(pwrite(f->fds.memory, zeros, 8192, 4096), 8192);
    assert_int_equal(fsync(f->fds.memory), 0);
    assert_int_equal(fstat(f->fds.memory, &a), 0);
    assert_int_equal(sums_make(&f->fds, false, &before, NULL, &f->e), 0);
    assert_int_equal(sums_make(&f->fds, true, &after, NULL, &f->e), 0);
    assert_int_equal(fstat(f->fds.memory, &b), 0);
    assert_int_equal(a.st_size, b.st_size);
    assert_true(b.st_blocks < a.st_blocks);
    assert_int_equal(before.len, after.len);
    assert_memory_equal(buf_data(&before), buf_data(&after), after.len);
    assert_int_equal(sums_verify(&f->fds, buf_data(&before), before.len, &f->e), 0);
    buf_deinit(&before);
    buf_deinit(&after);
}

static void flip(int fd, off_t at)
{
    uint8_t byte;

    assert_int_equal(pread(fd, &byte, 1, at), 1);
    byte ^= 1;
    assert_int_equal(pwrite(fd, &byte, 1, at), 1);
}

static void test_damage_is_found(void **state)
{
    struct fixture *f = *state;
    struct buf table = BUF_INIT(SUMS_BYTES_MAX);
    const struct {
        int fd;
        off_t at;
    } places[] = {{f->fds.memory, 0},          {f->fds.memory, 5 * MIB}, {f->fds.memory, MEMORY - 1}, {f->fds.state, 20},
                  {f->fds.state, STATE - 1}, {f->fds.disk, 0},         {f->fds.disk, DISK - 1}};

    assert_int_equal(sums_make(&f->fds, false, &table, NULL, &f->e), 0);
    for (size_t i = 0; i < ARRAY_LEN(places); i++) {
        flip(places[i].fd, places[i].at);
        assert_int_equal(sums_verify(&f->fds, buf_data(&table), table.len, &f->e), -EBADMSG);
        flip(places[i].fd, places[i].at);
    }
    assert_int_equal(ftruncate(f->fds.memory, MEMORY - 4096), 0);
    assert_int_equal(sums_verify(&f->fds, buf_data(&table), table.len, &f->e), -EBADMSG);
    assert_int_equal(ftruncate(f->fds.memory, MEMORY), 0);
    assert_int_equal(sums_verify(&f->fds, buf_data(&table), table.len, &f->e), 0);
    buf_deinit(&table);
}

static void test_a_damaged_table(void **state)
{
    struct fixture *f = *state;
    struct buf table = BUF_INIT(SUMS_BYTES_MAX);

    assert_int_equal(sums_make(&f->fds, false, &table, NULL, &f->e), 0);
    for (size_t len = 0; len < table.len; len++)
        assert_int_equal(sums_verify(&f->fds, buf_data(&table), len, &f->e), -EBADMSG);
    for (size_t i = 0; i < table.len; i++) {
        buf_data(&table)[i] ^= 0x80;
        assert_int_equal(sums_verify(&f->fds, buf_data(&table), table.len, &f->e), -EBADMSG);
        buf_data(&table)[i] ^= 0x80;
    }
    buf_deinit(&table);
}

static void test_hz13_an_incomplete_state_is_refused(void **state)
{
    struct fixture *f = *state;
    struct buf table = BUF_INIT(SUMS_BYTES_MAX);

    assert_int_equal(ftruncate(f->fds.state, STATE - 1), 0); /* the end mark is gone */
    assert_int_equal(sums_make(&f->fds, false, &table, NULL, &f->e), -EBADMSG);
    assert_int_equal(ftruncate(f->fds.state, 100), 0);
    assert_int_equal(sums_make(&f->fds, false, &table, NULL, &f->e), -EBADMSG);
    assert_int_equal(ftruncate(f->fds.state, 0), 0);
    assert_true(sums_make(&f->fds, false, &table, NULL, &f->e) < 0);
    buf_deinit(&table);
}

static void test_sha256(void **state)
{
    const struct {
        const char *text, *hex;
    } rows[] = {
        {"", "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"},
        {"abc", "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"},
        {"abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq", "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1"},
    };
    char hex[65];

    (void) state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        for (size_t part = 1; part < 70; part++) {
            struct sha256 s;
            size_t len = strlen(rows[i].text);

            sha256_init(&s);
            for (size_t at = 0; at < len; at += part)
                sha256_update(&s, rows[i].text + at, len - at < part ? len - at : part);
            sha256_final_hex(&s, hex);
            assert_string_equal(hex, rows[i].hex);
        }
    }
}

static void test_crc32c(void **state)
{
    uint8_t data[100];

    (void) state;
    assert_int_equal(crc32c(0, "123456789", 9), 0xe3069283);
    memset(data, 0, 32);
    assert_int_equal(crc32c(0, data, 32), 0x8a9136aa);
    for (size_t i = 0; i < sizeof(data); i++)
        data[i] = (uint8_t) i;
    for (size_t cut = 0; cut <= sizeof(data); cut++)
        assert_int_equal(crc32c(crc32c(0, data, cut), data + cut, sizeof(data) - cut), crc32c(0, data, sizeof(data)));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_make_and_verify, setup, teardown),
        cmocka_unit_test_setup_teardown(test_punch, setup, teardown),
        cmocka_unit_test_setup_teardown(test_damage_is_found, setup, teardown),
        cmocka_unit_test_setup_teardown(test_a_damaged_table, setup, teardown),
        cmocka_unit_test_setup_teardown(test_hz13_an_incomplete_state_is_refused, setup, teardown),
        cmocka_unit_test(test_sha256),
        cmocka_unit_test(test_crc32c),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
