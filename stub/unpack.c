#include "unpack.h"

#include <stdlib.h>
#define ZSTD_STATIC_LINKING_ONLY /* for ZSTD_getFrameHeader */
#include <zstd.h>

#include "path.h"
#include "progress.h"
#include "stamp.h"
#include "tar.h"

enum { INPUT_SIZE = 1 << 17, OUTPUT_SIZE = 1 << 18 };

static const uint64_t SLACK = 1 << 20, LARGEST = 16ULL << 30;

/* Everything that unpacking needs, in one allocation. */
typedef struct {
    const char *folder;
    File open;           /* the file being written */
    bool place_failed;   /* the failure is the folder's and not the part's */
    TarReader tar;
    Stamp stamp;
    Progress progress;
    uint8_t input[INPUT_SIZE], output[OUTPUT_SIZE];
} Unpacking;

static bool place_fails(Unpacking *state, Reason *why)
{
    state->place_failed = true;
    return fails(why, "%s", system_reason());
}

static bool on_entry(void *context, const TarEntry *entry, Reason *why)
{
    Unpacking *state = context;
    char path[PATH_SIZE];
    bool made = false;
    if (!stamp_add(&state->stamp, entry->size, entry->name, why))
        return false;
    if (!path_join(path, state->folder, entry->name)) {
        state->place_failed = true;
        return fails(why, "its path is too long");
    }
    switch (entry->kind) {
    case TAR_FOLDER:
        made = system_make_folder(path, entry->mode | 0700);
        break;
    case TAR_LINK:
        made = system_make_link(path, entry->target);
        break;
    case TAR_FILE:
        state->open = system_create(path, entry->mode | 0600);
        made = state->open != NO_FILE;
        break;
    }
    return made || place_fails(state, why);
}

static bool on_bytes(void *context, const uint8_t *bytes, size_t length, Reason *why)
{
    Unpacking *state = context;
    return system_write(state->open, bytes, length) || place_fails(state, why);
}

static bool on_close(void *context, Reason *why)
{
    Unpacking *state = context;
    (void) why;
    system_close_written(state->open);
    state->open = NO_FILE;
    return true;
}

/* Reads the frame's header: one frame with a checksum and a stated size, so that no damage can hide. */
static bool read_unpacked_size(File file, const BasePart *part, uint64_t *size, Reason *why)
{
    uint8_t bytes[18]; /* the longest frame header */
    ZSTD_frameHeader header;
    size_t length = part->size < sizeof bytes ? (size_t) part->size : sizeof bytes;
    if (!system_read_at(file, part->offset, bytes, length))
        return fails(why, "%s", system_reason());
    if (ZSTD_getFrameHeader(&header, bytes, length) != 0 || header.frameType != ZSTD_frame || !header.checksumFlag
        || header.frameContentSize > LARGEST)
        return fails(why, "its runtime does not begin as it should");
    *size = header.frameContentSize;
    return true;
}

static bool decompress(Unpacking *state, ZSTD_DCtx *zstd, File file, const BasePart *part, uint64_t total, Reason *why)
{
    uint64_t taken = 0, given = 0;
    size_t hint = 1;
    while (taken < part->size) {
        size_t length = part->size - taken < INPUT_SIZE ? (size_t) (part->size - taken) : INPUT_SIZE;
        if (!system_read_at(file, part->offset + taken, state->input, length))
            return fails(why, "%s", system_reason());
        taken += length;
        ZSTD_inBuffer in = {state->input, length, 0};
        ZSTD_outBuffer out = {state->output, OUTPUT_SIZE, OUTPUT_SIZE};
        /* A full output buffer means that more may be waiting inside, also when all input is taken. */
        while (in.pos < in.size || (hint != 0 && out.pos == out.size)) {
            if (hint == 0)
                return fails(why, "its runtime is followed by something else");
            out.pos = 0;
            hint = ZSTD_decompressStream(zstd, &out, &in);
            if (ZSTD_isError(hint))
                return fails(why, "its runtime does not decompress: %s", ZSTD_getErrorName(hint));
            if (!tar_push(&state->tar, state->output, out.pos, why))
                return false;
            given += out.pos;
        }
        progress_show(&state->progress, given, total);
    }
    return (hint == 0 && given == total) || fails(why, "its runtime ends too early");
}

static UnpackResult unpack_with(Unpacking *state, ZSTD_DCtx *zstd, File file, const BasePart *part, Reason *why)
{
    uint64_t total, available = system_free_bytes(state->folder);
    if (!read_unpacked_size(file, part, &total, why))
        return PART_DAMAGED;
    if (available < total + SLACK) {
        fails(why, "%llu MB are needed, %llu MB are free", (unsigned long long) (total >> 20) + 1,
              (unsigned long long) available >> 20);
        return PLACE_UNUSABLE;
    }
    tar_start(&state->tar, (TarSink) {on_entry, on_bytes, on_close, state});
    stamp_start(&state->stamp);
    progress_start(&state->progress);
    bool whole = decompress(state, zstd, file, part, total, why) && tar_finish(&state->tar, why);
    if (state->open != NO_FILE)
        system_close(state->open);
    if (whole && !stamp_write(&state->stamp, state->folder, why)) {
        state->place_failed = true;
        whole = false;
    }
    progress_end(&state->progress);
    return whole ? UNPACKED : state->place_failed ? PLACE_UNUSABLE : PART_DAMAGED;
}

UnpackResult unpack(File file, const BasePart *part, const char *folder, Reason *why)
{
    Unpacking *state = malloc(sizeof *state);
    ZSTD_DCtx *zstd = ZSTD_createDCtx();
    UnpackResult result = PLACE_UNUSABLE;
    if (state && zstd) {
        state->folder = folder;
        state->open = NO_FILE;
        state->place_failed = false;
        result = unpack_with(state, zstd, file, part, why);
    } else {
        fails(why, "there is not enough memory");
    }
    ZSTD_freeDCtx(zstd);
    free(state);
    return result;
}
