#include "progress.h"

#include <stdio.h>

#include "system.h"

void progress_start(Progress *progress)
{
    *progress = (Progress) {.start = system_seconds(), .percent = -1};
}

void progress_show(Progress *progress, uint64_t done, uint64_t total)
{
    int percent = total ? (int) ((double) done * 100 / (double) total) : 0;
    if (percent == progress->percent || system_seconds() - progress->start < 1 || !system_is_watched())
        return;
    progress->percent = percent;
    fprintf(stderr, "\runpacking, once for this version: %3d %%", percent);
    fflush(stderr);
}

void progress_end(Progress *progress)
{
    if (progress->percent >= 0)
        fprintf(stderr, "\r%*s\r", 42, "");
}
