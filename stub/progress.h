/* One line on stderr while unpacking takes longer than a second and a person watches; erased at the end. */
#ifndef PROGRESS_H
#define PROGRESS_H

#include <stdbool.h>
#include <stdint.h>

typedef struct {
    double start;
    int percent; /* shown last; -1 while nothing is shown */
} Progress;

void progress_start(Progress *progress);
void progress_show(Progress *progress, uint64_t done, uint64_t total);
void progress_end(Progress *progress);

#endif
