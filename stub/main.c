/* The launcher: finds the runtime in its own file, has it unpacked once, starts it. */
#include <stdio.h>
#include <stdlib.h>

#include "archive.h"
#include "cache.h"
#include "start.h"

static int end_with(const char *message, const char *hint)
{
    system_say("error: ");
    system_say(message);
    system_say("\nhint: ");
    system_say(hint);
    system_say("\n");
    return 1;
}

static int damaged(const char *executable, const Reason *cause)
{
    Reason message;
    fails(&message, "failed to read %s: %s", executable, cause->text);
    return end_with(message.text, "the file is damaged or was cut short; get it again from its source");
}

/* Tries the places in turn; returns only where the runtime could not be started from any. */
static int launch(const BasePart *part, Start *start)
{
    static Places places;
    static char root[PATH_SIZE];
    static Reason why, refusals, message;
    start->root = root;
    cache_places(&places, start->executable);
    for (int i = 0; i < places.count; i++) {
        switch (cache_obtain(start->self, part, places.path[i], root, &why)) {
        case UNPACKED:
            if (start_runtime(start, &why) == START_REFUSED_HERE)
                break;
            fails(&message, "failed to start %s: %s", start->executable, why.text);
            return end_with(message.text, "get the file again from its source");
        case PART_DAMAGED:
            return damaged(start->executable, &why);
        case PLACE_UNUSABLE:
            break;
        }
        add(&refusals, "%s%s: %s", i ? "; " : "", places.path[i], why.text);
    }
    fails(&message, "failed to unpack the runtime of %s: %s", start->executable, refusals.text);
    return end_with(message.text, "set BUNDLE_CACHE to a folder of your own, with space, on a disk that programs may run from");
}

int main(int argc, char **argv)
{
    static char executable[PATH_SIZE];
    static Reason why, others, message;
    BasePart part;
    (void) argc;
    Start start = {.executable = executable, .arguments = argv};
    start.self = system_open_self(argv[0], executable);
    if (start.self == NO_FILE) {
        fails(&message, "failed to open the program's own file %s: %s", executable, system_reason());
        return end_with(message.text, "make the file readable for the user who starts it");
    }
    switch (archive_find_base(start.self, TARGET, &part, &others, &why)) {
    case BASE_FOUND:
        break;
    case BASE_FOR_OTHERS:
        fails(&message, "failed to start %s: this bundle is for %s, this machine is %s", executable, others.text, TARGET);
        fails(&why, "start it on %s, or build it with --target %s", others.text, TARGET);
        return end_with(message.text, why.text);
    case ARCHIVE_MISSING:
        fails(&message, "failed to start %s: no bundle ends in it", executable);
        return end_with(message.text, "the file was cut short while it was copied, or is a bare launcher; get it again from its source");
    case ARCHIVE_DAMAGED:
        return damaged(executable, &why);
    }
    return launch(&part, &start);
}
