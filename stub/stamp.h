/* The stamp of an unpacked runtime: a list of its files and their sizes, written last.
 *
 *   bundle-runtime 1
 *   <size in bytes, 0 for folders and links> <path>
 *
 * A runtime counts as whole when the stamp is there and what it lists is, too: cleaners of temporary folders take single
 * files away.
 */
#ifndef STAMP_H
#define STAMP_H

#include "system.h"

enum { STAMP_CAPACITY = 1 << 20 };

typedef struct {
    char text[STAMP_CAPACITY];
    size_t length;
} Stamp;

void stamp_start(Stamp *stamp);
bool stamp_add(Stamp *stamp, uint64_t size, const char *path, Reason *why);

/* Brings everything that the stamp lists onto the disk, then writes it into the folder `root`. */
bool stamp_write(const Stamp *stamp, const char *root, Reason *why);

bool stamp_holds(const char *root);

#endif
