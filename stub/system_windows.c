#define WIN32_LEAN_AND_MEAN
#define UNICODE
#include "system.h"

#include <windows.h>

#include <io.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <wchar.h>

#include "path.h"

enum { WIDE_SIZE = PATH_SIZE + 8 };

static char reason[512];

const char *system_reason(void)
{
    wchar_t wide[256];
    DWORD code = GetLastError();
    DWORD length = FormatMessageW(FORMAT_MESSAGE_FROM_SYSTEM | FORMAT_MESSAGE_IGNORE_INSERTS, NULL, code, 0, wide, 256, NULL);
    int bytes = WideCharToMultiByte(CP_UTF8, 0, wide, (int) length, reason, sizeof reason - 1, NULL, NULL);
    while (bytes > 0 && (reason[bytes - 1] == '\n' || reason[bytes - 1] == '\r' || reason[bytes - 1] == '.'))
        bytes--;
    if (bytes == 0)
        bytes = snprintf(reason, sizeof reason, "error %lu", (unsigned long) code);
    reason[bytes] = '\0';
    return reason;
}

void system_say(const char *text)
{
    HANDLE console = GetStdHandle(STD_ERROR_HANDLE);
    DWORD mode, written;
    wchar_t wide[REASON_SIZE];
    int length = MultiByteToWideChar(CP_UTF8, 0, text, -1, wide, REASON_SIZE);
    if (length > 0 && GetConsoleMode(console, &mode))
        WriteConsoleW(console, wide, (DWORD) length - 1, &written, NULL);
    else
        fputs(text, stderr);
}

/* The absolute path in the form that knows no length limit. */
static bool to_wide(const char *path, wchar_t wide[WIDE_SIZE])
{
    bool plain = strncmp(path, "\\\\", 2) != 0;
    int head = plain ? 4 : 0;
    if (plain)
        memcpy(wide, L"\\\\?\\", 4 * sizeof *wide);
    if (!MultiByteToWideChar(CP_UTF8, 0, path, -1, wide + head, WIDE_SIZE - head))
        return false;
    for (wchar_t *at = wide; *at; at++)
        if (*at == L'/')
            *at = L'\\';
    return true;
}

static bool from_wide(const wchar_t *wide, char path[PATH_SIZE])
{
    if (!wcsncmp(wide, L"\\\\?\\", 4) && wcsncmp(wide, L"\\\\?\\UNC\\", 8))
        wide += 4;
    return WideCharToMultiByte(CP_UTF8, 0, wide, -1, path, PATH_SIZE, NULL, NULL) > 0;
}

/* ---- the executable and reading ---- */

static File open_wide(const wchar_t *path, DWORD access, DWORD creation, SECURITY_ATTRIBUTES *security)
{
    HANDLE file = CreateFileW(path, access, FILE_SHARE_READ | FILE_SHARE_WRITE | FILE_SHARE_DELETE, security, creation,
                              FILE_FLAG_BACKUP_SEMANTICS, NULL);
    return file == INVALID_HANDLE_VALUE ? NO_FILE : (File) file;
}

File system_open_self(const char *argv0, char path[PATH_SIZE])
{
    wchar_t wide[WIDE_SIZE];
    SECURITY_ATTRIBUTES inheritable = {sizeof inheritable, NULL, TRUE};
    (void) argv0;
    path[0] = '\0';
    DWORD length = GetModuleFileNameW(NULL, wide, WIDE_SIZE);
    if (length == 0 || length == WIDE_SIZE || !from_wide(wide, path))
        return NO_FILE;
    return open_wide(wide, GENERIC_READ, OPEN_EXISTING, &inheritable);
}

bool system_size(File file, uint64_t *size)
{
    LARGE_INTEGER found;
    if (!GetFileSizeEx((HANDLE) file, &found))
        return false;
    *size = (uint64_t) found.QuadPart;
    return true;
}

bool system_read_at(File file, uint64_t offset, void *into, size_t length)
{
    for (size_t done = 0; done < length;) {
        uint64_t at = offset + done;
        OVERLAPPED place = {.Offset = (DWORD) at, .OffsetHigh = (DWORD) (at >> 32)};
        DWORD got, wanted = length - done < (1 << 30) ? (DWORD) (length - done) : 1 << 30;
        if (!ReadFile((HANDLE) file, (char *) into + done, wanted, &got, &place))
            return false;
        if (got == 0) {
            SetLastError(ERROR_HANDLE_EOF);
            return false;
        }
        done += got;
    }
    LARGE_INTEGER start = {0}; /* a positioned read moves the file's position on Windows */
    return SetFilePointerEx((HANDLE) file, start, NULL, FILE_BEGIN);
}

