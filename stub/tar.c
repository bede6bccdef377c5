#include "tar.h"

#include <stdio.h>
#include <string.h>

#include "path.h"

/* POSIX.1-1988 ustar header. */
typedef struct {
    char name[100], mode[8], uid[8], gid[8], size[12], mtime[12], checksum[8], type, link[100], magic[6], version[2],
        uname[32], gname[32], major[8], minor[8], prefix[155], rest[12];
} Header;

_Static_assert(sizeof(Header) == TAR_BLOCK, "a tar header fills one block");

static bool octal(const char *field, size_t length, uint64_t *value)
{
    size_t at = 0;
    *value = 0;
    while (at < length && field[at] == ' ')
        at++;
    for (; at < length && field[at] >= '0' && field[at] <= '7'; at++)
        *value = *value * 8 + (uint64_t) (field[at] - '0');
    return at == length || field[at] == ' ' || field[at] == '\0';
}

static bool has_right_checksum(const Header *header)
{
    const uint8_t *bytes = (const uint8_t *) header;
    size_t first = offsetof(Header, checksum), last = first + sizeof header->checksum;
    uint64_t sum = 0, expected;
    for (size_t i = 0; i < TAR_BLOCK; i++)
        sum += i >= first && i < last ? ' ' : bytes[i];
    return octal(header->checksum, sizeof header->checksum, &expected) && sum == expected;
}

static bool is_zero(const uint8_t *block)
{
    for (size_t i = 0; i < TAR_BLOCK; i++)
        if (block[i])
            return false;
    return true;
}

static bool read_header(TarReader *tar, Reason *why)
{
    const Header *header = (const Header *) (const void *) tar->block;
    char name[sizeof header->prefix + 1 + sizeof header->name + 1], target[sizeof header->link + 1];
    TarEntry entry = {.name = name, .target = target};
    uint64_t mode, size;
    if (!has_right_checksum(header) || memcmp(header->magic, "ustar", 6)
        || !octal(header->mode, sizeof header->mode, &mode) || !octal(header->size, sizeof header->size, &size))
        return fails(why, "an entry of its runtime is broken");
    snprintf(name, sizeof name, "%.*s%s%.*s", (int) sizeof header->prefix, header->prefix, header->prefix[0] ? "/" : "",
             (int) sizeof header->name, header->name);
    snprintf(target, sizeof target, "%.*s", (int) sizeof header->link, header->link);
    size_t length = strlen(name);
    if (header->type == '5' && length > 0 && name[length - 1] == '/')
        name[length - 1] = '\0';
    if (!path_is_inside(name))
        return fails(why, "an entry of its runtime would be written to %s", name);
    entry.mode = (unsigned) mode & 0777;
    switch (header->type) {
    case '0':
    case '\0':
        entry.kind = TAR_FILE;
        entry.size = size;
        break;
    case '5':
        entry.kind = TAR_FOLDER;
        break;
    case '2':
        entry.kind = TAR_LINK;
        if (!path_link_is_inside(name, target))
            return fails(why, "the link %s of its runtime leads to %s", name, target);
        break;
    default:
        return fails(why, "%s in its runtime is of the unknown kind '%c'", name, header->type);
    }
    tar->content = entry.size;
    tar->padding = (size_t) (-entry.size % TAR_BLOCK);
    if (!tar->sink.entry(tar->sink.context, &entry, why))
        return false;
    return entry.kind != TAR_FILE || tar->content > 0 || tar->sink.close(tar->sink.context, why);
}

void tar_start(TarReader *tar, TarSink sink)
{
    *tar = (TarReader) {.sink = sink};
}

bool tar_push(TarReader *tar, const uint8_t *bytes, size_t length, Reason *why)
{
    while (length > 0 && !tar->ended) {
        size_t taken;
        if (tar->content > 0) {
            taken = tar->content < length ? (size_t) tar->content : length;
            if (!tar->sink.bytes(tar->sink.context, bytes, taken, why))
                return false;
            tar->content -= taken;
            if (tar->content == 0 && !tar->sink.close(tar->sink.context, why))
                return false;
        } else if (tar->padding > 0) {
            taken = tar->padding < length ? tar->padding : length;
            tar->padding -= taken;
        } else {
            taken = TAR_BLOCK - tar->filled < length ? TAR_BLOCK - tar->filled : length;
            memcpy(tar->block + tar->filled, bytes, taken);
            tar->filled = (tar->filled + taken) % TAR_BLOCK;
            if (tar->filled == 0) {
                tar->ended = is_zero(tar->block);
                if (!tar->ended && !read_header(tar, why))
                    return false;
            }
        }
        bytes += taken;
        length -= taken;
    }
    return true;
}

bool tar_finish(const TarReader *tar, Reason *why)
{
    return tar->ended || fails(why, "its runtime ends too early");
}
