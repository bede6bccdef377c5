/* Joining and judging paths, in fixed buffers. */
#ifndef PATH_H
#define PATH_H

#include "system.h"

/* Writes "<folder>/<name>"; false where it does not fit. `out` may be `folder`. */
bool path_join(char out[PATH_SIZE], const char *folder, const char *name);

/* Writes the folder that holds `path`, without a separator at its end unless it is the root. */
void path_folder(char out[PATH_SIZE], const char *path);

const char *path_name(const char *path);

/* Whether an archive's `name` is relative, in plain form, and stays inside its folder on every system. */
bool path_is_inside(const char *name);

/* Whether a link `name` that points to `target` stays inside the folder that `name` counts from. */
bool path_link_is_inside(const char *name, const char *target);

#endif
