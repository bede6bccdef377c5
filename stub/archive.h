/* The archive at the end of the launcher's own file, as far as the launcher needs it: where the base part lies. */
#ifndef ARCHIVE_H
#define ARCHIVE_H

#include "system.h"

enum { DIGEST_LENGTH = 64 };

typedef struct {
    uint64_t offset; /* first byte of the part in the file */
    uint64_t size;
    char digest[DIGEST_LENGTH + 1]; /* SHA-256 in hexadecimal, as the member's name carries it */
} BasePart;

typedef enum {
    BASE_FOUND,
    BASE_FOR_OTHERS, /* the archive holds base parts, none for this target */
    ARCHIVE_MISSING, /* no archive ends in this file */
    ARCHIVE_DAMAGED,
} ArchiveResult;

/* Finds `runtime/<target>/base-<digest>.tar.zst`. `others` receives the targets that are there, separated by ", ". Reads the
 * end of the file, the central directory and one local header, whatever the file's size. */
ArchiveResult archive_find_base(File file, const char *target, BasePart *part, Reason *others, Reason *why);

#endif
