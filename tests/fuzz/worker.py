"""One process that tries cases of one target, until the last, the time's end, or its own.

Writes where it is to a file before every case, so that whoever started it knows which case it died of. A case that
takes too much processor time is ended by a signal; address space beyond the limit is not given.
"""

from __future__ import annotations

import faulthandler
import json
import resource
import signal
import sys
import time
import traceback
from pathlib import Path
from random import Random
from struct import Struct
from typing import Any

from bundler.errors import BundleError
from tests.fuzz.targets import Target, load

ADDRESS_SPACE = 3 << 30
RESIDENT = 1 << 30
"""Bytes of memory in use at any one time; the address space may be larger than that."""
STATE = Struct("<QQQdQ")
"""Case, cases tried, cases accepted, longest processor time of a case, its number."""
_SHOWN = 2000


def attempt(target: Target, index: int, seed: int) -> tuple[bool, str]:
    """Try one case; whether it was accepted, and a report where it broke a promise."""
    case: Any = None
    try:
        case = target.case(Random(f"{seed} {index}"))
        signal.setitimer(signal.ITIMER_PROF, target.SECONDS)
        return target.attempt(case), ""
    except BundleError:
        return False, ""
    except Exception:
        signal.setitimer(signal.ITIMER_PROF, 0)
        shown = repr(case)
        shown = shown if len(shown) < _SHOWN else f"{shown[:_SHOWN]}…"
        return False, f"{traceback.format_exc(limit=-12)}case: {shown}"
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)


def work(target: Target, seed: int, first: int, last: int, seconds: float, progress: Path) -> None:
    """Try the cases from `first` up to `last`, and print a JSON line for each that broke a promise."""
    end = time.monotonic() + seconds
    done = accepted = slowest_index = 0
    slowest = 0.0
    with progress.open("r+b", buffering=0) as state:
        for index in range(first, last):
            if time.monotonic() > end:
                break
            state.seek(0)
            state.write(STATE.pack(index, done, accepted, slowest, slowest_index))
            start = time.process_time()
            taken, report = attempt(target, index, seed)
            used = time.process_time() - start
            done += 1
            accepted += taken
            if used > slowest:
                slowest, slowest_index = used, index
            resident = _resident()
            if resident > RESIDENT and not report:
                report = f"{resident >> 20} MiB of memory in use"
            if report:
                print(json.dumps([index, report]), flush=True)
            if resident > RESIDENT:
                index += 1
                break
        else:
            index = last
        state.seek(0)
        state.write(STATE.pack(index, done, accepted, slowest, slowest_index))


def _resident() -> int:
    """The most bytes of memory that this process has had in use."""
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss << 10
    if most > RESIDENT:  # which may be the size of the process that started this one
        status = Path("/proc/self/status").read_text(encoding="ascii")
        most = int(status.partition("VmHWM:")[2].split()[0]) << 10
    return most


def main() -> None:
    module, seed, first, last, seconds, progress = sys.argv[1:]
    resource.setrlimit(resource.RLIMIT_AS, (ADDRESS_SPACE, ADDRESS_SPACE))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    faulthandler.enable()
    faulthandler.register(signal.SIGPROF, chain=True)
    work(load(module), int(seed), int(first), int(last), float(seconds), Path(progress))


if __name__ == "__main__":
    main()
