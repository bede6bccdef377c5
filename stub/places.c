/* The order of the folders to unpack to. */
#include <stdio.h>
#include <string.h>

#include "cache.h"
#include "path.h"

/* Adds `<folder>/<name>`; a missing folder adds nothing. */
static void try_below(Places *places, const char *folder, const char *name)
{
    char *path = places->path[places->count];
    if (!folder || places->count == MAX_PLACES || !system_absolute(folder, path) || (name && !path_join(path, path, name)))
        return;
    for (int i = 0; i < places->count; i++)
        if (!strcmp(places->path[i], path))
            return;
    places->count++;
}

static void try_beside(Places *places, const char *executable)
{
    char folder[PATH_SIZE];
    path_folder(folder, executable);
    try_below(places, folder, ".bundle-cache");
}

#ifdef _WIN32

void cache_places(Places *places, const char *executable)
{
    places->count = 0;
    try_below(places, system_variable("BUNDLE_CACHE"), NULL);
    try_below(places, system_variable("LOCALAPPDATA"), "bundle");
    try_beside(places, executable);
    try_below(places, system_variable("TEMP"), "bundle");
}

#else

#include <unistd.h>

void cache_places(Places *places, const char *executable)
{
    char shared[32]; /* in folders of all users, a name of one's own */
    const char *temporary = system_variable("TMPDIR");
    snprintf(shared, sizeof shared, "bundle-%lu", (unsigned long) geteuid());
    places->count = 0;
    try_below(places, system_variable("BUNDLE_CACHE"), NULL);
#ifdef __APPLE__
    try_below(places, system_home(), "Library/Caches/bundle");
#else
    try_below(places, system_variable("XDG_CACHE_HOME"), "bundle");
    try_below(places, system_home(), ".cache/bundle");
#endif
    try_beside(places, executable);
    try_below(places, temporary ? temporary : "/tmp", shared);
    try_below(places, "/var/tmp", shared);
    try_below(places, "/dev/shm", shared);
}

#endif
