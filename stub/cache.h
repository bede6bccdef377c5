/* Where runtimes are kept unpacked, and how one gets there exactly once.
 *
 *   <place>/runtime/.lock          held while anything below changes
 *   <place>/runtime/.work-<pid>    being unpacked or removed; without the lock's holder, a dead process left it
 *   <place>/runtime/<digest>       a whole runtime: only ever renamed into being
 */
#ifndef CACHE_H
#define CACHE_H

#include "unpack.h"

enum { MAX_PLACES = 12 };

typedef struct {
    char path[MAX_PLACES][PATH_SIZE];
    int count;
} Places;

/* The folders to try, best first. */
void cache_places(Places *places, const char *executable);

/* Finds or unpacks the runtime of `part` below `place`; `root` receives its real path. */
UnpackResult cache_obtain(File file, const BasePart *part, const char *place, char root[PATH_SIZE], Reason *why);

#endif
