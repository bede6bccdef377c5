/* Symbol versions as in the generic ELF specification, "Symbol versioning" of the Linux Standard Base. */
#include "glibc.h"

#ifdef __linux__

#include <elf.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "path.h"

typedef struct {
    const uint8_t *bytes;
    size_t size;
    const Elf64_Phdr *segments;
    size_t segment_count;
} Elf;

static bool has(const Elf *elf, uint64_t offset, uint64_t length)
{
    return offset <= elf->size && length <= elf->size - offset;
}

static bool elf_open(Elf *elf, const char *path)
{
    struct stat facts;
    int file = open(path, O_RDONLY | O_CLOEXEC);
    *elf = (Elf) {0};
    if (file < 0)
        return false;
    if (fstat(file, &facts) == 0 && facts.st_size > (off_t) sizeof(Elf64_Ehdr)) {
        void *mapped = mmap(NULL, (size_t) facts.st_size, PROT_READ, MAP_PRIVATE, file, 0);
        if (mapped != MAP_FAILED) {
            elf->bytes = mapped;
            elf->size = (size_t) facts.st_size;
        }
    }
    close(file);
    if (!elf->bytes)
        return false;
    const Elf64_Ehdr *header = (const void *) elf->bytes;
    if (memcmp(header->e_ident, ELFMAG, SELFMAG) || header->e_ident[EI_CLASS] != ELFCLASS64
        || header->e_phentsize != sizeof(Elf64_Phdr) || header->e_phoff % 8
        || !has(elf, header->e_phoff, (uint64_t) header->e_phnum * sizeof(Elf64_Phdr)))
        return false;
    elf->segments = (const void *) (elf->bytes + header->e_phoff);
    elf->segment_count = header->e_phnum;
    return true;
}

static void elf_close(Elf *elf)
{
    if (elf->bytes)
        munmap((void *) (uintptr_t) elf->bytes, elf->size);
}

static const Elf64_Phdr *segment(const Elf *elf, uint32_t type)
{
    for (size_t i = 0; i < elf->segment_count; i++)
        if (elf->segments[i].p_type == type && has(elf, elf->segments[i].p_offset, elf->segments[i].p_filesz))
            return &elf->segments[i];
    return NULL;
}

/* The file's bytes at a virtual address, and how many follow. */
static const uint8_t *at_address(const Elf *elf, uint64_t address, uint64_t *left)
{
    for (size_t i = 0; i < elf->segment_count; i++) {
        const Elf64_Phdr *load = &elf->segments[i];
        if (load->p_type == PT_LOAD && address >= load->p_vaddr && address - load->p_vaddr < load->p_filesz
            && has(elf, load->p_offset, load->p_filesz)) {
            *left = load->p_filesz - (address - load->p_vaddr);
            return elf->bytes + load->p_offset + (address - load->p_vaddr);
        }
    }
    return NULL;
}

static const char *string_at(const Elf *elf, uint64_t strings, uint64_t offset)
{
    uint64_t left;
    const char *text = (const char *) at_address(elf, strings + offset, &left);
    return text && memchr(text, '\0', (size_t) left) ? text : NULL;
}

/* Highest NN among the defined symbol versions GLIBC_2.NN; -1 where there is none. */
static int newest_version(const Elf *elf)
{
    uint64_t definitions = 0, count = 0, strings = 0;
    const Elf64_Phdr *dynamic = segment(elf, PT_DYNAMIC);
    if (!dynamic || dynamic->p_offset % 8)
        return -1;
    const Elf64_Dyn *entry = (const void *) (elf->bytes + dynamic->p_offset);
    for (size_t i = 0; i < dynamic->p_filesz / sizeof *entry && entry[i].d_tag != DT_NULL; i++) {
        if (entry[i].d_tag == DT_VERDEF)
            definitions = entry[i].d_un.d_ptr;
        else if (entry[i].d_tag == DT_VERDEFNUM)
            count = entry[i].d_un.d_val;
        else if (entry[i].d_tag == DT_STRTAB)
            strings = entry[i].d_un.d_ptr;
    }
    int newest = -1;
    for (uint64_t address = definitions; count > 0; count--) {
        uint64_t left, names_left;
        Elf64_Verdef definition;
        Elf64_Verdaux name;
        const uint8_t *bytes = at_address(elf, address, &left);
        if (!bytes || left < sizeof definition)
            break;
        memcpy(&definition, bytes, sizeof definition);
        const uint8_t *name_bytes = at_address(elf, address + definition.vd_aux, &names_left);
        if (!name_bytes || names_left < sizeof name)
            break;
        memcpy(&name, name_bytes, sizeof name);
        const char *text = string_at(elf, strings, name.vda_name);
        int minor;
        if (text && sscanf(text, "GLIBC_2.%d", &minor) == 1 && minor > newest)
            newest = minor;
        if (!definition.vd_next)
            break;
        address += definition.vd_next;
    }
    return newest;
}

/* The libc.so.6 beside the dynamic loader that the program asks for. */
static bool find_libc(char path[PATH_SIZE], const char *program)
{
    Elf elf;
    char loader[PATH_SIZE];
    bool found = false;
    if (elf_open(&elf, program)) {
        const Elf64_Phdr *interpreter = segment(&elf, PT_INTERP);
        const char *name = interpreter ? (const char *) elf.bytes + interpreter->p_offset : NULL;
        found = name && memchr(name, '\0', (size_t) interpreter->p_filesz) && system_real_path(name, loader);
    }
    elf_close(&elf);
    if (!found)
        return false;
    path_folder(path, loader);
    return path_join(path, path, "libc.so.6");
}

bool glibc_is_at_least(const char *version, const char *program)
{
    int wanted, newest = -1;
    char path[PATH_SIZE];
    Elf elf;
    if (sscanf(version, "2.%d", &wanted) != 1 || !find_libc(path, program))
        return false;
    if (elf_open(&elf, path))
        newest = newest_version(&elf);
    elf_close(&elf);
    return newest >= wanted;
}

#else

bool glibc_is_at_least(const char *version, const char *program)
{
    (void) version;
    (void) program;
    return true;
}

#endif
