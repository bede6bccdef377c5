#include "reason.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

bool fails(Reason *why, const char *format, ...)
{
    va_list values;
    va_start(values, format);
    vsnprintf(why->text, sizeof why->text, format, values);
    va_end(values);
    return false;
}

void add(Reason *why, const char *format, ...)
{
    size_t used = strlen(why->text);
    va_list values;
    va_start(values, format);
    vsnprintf(why->text + used, sizeof why->text - used, format, values);
    va_end(values);
}
