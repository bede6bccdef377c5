#include "launch.h"

#include <string.h>

#include "path.h"

static void keep(Launch *launch, const char *key, const char *value)
{
    static const char *const keys[] = {"exe", "libs", "loader", "libc", "glibc"};
    const char **fields[] = {&launch->exe, &launch->libs, &launch->loader, &launch->libc, &launch->glibc};
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++)
        if (!strcmp(key, keys[i]))
            *fields[i] = value;
}

bool launch_read(Launch *launch, const char *root, Reason *why)
{
    char path[PATH_SIZE];
    size_t length;
    *launch = (Launch) {0};
    if (!path_join(path, root, "launch.txt") || !system_read_small(path, launch->text, sizeof launch->text, &length))
        return fails(why, "its launch.txt cannot be read: %s", system_reason());
    for (char *line = launch->text, *next; *line; line = next) {
        size_t end = strcspn(line, "\r\n");
        next = line + end + (line[end] != '\0');
        line[end] = '\0';
        char *value = strchr(line, ' ');
        if (value) {
            *value = '\0';
            keep(launch, line, value + 1);
        }
    }
    if (!launch->exe || !path_is_inside(launch->exe) || (launch->loader && !path_is_inside(launch->loader)))
        return fails(why, "its launch.txt names no program");
    return true;
}
