#include "system.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <time.h>
#include <unistd.h>

#ifdef __linux__
#include <sys/auxv.h>
#endif
#ifdef __APPLE__
#include <mach-o/dyld.h>
#include <sys/mount.h>
#include <sys/param.h>
#endif

#include "path.h"

static const char TOO_SHORT[] = "the file is shorter than it was";
static const char *reason; /* set where errno says nothing */

const char *system_reason(void)
{
    return reason ? reason : strerror(errno);
}

void system_say(const char *text)
{
    fputs(text, stderr);
}

/* ---- the executable ---- */

#ifdef __APPLE__

static File open_executable(const char *argv0, char path[PATH_SIZE])
{
    char given[PATH_SIZE];
    uint32_t size = sizeof given;
    (void) argv0;
    path[0] = '\0';
    if (_NSGetExecutablePath(given, &size) != 0 || !system_real_path(given, path))
        return NO_FILE;
    return open(path, O_RDONLY);
}

#else

/* The process's own link survives renaming; without /proc the kernel's record of the called path serves, then argv[0]. */
static File open_executable(const char *argv0, char path[PATH_SIZE])
{
    const char *called = (const char *) (uintptr_t) getauxval(AT_EXECFN);
    ssize_t length = readlink("/proc/self/exe", path, PATH_SIZE - 1);
    if (length > 0) {
        path[length] = '\0';
        return open("/proc/self/exe", O_RDONLY);
    }
    if (!called)
        called = argv0 ? argv0 : "";
    if (!system_real_path(called, path))
        snprintf(path, PATH_SIZE, "%s", called);
    return open(path, O_RDONLY);
}

#endif

File system_open_self(const char *argv0, char path[PATH_SIZE])
{
    int file = (int) open_executable(argv0, path);
    if (file < 0 || file > STDERR_FILENO)
        return file < 0 ? NO_FILE : file;
    int moved = fcntl(file, F_DUPFD, STDERR_FILENO + 1);
    close(file);
    return moved < 0 ? NO_FILE : moved;
}

/* ---- reading ---- */

bool system_size(File file, uint64_t *size)
{
    struct stat facts;
    reason = NULL;
    if (fstat((int) file, &facts) != 0)
        return false;
    *size = (uint64_t) facts.st_size;
    return true;
}

bool system_read_at(File file, uint64_t offset, void *into, size_t length)
{
    reason = NULL;
    for (size_t done = 0; done < length;) {
        ssize_t got = pread((int) file, (char *) into + done, length - done, (off_t) (offset + done));
        if (got < 0 && errno == EINTR)
            continue;
        if (got == 0)
            reason = TOO_SHORT;
        if (got <= 0)
            return false;
        done += (size_t) got;
    }
    return true;
}

void system_close(File file)
{
    close((int) file);
}

bool system_size_of(const char *path, uint64_t *size)
{
    struct stat facts;
    reason = NULL;
    if (lstat(path, &facts) != 0)
        return false;
    *size = S_ISREG(facts.st_mode) ? (uint64_t) facts.st_size : 0;
    return true;
}

bool system_read_small(const char *path, char *into, size_t capacity, size_t *length)
{
    uint64_t size;
    int file = open(path, O_RDONLY | O_CLOEXEC);
    bool read = file >= 0 && system_size(file, &size);
    if (read && size >= capacity) {
        errno = EFBIG;
        read = false;
    }
    read = read && system_read_at(file, 0, into, (size_t) size);
    if (read) {
        *length = (size_t) size;
        into[*length] = '\0';
    }
    if (file >= 0)
        close(file);
    return read;
}

/* ---- judging a place ---- */

static bool is_noexec(const char *path)
{
#ifdef __APPLE__
    struct statfs facts;
    return statfs(path, &facts) == 0 && (facts.f_flags & MNT_NOEXEC);
#else
    struct statvfs facts;
    return statvfs(path, &facts) == 0 && (facts.f_flag & ST_NOEXEC);
#endif
}

/* Whether others cannot put their own things in the place of ours there. */
static bool may_be_trusted(const struct stat *facts, Reason *why)
{
    if (!S_ISDIR(facts->st_mode))
        return fails(why, "it is no folder");
    if (facts->st_uid != geteuid() && facts->st_uid != 0)
        return fails(why, "it belongs to another user");
    if ((facts->st_mode & S_IWOTH) && !(facts->st_mode & S_ISVTX))
        return fails(why, "everyone may write to it");
    return true;
}

bool system_may_run_from(const char *place, const char *runtimes, Reason *why)
{
    struct stat facts;
    reason = NULL;
    if (stat(place, &facts) != 0)
        return fails(why, "%s", strerror(errno));
    if (!may_be_trusted(&facts, why))
        return false;
    if (is_noexec(place))
        return fails(why, "it is mounted noexec");
#ifdef __linux__
    if (strpbrk(place, ":;$"))
        return fails(why, "the dynamic loader takes ':', ';' and '$' in a path for something else");
#endif
    if (mkdir(runtimes, 0700) != 0 && errno != EEXIST)
        return fails(why, "%s", strerror(errno));
    if (lstat(runtimes, &facts) != 0)
        return fails(why, "%s", strerror(errno));
    if (!S_ISDIR(facts.st_mode) || facts.st_uid != geteuid() || (facts.st_mode & (S_IWGRP | S_IWOTH)))
        return fails(why, "its folder runtime is not the user's alone");
    return true;
}