/* Keeps the cause of a failure that led here. */
void system_close(File file)
{
    DWORD cause = GetLastError();
    CloseHandle((HANDLE) file);
    SetLastError(cause);
}

bool system_size_of(const char *path, uint64_t *size)
{
    wchar_t wide[WIDE_SIZE];
    WIN32_FILE_ATTRIBUTE_DATA facts;
    if (!to_wide(path, wide) || !GetFileAttributesExW(wide, GetFileExInfoStandard, &facts))
        return false;
    bool folder = facts.dwFileAttributes & FILE_ATTRIBUTE_DIRECTORY;
    *size = folder ? 0 : (uint64_t) facts.nFileSizeHigh << 32 | facts.nFileSizeLow;
    return true;
}

bool system_read_small(const char *path, char *into, size_t capacity, size_t *length)
{
    wchar_t wide[WIDE_SIZE];
    uint64_t size;
    File file = to_wide(path, wide) ? open_wide(wide, GENERIC_READ, OPEN_EXISTING, NULL) : NO_FILE;
    if (file == NO_FILE)
        return false;
    bool read = system_size(file, &size) && size < capacity && system_read_at(file, 0, into, (size_t) size);
    system_close(file);
    if (read) {
        *length = (size_t) size;
        into[*length] = '\0';
    }
    return read;
}

/* ---- judging a place ---- */

/* Folders of the user's profile are the user's by their inherited access lists; Windows has no noexec mounts. */
bool system_may_run_from(const char *place, const char *runtimes, Reason *why)
{
    (void) place;
    uint64_t ignored;
    return system_size_of(runtimes, &ignored) || system_make_folder(runtimes, 0700) || fails(why, "%s", system_reason());
}

bool system_make_place(const char *path, Reason *why)
{
    uint64_t ignored;
    char above[PATH_SIZE];
    if (system_size_of(path, &ignored))
        return true;
    path_folder(above, path);
    if (!strcmp(above, path) || strlen(above) < 3)
        return fails(why, "%s", system_reason());
    if (!system_make_place(above, why))
        return false;
    return system_make_folder(path, 0700) || system_size_of(path, &ignored) || fails(why, "%s", system_reason());
}

uint64_t system_free_bytes(const char *path)
{
    wchar_t wide[WIDE_SIZE];
    ULARGE_INTEGER available;
    return to_wide(path, wide) && GetDiskFreeSpaceExW(wide, &available, NULL, NULL) ? available.QuadPart : UINT64_MAX;
}

bool system_absolute(const char *path, char absolute[PATH_SIZE])
{
    wchar_t given[WIDE_SIZE], full[WIDE_SIZE];
    if (!MultiByteToWideChar(CP_UTF8, 0, path, -1, given, WIDE_SIZE))
        return false;
    DWORD length = GetFullPathNameW(given, WIDE_SIZE, full, NULL);
    return length > 0 && length < WIDE_SIZE && from_wide(full, absolute);
}

bool system_real_path(const char *path, char real[PATH_SIZE])
{
    uint64_t ignored;
    return system_size_of(path, &ignored) && system_absolute(path, real);
}

/* ---- changing ---- */

File system_lock(const char *path)
{
    wchar_t wide[WIDE_SIZE];
    OVERLAPPED first_byte = {0};
    File file = to_wide(path, wide) ? open_wide(wide, GENERIC_READ | GENERIC_WRITE, OPEN_ALWAYS, NULL) : NO_FILE;
    if (file != NO_FILE && !LockFileEx((HANDLE) file, LOCKFILE_EXCLUSIVE_LOCK, 0, 1, 0, &first_byte)) {
        system_close(file);
        return NO_FILE;
    }
    return file;
}

void system_unlock(File lock)
{
    system_close(lock);
}

bool system_make_folder(const char *path, unsigned mode)
{
    wchar_t wide[WIDE_SIZE];
    (void) mode;
    return to_wide(path, wide) && CreateDirectoryW(wide, NULL);
}

bool system_make_link(const char *path, const char *target)
{
    (void) path;
    (void) target;
    SetLastError(ERROR_NOT_SUPPORTED);
    return false;
}

