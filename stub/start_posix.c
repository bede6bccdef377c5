/* Replaces this process by the runtime.
 *
 * On Linux the runtime is started through the host's dynamic loader where the host's glibc is at least as new as the brought
 * one (so that its GPU drivers load), and else through the brought loader. PyInstaller's bootloader (6.22, pyi_main.c) finds
 * itself by argv[0] where the loader is the process, and starts itself anew with its own LD_LIBRARY_PATH unless
 * _PYI_PARENT_PROCESS_LEVEL says that it has just done so: -1, with _PYI_ARCHIVE_FILE naming itself.
 */
#include "start.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "glibc.h"
#include "launch.h"
#include "path.h"

extern char **environ;

enum { MOST_ADDED = 12, MOST_BEFORE = 4 };

typedef struct {
    char **variables;
    size_t count;
} Environment;

static void set(Environment *environment, const char *name, const char *value)
{
    size_t size = strlen(name) + strlen(value) + 2;
    char *variable = malloc(size);
    if (variable) {
        snprintf(variable, size, "%s=%s", name, value);
        environment->variables[environment->count++] = variable;
    }
}

#ifdef __linux__

static const char *const LIBRARY_PATH = "LD_LIBRARY_PATH";

/* Appends the folders of the ':'-separated list `folders`, absolute. */
static bool add_folders(char *list, size_t size, const char *root, const char *folders)
{
    while (folders && *folders) {
        size_t used = strlen(list), length = strcspn(folders, ":");
        int written = snprintf(list + used, size - used, "%s%s/%.*s", used ? ":" : "", root, (int) length, folders);
        if (written < 0 || (size_t) written >= size - used)
            return false;
        folders += length + (folders[length] != '\0');
    }
    return true;
}

/* The command before the program's own arguments, and its library path. Ends with the program as argv[0] of the bootloader. */
static bool choose(const Launch *launch, const char *root, const char *program, char *before[MOST_BEFORE + 1], char **libraries)
{
    static char loader[PATH_SIZE], list[4 * PATH_SIZE];
    size_t count = 0;
    bool own = launch->loader && launch->libc && launch->glibc && !glibc_is_at_least(launch->glibc, program);
    if (!add_folders(list, sizeof list, root, own ? launch->libc : NULL)
        || !add_folders(list, sizeof list, root, launch->libs))
        return false;
    if (own) {
        if (!path_join(loader, root, launch->loader))
            return false;
        before[count++] = loader;
        before[count++] = "--library-path";
        before[count++] = list;
    }
    before[count++] = (char *) (uintptr_t) program;
    before[count] = NULL;
    *libraries = list;
    return true;
}

static void set_for_system(Environment *environment, const Start *start, const char *program, const char *libraries)
{
    const char *users = getenv(LIBRARY_PATH), *called = start->arguments[0] ? start->arguments[0] : start->executable;
    set(environment, LIBRARY_PATH, libraries);
    if (users)
        set(environment, "BUNDLE_USER_LD_LIBRARY_PATH", users);
    set(environment, "_PYI_ARCHIVE_FILE", program);
    set(environment, "_PYI_PARENT_PROCESS_LEVEL", "-1");
    set(environment, "_PYI_LINUX_PROCESS_NAME", path_name(called));
}

#else

static const char *const LIBRARY_PATH = NULL;

static bool choose(const Launch *launch, const char *root, const char *program, char *before[MOST_BEFORE + 1], char **libraries)
{
    (void) launch;
    (void) root;
    before[0] = (char *) (uintptr_t) program;
    before[1] = NULL;
    *libraries = NULL;
    return true;
}

static void set_for_system(Environment *environment, const Start *start, const char *program, const char *libraries)
{
    (void) environment;
    (void) start;
    (void) program;
    (void) libraries;
}

#endif

static bool make_environment(Environment *environment, const Start *start, const char *program, const char *libraries)
{
    char descriptor[32];
    size_t count = 0;
    while (environ[count])
        count++;
    *environment = (Environment) {calloc(count + MOST_ADDED + 1, sizeof(char *)), 0};
    if (!environment->variables)
        return false;
    for (size_t i = 0; i < count; i++) {
        size_t length = strcspn(environ[i], "=");
        bool replaced = LIBRARY_PATH && length == strlen(LIBRARY_PATH) && !strncmp(environ[i], LIBRARY_PATH, length);
        if (!replaced && !start_drops(environ[i], length))
            environment->variables[environment->count++] = environ[i];
    }
    snprintf(descriptor, sizeof descriptor, "%ld", (long) start->self);
    set(environment, "BUNDLE_FD", descriptor);
    set(environment, "BUNDLE_EXE", start->executable);
    set(environment, "BUNDLE_ROOT", start->root);
    set(environment, "BUNDLE_TARGET", TARGET);
    set_for_system(environment, start, program, libraries);
    return true;
}

/* `before`, which ends with the program, followed by the user's arguments. */
static char **make_arguments(char *const *before, char **own)
{
    size_t head = 0, tail = 0;
    while (before[head])
        head++;
    while (own[0] && own[1 + tail])
        tail++;
    char **arguments = calloc(head + tail + 1, sizeof *arguments);
    if (arguments) {
        memcpy(arguments, before, head * sizeof *arguments);
        if (tail)
            memcpy(arguments + head, own + 1, tail * sizeof *arguments);
    }
    return arguments;
}

StartResult start_runtime(const Start *start, Reason *why)
{
    char program[PATH_SIZE], *before[MOST_BEFORE + 1], *libraries, **arguments;
    Launch launch;
    Environment environment;
    if (!launch_read(&launch, start->root, why))
        return START_FAILED;
    if (!path_join(program, start->root, launch.exe) || !choose(&launch, start->root, program, before, &libraries)) {
        fails(why, "its path is too long");
        return START_FAILED;
    }
    arguments = make_arguments(before, start->arguments);
    if (!arguments || !make_environment(&environment, start, program, libraries)) {
        fails(why, "there is not enough memory");
        return START_FAILED;
    }
    execve(before[0], arguments, environment.variables);
    bool refused = errno == EACCES || errno == EPERM;
    fails(why, "%s: %s", before[0], system_reason());
    return refused ? START_REFUSED_HERE : START_FAILED;
}