bool system_make_place(const char *path, Reason *why)
{
    struct stat facts;
    char above[PATH_SIZE];
    reason = NULL;
    if (stat(path, &facts) == 0)
        return S_ISDIR(facts.st_mode) || fails(why, "%s is no folder", path);
    if (errno != ENOENT)
        return fails(why, "%s", strerror(errno));
    path_folder(above, path);
    if (!strcmp(above, path))
        return fails(why, "%s", strerror(ENOENT));
    if (!system_make_place(above, why) || stat(above, &facts) != 0 || !may_be_trusted(&facts, why))
        return false;
    return mkdir(path, 0700) == 0 || errno == EEXIST || fails(why, "%s", strerror(errno));
}

uint64_t system_free_bytes(const char *path)
{
    struct statvfs facts;
    if (statvfs(path, &facts) != 0)
        return UINT64_MAX;
    return (uint64_t) facts.f_bavail * facts.f_frsize;
}

bool system_absolute(const char *path, char absolute[PATH_SIZE])
{
    char current[PATH_SIZE];
    if (path[0] == '/')
        return snprintf(absolute, PATH_SIZE, "%s", path) < PATH_SIZE;
    return getcwd(current, sizeof current) && path_join(absolute, current, path);
}

bool system_real_path(const char *path, char real[PATH_SIZE])
{
    reason = NULL;
    char *found = realpath(path, NULL);
    bool fits = found && strlen(found) < PATH_SIZE;
    if (fits)
        strcpy(real, found);
    else if (found)
        errno = ENAMETOOLONG;
    free(found);
    return fits;
}

/* ---- changing ---- */

File system_lock(const char *path)
{
    reason = NULL;
    int file = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (file < 0)
        return NO_FILE;
    while (flock(file, LOCK_EX) != 0)
        if (errno != EINTR) {
            close(file);
            return NO_FILE;
        }
    return file;
}

void system_unlock(File lock)
{
    close((int) lock);
}

bool system_make_folder(const char *path, unsigned mode)
{
    reason = NULL;
    return mkdir(path, 0700) == 0 && chmod(path, (mode_t) mode) == 0;
}

bool system_make_link(const char *path, const char *target)
{
    reason = NULL;
    return symlink(target, path) == 0;
}

File system_create(const char *path, unsigned mode)
{
    reason = NULL;
    int file = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (file >= 0 && fchmod(file, (mode_t) mode) != 0) {
        close(file);
        return NO_FILE;
    }
    return file < 0 ? NO_FILE : file;
}

bool system_write(File file, const void *data, size_t length)
{
    reason = NULL;
    for (size_t done = 0; done < length;) {
        ssize_t put = write((int) file, (const char *) data + done, length - done);
        if (put < 0 && errno == EINTR)
            continue;
        if (put <= 0)
            return false;
        done += (size_t) put;
    }
    return true;
}

void system_close_written(File file)
{
#ifdef __linux__
    sync_file_range((int) file, 0, 0, SYNC_FILE_RANGE_WRITE);
#endif
    close((int) file);
}

bool system_flush(const char *path)
{
    reason = NULL;
    int file = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    if (file < 0)
        return errno == ELOOP; /* a link is flushed with its folder */
    bool flushed = fsync(file) == 0 || errno == EINVAL; /* some filesystems cannot flush folders */
    close(file);
    return flushed;
}

bool system_rename(const char *from, const char *to)
{
    reason = NULL;
    return rename(from, to) == 0;
}

typedef struct {
    const char *folder;
    bool removed;
} Removal;

static void remove_entry(void *context, const char *name)
{
    Removal *removal = context;
    char path[PATH_SIZE];
    removal->removed = path_join(path, removal->folder, name) && system_remove(path) && removal->removed;
}

bool system_remove(const char *path)
{
    struct stat facts;
    reason = NULL;
    if (lstat(path, &facts) != 0)
        return errno == ENOENT;
    if (!S_ISDIR(facts.st_mode))
        return unlink(path) == 0;
    Removal removal = {path, true};
    chmod(path, 0700);
    return system_list(path, remove_entry, &removal) && removal.removed && rmdir(path) == 0;
}

bool system_list(const char *folder, void (*visit)(void *context, const char *name), void *context)
{
    reason = NULL;
    DIR *open_folder = opendir(folder);
    if (!open_folder)
        return false;
    for (struct dirent *entry; (entry = readdir(open_folder));)
        if (strcmp(entry->d_name, ".") && strcmp(entry->d_name, ".."))
            visit(context, entry->d_name);
    closedir(open_folder);
    return true;
}

/* ---- the process ---- */

unsigned long system_process_id(void)
{
    return (unsigned long) getpid();
}

double system_seconds(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double) now.tv_sec + (double) now.tv_nsec / 1e9;
}

bool system_is_watched(void)
{
    return isatty(STDERR_FILENO);
}

const char *system_variable(const char *name)
{
    const char *value = getenv(name);
    return value && *value ? value : NULL;
}

const char *system_home(void)
{
    const char *home = system_variable("HOME");
    if (home)
        return home;
    const struct passwd *user = getpwuid(geteuid());
    return user && user->pw_dir && *user->pw_dir ? user->pw_dir : NULL;
}
