/* The base part, decompressed into a folder. */
#ifndef UNPACK_H
#define UNPACK_H

#include "archive.h"

typedef enum {
    UNPACKED,
    PLACE_UNUSABLE, /* this folder cannot take it; another might */
    PART_DAMAGED,
} UnpackResult;

/* Unpacks `part` into the new folder `folder` and stamps it. On failure what was written is left to the caller. */
UnpackResult unpack(File file, const BasePart *part, const char *folder, Reason *why);

#endif
