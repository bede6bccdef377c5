/* One sentence about what went wrong, on its way to the person who started the program. */
#ifndef REASON_H
#define REASON_H

#include <stdbool.h>

enum { REASON_SIZE = 8192 };

typedef struct {
    char text[REASON_SIZE];
} Reason;

/* Writes the sentence, cut where it does not fit, and returns false: `return fails(why, "...")`. */
bool fails(Reason *why, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Appends to the sentence, cut where it does not fit. */
void add(Reason *why, const char *format, ...) __attribute__((format(printf, 2, 3)));

#endif
