/* The hand-over to the unpacked runtime: start_posix.c replaces this process, start_windows.c waits for another. */
#ifndef START_H
#define START_H

#include "system.h"

typedef struct {
    File self;              /* the open executable, inherited by the runtime */
    const char *executable; /* its absolute path */
    const char *root;       /* the unpacked runtime */
    char **arguments;       /* as this process got them, argv[0] included */
} Start;

typedef enum {
    START_FAILED,
    START_REFUSED_HERE, /* the system runs no programs from this folder; another might do */
} StartResult;

/* Returns only where the runtime could not be started. */
StartResult start_runtime(const Start *start, Reason *why);

/* Whether a variable from outside is kept from the runtime: llama.cpp, Python and the bootloader obey theirs, and those of the
 * launcher are set anew. */
bool start_drops(const char *variable, size_t length);

#endif
