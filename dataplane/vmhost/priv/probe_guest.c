/* SPDX-License-Identifier: Apache-2.0 */
/* probe_guest - see probe_guest.h */
#include "dataplane/vmhost/priv/probe_guest.h"
#include "common/base/buf.h"
#include <elf.h>
#include <string.h>
#include <sys/stat.h>

enum { PROBE_BASE = 0x400000, PROBE_CODE_AT = sizeof(Elf64_Ehdr) + sizeof(Elf64_Phdr) };

/*
 * write(1, text, len); reboot(LINUX_REBOOT_MAGIC1, LINUX_REBOOT_MAGIC2, LINUX_REBOOT_CMD_RESTART); loop
 * The address of the text is relative to rip: it follows the code.
 */
static const unsigned char probe_code[] = {
    0xb8, 0x01, 0x00, 0x00, 0x00,                         /* mov eax, 1 (write) */
    0xbf, 0x01, 0x00, 0x00, 0x00,                         /* mov edi, 1 */
    0x48, 0x8d, 0x35, 0x20, 0x00, 0x00, 0x00,             /* lea rsi, [rip + 32] -> text */
    0xba, sizeof(PROBE_GUEST_TEXT), 0x00, 0x00, 0x00,     /* mov edx, len */
    0x0f, 0x05,                                           /* syscall */
    0xb8, 0xa9, 0x00, 0x00, 0x00,                         /* mov eax, 169 (reboot) */
    0xbf, 0xad, 0xde, 0xe1, 0xfe,                         /* mov edi, 0xfee1dead */
    0xbe, 0x69, 0x19, 0x12, 0x28,                         /* mov esi, 672274793 */
    0xba, 0x67, 0x45, 0x23, 0x01,                         /* mov edx, 0x01234567 (restart) */
    0x0f, 0x05,                                           /* syscall */
    0xeb, 0xfe,                                           /* jmp here */
    0x90,
};

static int probe_elf(struct buf *out)
{
    const size_t size = PROBE_CODE_AT + sizeof(probe_code) + sizeof(PROBE_GUEST_TEXT);
    Elf64_Ehdr head = {
        .e_ident = {ELFMAG0, ELFMAG1, ELFMAG2, ELFMAG3, ELFCLASS64, ELFDATA2LSB, EV_CURRENT},
        .e_type = ET_EXEC,
        .e_machine = EM_X86_64,
        .e_version = EV_CURRENT,
        .e_entry = PROBE_BASE + PROBE_CODE_AT,
        .e_phoff = sizeof(Elf64_Ehdr),
        .e_ehsize = sizeof(Elf64_Ehdr),
        .e_phentsize = sizeof(Elf64_Phdr),
        .e_phnum = 1,
    };
    Elf64_Phdr load = {
        .p_type = PT_LOAD, .p_flags = PF_R | PF_X, .p_vaddr = PROBE_BASE, .p_paddr = PROBE_BASE,
        .p_filesz = size, .p_memsz = size, .p_align = 4096,
    };
    int r = buf_append(out, &head, sizeof(head));

    if (r == 0)
        r = buf_append(out, &load, sizeof(load));
    if (r == 0)
        r = buf_append(out, probe_code, sizeof(probe_code));
    return r < 0 ? r : buf_append(out, PROBE_GUEST_TEXT "\n", sizeof(PROBE_GUEST_TEXT));
}

static int probe_pad(struct buf *out)
{
    static const char zeros[4];

    return buf_append(out, zeros, (4 - out->len % 4) % 4);
}

/* One entry of a "newc" archive. */
static int probe_entry(struct buf *out, const char *name, unsigned mode, unsigned inode, const void *p, size_t len, unsigned rmajor,
                       unsigned rminor)
{
    int r = buf_printf(out, "070701%08X%08X%08X%08X%08X%08X%08zX%08X%08X%08X%08X%08zX%08X", inode, mode, 0, 0, 1, 0, len, 0, 0, rmajor,
                       rminor, strlen(name) + 1, 0);

    if (r == 0)
        r = buf_append(out, name, strlen(name) + 1);
    if (r == 0)
        r = probe_pad(out);
    if (r == 0 && len)
        r = buf_append(out, p, len);
    return r < 0 ? r : probe_pad(out);
}

int probe_guest_build(struct buf *out)
{
    struct buf elf = BUF_INIT(4 * KIB);
    int r = probe_elf(&elf);

    if (r == 0)
        r = probe_entry(out, "dev", S_IFDIR | 0755, 1, NULL, 0, 0, 0);
    if (r == 0)
        r = probe_entry(out, "dev/console", S_IFCHR | 0600, 2, NULL, 0, 5, 1);
    if (r == 0)
        r = probe_entry(out, "init", S_IFREG | 0755, 3, buf_data(&elf), elf.len, 0, 0);
    if (r == 0)
        r = probe_entry(out, "TRAILER!!!", 0, 0, NULL, 0, 0, 0);
    buf_deinit(&elf);
    return r;
}
