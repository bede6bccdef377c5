/* What the launcher asks of the operating system: system_posix.c and system_windows.c answer.
 *
 * Paths are UTF-8 and absolute unless said otherwise; '/' separates on POSIX, either slash on Windows. Functions that
 * return bool say why they failed through `system_reason`.
 */
#ifndef SYSTEM_H
#define SYSTEM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "reason.h"

enum { PATH_SIZE = 4096 };

#ifdef _WIN32
#define SEPARATOR "\\"
#else
#define SEPARATOR "/"
#endif

typedef intptr_t File;
#define NO_FILE ((File) -1)

/* Writes to stderr. */
void system_say(const char *text);

/* What the last failed call said, in the system's words. */
const char *system_reason(void);

/* Opens the running executable for reading, inheritable, and tells its absolute path. NO_FILE on failure. */
File system_open_self(const char *argv0, char path[PATH_SIZE]);
bool system_size(File file, uint64_t *size);
/* Reads exactly `length` bytes. */
bool system_read_at(File file, uint64_t offset, void *into, size_t length);
void system_close(File file);

/* Why programs cannot be kept in and started from the existing folder `place` and its folder `runtimes` (created here);
 * true where they can. The place may be the user's or the system's; `runtimes` is the user's alone. */
bool system_may_run_from(const char *place, const char *runtimes, Reason *why);
/* Creates the folder `path`, for the user alone, and what is missing above it. An existing folder is success. */
bool system_make_place(const char *path, Reason *why);
/* Bytes that the user can still write below `path`; UINT64_MAX where the system does not say. */
uint64_t system_free_bytes(const char *path);
/* The path counted from the current folder where it is relative. */
bool system_absolute(const char *path, char absolute[PATH_SIZE]);
/* Resolves links; what `path` names must exist. */
bool system_real_path(const char *path, char real[PATH_SIZE]);

/* Creates the file where it is missing and waits until no other process holds it. NO_FILE on failure. */
File system_lock(const char *path);
void system_unlock(File lock);

bool system_make_folder(const char *path, unsigned mode);
bool system_make_link(const char *path, const char *target);
/* A new file; an existing one is a failure. */
File system_create(const char *path, unsigned mode);
bool system_write(File file, const void *data, size_t length);
/* Closes a written file; the system begins to bring it to the disk, so that flushing it later waits less. */
void system_close_written(File file);
/* Waits until file or folder `path` is on the disk. */
bool system_flush(const char *path);
bool system_rename(const char *from, const char *to);
/* Removes a file or a folder with everything in it, following no links; nothing there is success. */
bool system_remove(const char *path);
/* Calls `visit` with the name of each entry of a folder, in no order. */
bool system_list(const char *folder, void (*visit)(void *context, const char *name), void *context);
/* Size of the regular file `path`, or 0 for a link or a folder; false where there is nothing. */
bool system_size_of(const char *path, uint64_t *size);
/* The whole of a small file, terminated with a zero byte; at most `capacity` - 1 bytes. */
bool system_read_small(const char *path, char *into, size_t capacity, size_t *length);

unsigned long system_process_id(void);
/* Seconds of a clock that never jumps. */
double system_seconds(void);
/* Whether a person watches stderr. */
bool system_is_watched(void);
/* The environment variable's value, or NULL where it is unset or empty; valid until the process ends. */
const char *system_variable(const char *name);
/* The user's home folder, or NULL where there is none. */
const char *system_home(void);

#endif
