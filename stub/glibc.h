/* Which C library the host has, read from its files without running them. */
#ifndef GLIBC_H
#define GLIBC_H

#include <stdbool.h>

/* Whether the host can run `program` (an ELF executable) with a glibc of at least `version` ("2.36"): the dynamic loader
 * that the program asks for is there, and the libc.so.6 beside it defines symbols of that version or a newer one. */
bool glibc_is_at_least(const char *version, const char *program);

#endif
