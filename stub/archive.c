/* Recognition, the same as in bundler/formats/container.py:
 *
 *   local headers and data, offsets counted from byte 0
 *   central directory
 *   [ZIP64 end record, 56 bytes] [ZIP64 locator, 20 bytes]
 *   end record, 22 bytes, whose comment is "bundle-trailer 1 manifest=<64 hex> outside=<64 hex>"
 *   [a code signature]
 *
 * 1. The last end record with such a comment wins; at most MAX_SIGNATURE bytes follow it.
 * 2. Every length and offset is checked against the file before it is used.
 */
#include "archive.h"

#include <stdlib.h>
#include <string.h>

enum {
    END_SIZE = 22,
    END64_SIZE = 56,
    LOCATOR64_SIZE = 20,
    CENTRAL_SIZE = 46,
    LOCAL_SIZE = 30,
    TRAILER_LENGTH = 17 + 9 + DIGEST_LENGTH + 9 + DIGEST_LENGTH,
    RECORD_SIZE = END_SIZE + TRAILER_LENGTH,
    FIRST_WINDOW = 1 << 16,
    WINDOW = 1 << 20,
    MAX_SIGNATURE = 64 << 20,
    MAX_DIRECTORY = 64 << 20,
};

typedef struct {
    uint64_t offset, size, count;
} Directory;

typedef struct {
    const uint8_t *name;
    uint16_t name_length, method;
    uint64_t packed, size, header;
} Member;

static uint64_t number(const uint8_t *bytes, int size)
{
    uint64_t value = 0;
    for (int i = size - 1; i >= 0; i--)
        value = value << 8 | bytes[i];
    return value;
}

static bool has_magic(const uint8_t *bytes, const char magic[2])
{
    return bytes[0] == 'P' && bytes[1] == 'K' && bytes[2] == (uint8_t) magic[0] && bytes[3] == (uint8_t) magic[1];
}

static bool is_digest(const uint8_t *text)
{
    for (int i = 0; i < DIGEST_LENGTH; i++)
        if (!(text[i] >= '0' && text[i] <= '9') && !(text[i] >= 'a' && text[i] <= 'f'))
            return false;
    return true;
}

static bool is_end_record(const uint8_t *at)
{
    const uint8_t *trailer = at + END_SIZE;
    return has_magic(at, "\5\6") && number(at + 20, 2) == TRAILER_LENGTH && !memcmp(trailer, "bundle-trailer 1 manifest=", 26)
        && is_digest(trailer + 26) && !memcmp(trailer + 90, " outside=", 9) && is_digest(trailer + 99);
}

/* Offset of the end record, searched backwards from the end of the file. */
static ArchiveResult find_end(File file, uint64_t size, uint64_t *end, Reason *why)
{
    uint8_t *window = malloc(WINDOW + RECORD_SIZE);
    ArchiveResult result = ARCHIVE_MISSING;
    uint64_t lowest = size > MAX_SIGNATURE ? size - MAX_SIGNATURE : 0;
    uint64_t step = FIRST_WINDOW;
    for (uint64_t upper = size; window && upper > lowest && result == ARCHIVE_MISSING; step = WINDOW) {
        uint64_t lower = upper - lowest > step ? upper - step : lowest;
        size_t length = (size_t) ((size - upper < RECORD_SIZE ? size : upper + RECORD_SIZE) - lower);
        if (!system_read_at(file, lower, window, length)) {
            fails(why, "%s", system_reason());
            result = ARCHIVE_DAMAGED;
        }
        for (size_t at = length >= RECORD_SIZE ? length - RECORD_SIZE + 1 : 0; at-- > 0 && result == ARCHIVE_MISSING; )
            if (is_end_record(window + at)) {
                *end = lower + at;
                result = BASE_FOUND;
            }
        upper = lower;
    }
    free(window);
    return result;
}

static bool read_end(File file, uint64_t end, Directory *directory, Reason *why)
{
    uint8_t record[END_SIZE], locator[LOCATOR64_SIZE], wide[END64_SIZE];
    uint64_t limit = end;
    if (!system_read_at(file, end, record, sizeof record))
        return fails(why, "%s", system_reason());
    directory->count = number(record + 10, 2);
    directory->size = number(record + 12, 4);
    directory->offset = number(record + 16, 4);
    if (directory->count == 0xFFFF || directory->size == 0xFFFFFFFF || directory->offset == 0xFFFFFFFF) {
        if (end < LOCATOR64_SIZE + END64_SIZE)
            return fails(why, "its ZIP64 end record is missing");
        limit = end - LOCATOR64_SIZE - END64_SIZE;
        if (!system_read_at(file, end - LOCATOR64_SIZE, locator, sizeof locator)
            || !system_read_at(file, limit, wide, sizeof wide))
            return fails(why, "%s", system_reason());
        if (!has_magic(locator, "\6\7") || number(locator + 8, 8) != limit || !has_magic(wide, "\6\6"))
            return fails(why, "its ZIP64 end record is not where it belongs");
        directory->count = number(wide + 32, 8);
        directory->size = number(wide + 40, 8);
        directory->offset = number(wide + 48, 8);
    }
    if (directory->size > MAX_DIRECTORY || directory->offset > limit || directory->size > limit - directory->offset)
        return fails(why, "its directory lies outside the file");
    return true;
}

