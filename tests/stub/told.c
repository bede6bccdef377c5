/* A runtime for the launcher's tests: tells on stdout what it was given, then does what its first argument says.
 *
 *   (nothing)      tell and end
 *   exit CODE      end with CODE
 *   wait           stop until a signal comes
 *   again          start itself through the launcher's descriptor, as the real runtime starts its probe
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

extern char **environ;

static void tell(const char *kind, const char *text)
{
    printf("%s ", kind);
    for (; *text; text++)
        printf("%02x", (unsigned char) *text);
    printf("\n");
}

static void tell_descriptor(void)
{
    const char *descriptor = getenv("BUNDLE_FD");
    char head[4] = "", number[32];
    int fd = descriptor ? atoi(descriptor) : -1;
    if (fd >= 0 && pread(fd, head, 4, 0) == 4 && !memcmp(head, "\177ELF", 4))
        tell("fact", "descriptor reads the file");
    snprintf(number, sizeof number, "position %ld", (long) lseek(fd, 0, SEEK_CUR));
    tell("fact", number);
}

int main(int argc, char **argv)
{
    char self[4096];
    ssize_t length = readlink("/proc/self/exe", self, sizeof self - 1);
    self[length < 0 ? 0 : length] = '\0';
    tell("self", self);
    for (int i = 0; i < argc; i++)
        tell("argument", argv[i]);
    for (char **variable = environ; *variable; variable++)
        tell("variable", *variable);
    tell_descriptor();
    fflush(stdout);
    const char *order = argc > 1 ? argv[1] : "";
    if (!strcmp(order, "exit"))
        return argc > 2 ? atoi(argv[2]) : 0;
    if (!strcmp(order, "wait"))
        pause();
    if (!strcmp(order, "again")) {
        char path[64];
        snprintf(path, sizeof path, "/proc/self/fd/%s", getenv("BUNDLE_FD"));
        execl(path, path, "second", (char *) NULL);
        return 99;
    }
    return 0;
}
