/* Runs the runtime as a child that cannot outlive this process, and ends as it ends.
 *
 * The command line is passed on as it came. The runtime gets Ctrl-C from the console itself; here it is ignored.
 */
#define WIN32_LEAN_AND_MEAN
#define UNICODE
#include "start.h"

#include <windows.h>

#include <stdio.h>
#include <stdlib.h>

#include "launch.h"
#include "path.h"

static HANDLE child;

/* Closing the console's window ends all its processes: the runtime gets its time to end first. */
static BOOL WINAPI on_console_event(DWORD event)
{
    if (event != CTRL_C_EVENT && event != CTRL_BREAK_EVENT)
        WaitForSingleObject(child, INFINITE);
    return TRUE;
}

static void set(const wchar_t *name, const char *value)
{
    wchar_t wide[PATH_SIZE];
    if (MultiByteToWideChar(CP_UTF8, 0, value, -1, wide, PATH_SIZE))
        SetEnvironmentVariableW(name, wide);
}

static void drop_foreign_variables(void)
{
    wchar_t *all = GetEnvironmentStringsW();
    for (wchar_t *variable = all; variable && *variable; variable += wcslen(variable) + 1) {
        char name[256];
        wchar_t *end = wcschr(variable + 1, L'=');
        int length = end ? WideCharToMultiByte(CP_UTF8, 0, variable, (int) (end - variable), name, sizeof name, NULL, NULL) : 0;
        if (length > 0 && start_drops(name, (size_t) length)) {
            *end = L'\0';
            SetEnvironmentVariableW(variable, NULL);
            *end = L'=';
        }
    }
    if (all)
        FreeEnvironmentStringsW(all);
}

static void set_variables(const Start *start)
{
    char handle[32];
    drop_foreign_variables();
    snprintf(handle, sizeof handle, "%lld", (long long) start->self);
    set(L"BUNDLE_HANDLE", handle);
    set(L"BUNDLE_EXE", start->executable);
    set(L"BUNDLE_ROOT", start->root);
    set(L"BUNDLE_TARGET", TARGET);
}

/* A job that ends the runtime with this process; what the runtime starts for the user (a browser) stays outside. */
static void tie_to_this_process(HANDLE process)
{
    JOBOBJECT_EXTENDED_LIMIT_INFORMATION limits = {0};
    HANDLE job = CreateJobObjectW(NULL, NULL);
    limits.BasicLimitInformation.LimitFlags = JOB_OBJECT_LIMIT_KILL_ON_JOB_CLOSE | JOB_OBJECT_LIMIT_SILENT_BREAKAWAY_OK;
    if (job && SetInformationJobObject(job, JobObjectExtendedLimitInformation, &limits, sizeof limits))
        AssignProcessToJobObject(job, process);
}

StartResult start_runtime(const Start *start, Reason *why)
{
    static wchar_t program[PATH_SIZE];
    char path[PATH_SIZE];
    Launch launch;
    STARTUPINFOW startup = {.cb = sizeof startup};
    PROCESS_INFORMATION process;
    DWORD code = 1;
    if (!launch_read(&launch, start->root, why))
        return START_FAILED;
    if (!path_join(path, start->root, launch.exe) || !system_absolute(path, path)
        || !MultiByteToWideChar(CP_UTF8, 0, path, -1, program, PATH_SIZE)) {
        fails(why, "its path is too long");
        return START_FAILED;
    }
    set_variables(start);
    GetStartupInfoW(&startup);
    if (!CreateProcessW(program, GetCommandLineW(), NULL, NULL, TRUE, CREATE_SUSPENDED, NULL, NULL, &startup, &process)) {
        bool refused = GetLastError() == ERROR_ACCESS_DENIED;
        fails(why, "%s: %s", path, system_reason());
        return refused ? START_REFUSED_HERE : START_FAILED;
    }
    child = process.hProcess;
    SetConsoleCtrlHandler(on_console_event, TRUE);
    tie_to_this_process(child);
    ResumeThread(process.hThread);
    CloseHandle(process.hThread);
    WaitForSingleObject(child, INFINITE);
    GetExitCodeProcess(child, &code);
    ExitProcess(code);
}
