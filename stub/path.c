#include "path.h"

#include <stdio.h>
#include <string.h>

static bool separates(char c)
{
#ifdef _WIN32
    return c == '/' || c == '\\';
#else
    return c == '/';
#endif
}

bool path_join(char out[PATH_SIZE], const char *folder, const char *name)
{
    size_t length = strlen(folder);
    while (length > 0 && separates(folder[length - 1]))
        length--;
    if (length + 1 + strlen(name) >= PATH_SIZE)
        return false;
    memmove(out, folder, length);
    memcpy(out + length, SEPARATOR, 1);
    strcpy(out + length + 1, name);
    return true;
}

void path_folder(char out[PATH_SIZE], const char *path)
{
    size_t length = (size_t) (path_name(path) - path);
    while (length > 1 && separates(path[length - 1]))
        length--;
    memmove(out, path, length);
    out[length] = '\0';
}

const char *path_name(const char *path)
{
    const char *name = path;
    for (const char *at = path; *at; at++)
        if (separates(*at) && at[1])
            name = at + 1;
    return name;
}

/* The steps of a relative path, counted from `depth`; -1 where one leaves the top or is in no plain form. */
static int depth_after(int depth, const char *path, bool upwards)
{
    for (const char *part = path;; ) {
        size_t length = strcspn(part, "/");
        if (length == 0 || (length == 1 && part[0] == '.'))
            return -1;
        if (length == 2 && part[0] == '.' && part[1] == '.') {
            if (!upwards || depth == 0)
                return -1;
            depth--;
        } else {
            depth++;
        }
        if (!part[length])
            return depth;
        part += length + 1;
    }
}

static bool has_only_plain_bytes(const char *name)
{
    for (const char *at = name; *at; at++)
        if ((unsigned char) *at < 32 || strchr("\\:", *at))
            return false;
    return true;
}

bool path_is_inside(const char *name)
{
    return has_only_plain_bytes(name) && depth_after(0, name, false) > 0;
}

bool path_link_is_inside(const char *name, const char *target)
{
    int depth = depth_after(0, name, false);
    return has_only_plain_bytes(target) && depth > 0 && depth_after(depth - 1, target, true) >= 0;
}