File system_create(const char *path, unsigned mode)
{
    wchar_t wide[WIDE_SIZE];
    (void) mode;
    return to_wide(path, wide) ? open_wide(wide, GENERIC_WRITE, CREATE_NEW, NULL) : NO_FILE;
}

bool system_write(File file, const void *data, size_t length)
{
    for (size_t done = 0; done < length;) {
        DWORD put, wanted = length - done < (1 << 30) ? (DWORD) (length - done) : 1 << 30;
        if (!WriteFile((HANDLE) file, (const char *) data + done, wanted, &put, NULL))
            return false;
        done += put;
    }
    return true;
}

void system_close_written(File file)
{
    system_close(file);
}

bool system_flush(const char *path)
{
    wchar_t wide[WIDE_SIZE];
    DWORD kind;
    if (!to_wide(path, wide) || (kind = GetFileAttributesW(wide)) == INVALID_FILE_ATTRIBUTES)
        return false;
    if (kind & FILE_ATTRIBUTE_DIRECTORY)
        return true; /* NTFS journals folders by itself */
    File file = open_wide(wide, GENERIC_WRITE, OPEN_EXISTING, NULL);
    if (file == NO_FILE)
        return false;
    bool flushed = FlushFileBuffers((HANDLE) file);
    system_close(file);
    return flushed;
}

/* Virus scanners hold fresh files open for moments, so a refusal is not believed at once. */
bool system_rename(const char *from, const char *to)
{
    wchar_t wide_from[WIDE_SIZE], wide_to[WIDE_SIZE];
    if (!to_wide(from, wide_from) || !to_wide(to, wide_to))
        return false;
    for (int attempt = 0; attempt < 100; attempt++) {
        if (MoveFileExW(wide_from, wide_to, 0))
            return true;
        if (GetLastError() != ERROR_ACCESS_DENIED && GetLastError() != ERROR_SHARING_VIOLATION)
            return false;
        Sleep(50);
    }
    return false;
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
    wchar_t wide[WIDE_SIZE];
    if (!to_wide(path, wide))
        return false;
    DWORD kind = GetFileAttributesW(wide);
    if (kind == INVALID_FILE_ATTRIBUTES)
        return GetLastError() == ERROR_FILE_NOT_FOUND || GetLastError() == ERROR_PATH_NOT_FOUND;
    if (!(kind & FILE_ATTRIBUTE_DIRECTORY))
        return DeleteFileW(wide);
    Removal removal = {path, true};
    if (!(kind & FILE_ATTRIBUTE_REPARSE_POINT) && !(system_list(path, remove_entry, &removal) && removal.removed))
        return false;
    return RemoveDirectoryW(wide);
}

bool system_list(const char *folder, void (*visit)(void *context, const char *name), void *context)
{
    char pattern[PATH_SIZE], name[PATH_SIZE];
    wchar_t wide[WIDE_SIZE];
    WIN32_FIND_DATAW entry;
    if (!path_join(pattern, folder, "*") || !to_wide(pattern, wide))
        return false;
    HANDLE search = FindFirstFileW(wide, &entry);
    if (search == INVALID_HANDLE_VALUE)
        return false;
    do {
        if (wcscmp(entry.cFileName, L".") && wcscmp(entry.cFileName, L"..") && from_wide(entry.cFileName, name))
            visit(context, name);
    } while (FindNextFileW(search, &entry));
    FindClose(search);
    return true;
}

/* ---- the process ---- */

unsigned long system_process_id(void)
{
    return GetCurrentProcessId();
}

double system_seconds(void)
{
    return (double) GetTickCount64() / 1000;
}

bool system_is_watched(void)
{
    return _isatty(_fileno(stderr));
}

const char *system_variable(const char *name)
{
    wchar_t wide_name[64], wide[WIDE_SIZE];
    char value[PATH_SIZE];
    if (!MultiByteToWideChar(CP_UTF8, 0, name, -1, wide_name, 64))
        return NULL;
    DWORD length = GetEnvironmentVariableW(wide_name, wide, WIDE_SIZE);
    if (length == 0 || length >= WIDE_SIZE
        || !WideCharToMultiByte(CP_UTF8, 0, wide, -1, value, PATH_SIZE, NULL, NULL))
        return NULL;
    return _strdup(value);
}

const char *system_home(void)
{
    return system_variable("USERPROFILE");
}