/* Replaces the fields that are all ones by those of the ZIP64 extra field. */
static bool read_wide_fields(Member *member, const uint8_t *extra, size_t length)
{
    uint64_t *fields[] = {&member->size, &member->packed, &member->header};
    size_t missing = 0;
    for (int i = 0; i < 3; i++)
        missing += *fields[i] == 0xFFFFFFFF;
    if (!missing)
        return true;
    while (length >= 4) {
        size_t size = (size_t) number(extra + 2, 2);
        if (size > length - 4)
            return false;
        if (number(extra, 2) == 1 && size >= 8 * missing) {
            const uint8_t *value = extra + 4;
            for (int i = 0; i < 3; i++)
                if (*fields[i] == 0xFFFFFFFF) {
                    *fields[i] = number(value, 8);
                    value += 8;
                }
            return true;
        }
        extra += 4 + size;
        length -= 4 + size;
    }
    return false;
}

/* Reads one entry of the directory; returns its length in bytes, or 0 where it is broken. */
static size_t read_member(const uint8_t *at, size_t left, Member *member)
{
    if (left < CENTRAL_SIZE || !has_magic(at, "\1\2"))
        return 0;
    size_t extra_length = (size_t) number(at + 30, 2);
    size_t length = CENTRAL_SIZE + (size_t) number(at + 28, 2) + extra_length + (size_t) number(at + 32, 2);
    if (length > left)
        return 0;
    member->method = (uint16_t) number(at + 10, 2);
    member->packed = number(at + 20, 4);
    member->size = number(at + 24, 4);
    member->name_length = (uint16_t) number(at + 28, 2);
    member->header = number(at + 42, 4);
    member->name = at + CENTRAL_SIZE;
    return read_wide_fields(member, member->name + member->name_length, extra_length) ? length : 0;
}

static bool is_target(const uint8_t *text, size_t length)
{
    for (size_t i = 0; i < length; i++)
        if (!(text[i] >= 'a' && text[i] <= 'z') && !(text[i] >= '0' && text[i] <= '9') && text[i] != '-' && text[i] != '_')
            return false;
    return true;
}

/* Splits `runtime/<target>/base-<digest>.tar.zst`; NULL where the name is another. */
static const uint8_t *target_in(const Member *member, size_t *length, const uint8_t **digest)
{
    static const char head[] = "runtime/", middle[] = "/base-", tail[] = ".tar.zst";
    size_t around = sizeof head - 1 + sizeof middle - 1 + DIGEST_LENGTH + sizeof tail - 1;
    if (member->name_length <= around)
        return NULL;
    *length = member->name_length - around;
    const uint8_t *target = member->name + sizeof head - 1;
    *digest = target + *length + sizeof middle - 1;
    bool named = !memcmp(member->name, head, sizeof head - 1) && !memcmp(target + *length, middle, sizeof middle - 1)
        && is_digest(*digest) && !memcmp(*digest + DIGEST_LENGTH, tail, sizeof tail - 1) && is_target(target, *length);
    return named ? target : NULL;
}

/* Finds the part's first byte through its local header. */
static bool locate(File file, const Member *member, uint64_t limit, BasePart *part, Reason *why)
{
    uint8_t header[LOCAL_SIZE];
    if (member->method != 0 || member->packed != member->size)
        return fails(why, "its runtime is compressed twice");
    if (member->header > limit || limit - member->header < LOCAL_SIZE)
        return fails(why, "its runtime lies outside the file");
    if (!system_read_at(file, member->header, header, sizeof header))
        return fails(why, "%s", system_reason());
    if (!has_magic(header, "\3\4"))
        return fails(why, "the header of its runtime is broken");
    part->offset = member->header + LOCAL_SIZE + number(header + 26, 2) + number(header + 28, 2);
    part->size = member->size;
    if (part->offset > limit || part->size > limit - part->offset)
        return fails(why, "its runtime lies outside the file");
    return true;
}

static ArchiveResult search(File file, const uint8_t *bytes, const Directory *directory, const char *target, BasePart *part,
                            Reason *others, Reason *why)
{
    size_t position = 0, size = (size_t) directory->size;
    for (uint64_t i = 0; i < directory->count; i++) {
        Member member;
        size_t length = read_member(bytes + position, size - position, &member), name_length;
        if (!length) {
            fails(why, "its directory is broken at byte %llu", (unsigned long long) (directory->offset + position));
            return ARCHIVE_DAMAGED;
        }
        const uint8_t *digest, *name = target_in(&member, &name_length, &digest);
        if (name && name_length == strlen(target) && !memcmp(name, target, name_length)) {
            memcpy(part->digest, digest, DIGEST_LENGTH);
            part->digest[DIGEST_LENGTH] = '\0';
            return locate(file, &member, directory->offset, part, why) ? BASE_FOUND : ARCHIVE_DAMAGED;
        }
        if (name)
            add(others, "%s%.*s", others->text[0] ? ", " : "", (int) name_length, (const char *) name);
        position += length;
    }
    if (others->text[0])
        return BASE_FOR_OTHERS;
    fails(why, "it holds no runtime");
    return ARCHIVE_DAMAGED;
}

ArchiveResult archive_find_base(File file, const char *target, BasePart *part, Reason *others, Reason *why)
{
    uint64_t size, end = 0;
    Directory directory;
    others->text[0] = '\0';
    if (!system_size(file, &size)) {
        fails(why, "%s", system_reason());
        return ARCHIVE_DAMAGED;
    }
    ArchiveResult result = find_end(file, size, &end, why);
    if (result != BASE_FOUND)
        return result;
    if (!read_end(file, end, &directory, why))
        return ARCHIVE_DAMAGED;
    uint8_t *bytes = malloc((size_t) directory.size + 1);
    if (!bytes || !system_read_at(file, directory.offset, bytes, (size_t) directory.size)) {
        fails(why, "its directory cannot be read: %s", system_reason());
        result = ARCHIVE_DAMAGED;
    } else {
        result = search(file, bytes, &directory, target, part, others, why);
    }
    free(bytes);
    return result;
}
