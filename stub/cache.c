#include "cache.h"

#include <stdio.h>
#include <string.h>

#include "path.h"
#include "stamp.h"

static const char WORK[] = ".work-";

static void remove_if_work(void *context, const char *name)
{
    char path[PATH_SIZE];
    if (!strncmp(name, WORK, sizeof WORK - 1) && path_join(path, context, name))
        system_remove(path);
}

/* Unpacks beside `root` and renames; the lock is held. */
static UnpackResult fill(File file, const BasePart *part, char *runtimes, const char *root, Reason *why)
{
    char name[64], work[PATH_SIZE], old[PATH_SIZE];
    uint64_t ignored;
    if (!system_list(runtimes, remove_if_work, runtimes)) {
        fails(why, "%s", system_reason());
        return PLACE_UNUSABLE;
    }
    snprintf(name, sizeof name, "%s%lu", WORK, system_process_id());
    if (!path_join(work, runtimes, name) || !path_join(old, runtimes, strcat(name, "-old"))) {
        fails(why, "its path is too long");
        return PLACE_UNUSABLE;
    }
    if (!system_make_folder(work, 0700)) {
        fails(why, "%s", system_reason());
        return PLACE_UNUSABLE;
    }
    UnpackResult result = unpack(file, part, work, why);
    if (result == UNPACKED
        && ((system_size_of(root, &ignored) && !system_rename(root, old)) || !system_rename(work, root)
            || !system_flush(runtimes))) {
        fails(why, "%s", system_reason());
        result = PLACE_UNUSABLE;
    }
    system_remove(old);
    system_remove(work);
    return result;
}

UnpackResult cache_obtain(File file, const BasePart *part, const char *place, char root[PATH_SIZE], Reason *why)
{
    char runtimes[PATH_SIZE], path[PATH_SIZE], lock_path[PATH_SIZE];
    if (!path_join(runtimes, place, "runtime") || !path_join(path, runtimes, part->digest)
        || !path_join(lock_path, runtimes, ".lock")) {
        fails(why, "its path is too long");
        return PLACE_UNUSABLE;
    }
    if (!system_make_place(place, why) || !system_may_run_from(place, runtimes, why))
        return PLACE_UNUSABLE;
    UnpackResult result = UNPACKED;
    if (!stamp_holds(path)) {
        File lock = system_lock(lock_path);
        if (lock == NO_FILE) {
            fails(why, "%s", system_reason());
            return PLACE_UNUSABLE;
        }
        if (!stamp_holds(path))
            result = fill(file, part, runtimes, path, why);
        system_unlock(lock);
    }
    if (result == UNPACKED && !system_real_path(path, root)) {
        fails(why, "%s", system_reason());
        return PLACE_UNUSABLE;
    }
    return result;
}
