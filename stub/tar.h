/* Reads a ustar stream pushed in pieces of any size and hands on what is in it. Opens and writes nothing itself. */
#ifndef TAR_H
#define TAR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "reason.h"

enum { TAR_BLOCK = 512 };

typedef struct {
    enum { TAR_FILE, TAR_FOLDER, TAR_LINK } kind;
    const char *name;   /* relative and inside, without a slash at its end */
    const char *target; /* of a link: relative and inside */
    unsigned mode;      /* permission bits only */
    uint64_t size;      /* of a file */
} TarEntry;

/* Each function returns false to stop the reading. After the entry of a file come its bytes and one `close`. */
typedef struct {
    bool (*entry)(void *context, const TarEntry *entry, Reason *why);
    bool (*bytes)(void *context, const uint8_t *bytes, size_t length, Reason *why);
    bool (*close)(void *context, Reason *why);
    void *context;
} TarSink;

typedef struct {
    TarSink sink;
    uint8_t block[TAR_BLOCK];
    size_t filled;    /* bytes of `block` */
    uint64_t content; /* bytes of the file still to come */
    size_t padding;   /* bytes behind it up to a whole block */
    bool ended;
} TarReader;

void tar_start(TarReader *tar, TarSink sink);
bool tar_push(TarReader *tar, const uint8_t *bytes, size_t length, Reason *why);

/* Whether the stream's end mark was seen. */
bool tar_finish(const TarReader *tar, Reason *why);

#endif
