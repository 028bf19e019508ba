/* SPDX-License-Identifier: Apache-2.0 */
/* qcow2 - see qcow2.h. Layout of an overlay: header | refcount table | refcount block | L1 table, one cluster each, all else a hole. */
#include "dataplane/vmhost/image/qcow2.h"
#include "common/base/err.h"
#include <endian.h>
#include <errno.h>
#include <string.h>
#include <unistd.h>

enum {
    CLUSTER_BITS = 16,
    CLUSTER = 1 << CLUSTER_BITS,
    REFCOUNT_TABLE_AT = CLUSTER,
    REFCOUNT_BLOCK_AT = 2 * CLUSTER,
    L1_AT = 3 * CLUSTER,
    FILE_BYTES = 4 * CLUSTER,
    L1_ENTRIES_MAX = CLUSTER / 8,
};
#define QCOW2_MAGIC 0x514649fbu
#define QCOW2_EXT_BACKING_FORMAT 0xe2792acau
#define BYTES_PER_L1_ENTRY ((uint64_t) CLUSTER * (CLUSTER / 8))

struct qcow2_header {
    uint32_t magic, version;
    uint64_t backing_offset;
    uint32_t backing_size, cluster_bits;
    uint64_t size;
    uint32_t crypt_method, l1_size;
    uint64_t l1_offset, refcount_table_offset;
    uint32_t refcount_table_clusters, snapshots;
    uint64_t snapshots_offset, incompatible, compatible, autoclear;
    uint32_t refcount_order, header_length;
} __attribute__((packed));

struct qcow2_extension {
    uint32_t type, length;
    char data[8];
} __attribute__((packed));

_Static_assert(sizeof(struct qcow2_header) == 104, "layout of the format");

int qcow2_read_size(int fd, uint64_t *virtual_bytes, struct err *e)
{
    struct qcow2_header h;
    ssize_t n = pread(fd, &h, sizeof(h), 0);
    uint64_t size;

    if (n < 0)
        return err_errno(e, "read the image header");
    if (n != (ssize_t) sizeof(h) || be32toh(h.magic) != QCOW2_MAGIC || be32toh(h.version) < 2)
        return err_set(e, -EINVAL, "not a qcow2 image");
    size = be64toh(h.size);
    if (size == 0 || size > L1_ENTRIES_MAX * BYTES_PER_L1_ENTRY || size % 512)
        return err_set(e, -EINVAL, "image of %llu bytes: must be 1..%llu, in whole sectors", (unsigned long long) size,
                       (unsigned long long) (L1_ENTRIES_MAX * BYTES_PER_L1_ENTRY));
    *virtual_bytes = size;
    return 0;
}

static int qcow2_put(int fd, const void *p, size_t len, off_t at, struct err *e)
{
    ssize_t n = pwrite(fd, p, len, at);

    if (n < 0)
        return err_errno(e, "write the overlay");
    return (size_t) n == len ? 0 : err_set(e, -ENOSPC, "write the overlay: no space");
}

static int qcow2_put_header(int fd, uint64_t virtual_bytes, const char *backing, struct err *e)
{
    const struct qcow2_extension format = {htobe32(QCOW2_EXT_BACKING_FORMAT), htobe32(5), "qcow2"}, end = {0};
    const uint32_t name_at = sizeof(struct qcow2_header) + sizeof(format) + 8;
    const struct qcow2_header h = {
        .magic = htobe32(QCOW2_MAGIC),
        .version = htobe32(3),
        .backing_offset = htobe64(name_at),
        .backing_size = htobe32((uint32_t) strlen(backing)),
        .cluster_bits = htobe32(CLUSTER_BITS),
        .size = htobe64(virtual_bytes),
        .l1_size = htobe32((uint32_t) ((virtual_bytes + BYTES_PER_L1_ENTRY - 1) / BYTES_PER_L1_ENTRY)),
        .l1_offset = htobe64(L1_AT),
        .refcount_table_offset = htobe64(REFCOUNT_TABLE_AT),
        .refcount_table_clusters = htobe32(1),
        .refcount_order = htobe32(4),
        .header_length = htobe32(sizeof(struct qcow2_header)),
    };
    char text[sizeof(h) + sizeof(format) + 8 + QCOW2_NAME_MAX];

    memcpy(text, &h, sizeof(h));
    memcpy(text + sizeof(h), &format, sizeof(format));
    memcpy(text + sizeof(h) + sizeof(format), &end, 8);
    memcpy(text + name_at, backing, strlen(backing));
    return qcow2_put(fd, text, name_at + strlen(backing), 0, e);
}

int qcow2_write_overlay(int fd, uint64_t virtual_bytes, const char *backing, struct err *e)
{
    const uint64_t block = htobe64(REFCOUNT_BLOCK_AT);
    const uint16_t counts[4] = {htobe16(1), htobe16(1), htobe16(1), htobe16(1)};

    if (strlen(backing) > QCOW2_NAME_MAX)
        return err_set(e, -ENAMETOOLONG, "name of the backing file is too long");
    if (virtual_bytes == 0 || virtual_bytes > L1_ENTRIES_MAX * BYTES_PER_L1_ENTRY)
        return err_set(e, -EINVAL, "overlay of %llu bytes", (unsigned long long) virtual_bytes);
    if (ftruncate(fd, FILE_BYTES) < 0)
        return err_errno(e, "set the size of the overlay");
    if (qcow2_put(fd, &block, sizeof(block), REFCOUNT_TABLE_AT, e) < 0 || qcow2_put(fd, counts, sizeof(counts), REFCOUNT_BLOCK_AT, e) < 0)
        return e ? e->code : -EIO;
    return qcow2_put_header(fd, virtual_bytes, backing, e);
}
