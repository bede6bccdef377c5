/* `launch.txt` of an unpacked runtime: how it wants to be started. Lines of `key value`; unknown keys are ignored. */
#ifndef LAUNCH_H
#define LAUNCH_H

#include "system.h"

typedef struct {
    char text[4096];
    /* Paths relative to the root; NULL where not given. */
    const char *exe;
    const char *libs;   /* folders of libraries, separated by ':' */
    const char *loader; /* Linux: the brought dynamic loader */
    const char *libc;   /* Linux: the folder of the brought C library */
    const char *glibc;  /* Linux: its version, "2.36" */
} Launch;

bool launch_read(Launch *launch, const char *root, Reason *why);

#endif
