#include "stamp.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "path.h"

static const char FILE_NAME[] = ".stamp", HEAD[] = "bundle-runtime 1\n";

void stamp_start(Stamp *stamp)
{
    memcpy(stamp->text, HEAD, sizeof HEAD);
    stamp->length = sizeof HEAD - 1;
}

bool stamp_add(Stamp *stamp, uint64_t size, const char *path, Reason *why)
{
    size_t left = STAMP_CAPACITY - 1 - stamp->length;
    int length = snprintf(stamp->text + stamp->length, left, "%llu %s\n", (unsigned long long) size, path);
    if (length < 0 || (size_t) length >= left)
        return fails(why, "its runtime holds too many files");
    stamp->length += (size_t) length;
    return true;
}

/* Calls `check` for each line until it returns false. `text` is cut into its lines. */
static bool for_each(char *text, const char *root, bool (*check)(const char *path, uint64_t size))
{
    char path[PATH_SIZE], *end;
    for (char *line = text + sizeof HEAD - 1; *line; line = end + 1) {
        char *name;
        uint64_t size = strtoull(line, &name, 10);
        end = strchr(line, '\n');
        if (!end || *name != ' ')
            return false;
        *end = '\0';
        if (!path_join(path, root, name + 1) || !check(path, size))
            return false;
    }
    return true;
}

static bool flush(const char *path, uint64_t size)
{
    (void) size;
    return system_flush(path);
}

static bool is_there(const char *path, uint64_t size)
{
    uint64_t found;
    return system_size_of(path, &found) && found == size;
}

bool stamp_write(const Stamp *stamp, const char *root, Reason *why)
{
    char path[PATH_SIZE];
    char *lines = strdup(stamp->text);
    bool flushed = lines && for_each(lines, root, flush);
    free(lines);
    if (!flushed || !path_join(path, root, FILE_NAME))
        return fails(why, "%s", system_reason());
    File file = system_create(path, 0600);
    if (file == NO_FILE)
        return fails(why, "%s", system_reason());
    bool written = system_write(file, stamp->text, stamp->length);
    if (!written)
        fails(why, "%s", system_reason());
    system_close(file);
    if (written && !(system_flush(path) && system_flush(root)))
        return fails(why, "%s", system_reason());
    return written;
}

bool stamp_holds(const char *root)
{
    char path[PATH_SIZE];
    size_t length;
    char *text = malloc(STAMP_CAPACITY);
    bool holds = text && path_join(path, root, FILE_NAME) && system_read_small(path, text, STAMP_CAPACITY, &length)
        && !strncmp(text, HEAD, sizeof HEAD - 1) && for_each(text, root, is_there);
    free(text);
    return holds;
}
