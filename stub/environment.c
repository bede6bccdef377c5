#include <string.h>

#include "start.h"

static const char *const PREFIXES[] = {"GGML_", "LLAMA_", "_PYI_", "PYTHON"};
static const char *const NAMES[] = {
    "BUNDLE_FD", "BUNDLE_HANDLE", "BUNDLE_EXE", "BUNDLE_ROOT", "BUNDLE_TARGET", "BUNDLE_USER_LD_LIBRARY_PATH",
};

/* Compares as the system does: Windows ignores the case of variables. */
static bool begins(const char *text, const char *start, size_t length)
{
    for (size_t i = 0; i < length; i++) {
        char c = text[i];
#ifdef _WIN32
        if (c >= 'a' && c <= 'z')
            c = (char) (c - 'a' + 'A');
#endif
        if (c != start[i])
            return false;
    }
    return true;
}

bool start_drops(const char *variable, size_t length)
{
    for (size_t i = 0; i < sizeof PREFIXES / sizeof *PREFIXES; i++)
        if (length >= strlen(PREFIXES[i]) && begins(variable, PREFIXES[i], strlen(PREFIXES[i])))
            return true;
    for (size_t i = 0; i < sizeof NAMES / sizeof *NAMES; i++)
        if (length == strlen(NAMES[i]) && begins(variable, NAMES[i], length))
            return true;
    return false;
}
