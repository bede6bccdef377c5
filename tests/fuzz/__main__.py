"""The command line: tries each target for a while and tells what was found, with the number of the case."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Iterable

from tests.fuzz import targets
from tests.fuzz.running import run
from tests.fuzz.worker import attempt


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("target", nargs="*", help=f"out of {', '.join(targets.MODULES)}; all where none is named")
    parser.add_argument("--seed", type=int, default=0)
    limit = parser.add_mutually_exclusive_group()
    limit.add_argument("--seconds", type=float, help="for each target (default 60)")
    limit.add_argument("--cases", type=int, help="for each target")
    limit.add_argument("--case", type=int, help="only this one, with nothing between it and the terminal")
    given = parser.parse_args()
    unknown = set(given.target) - set(targets.MODULES)
    if unknown:
        parser.error(f"unknown target {', '.join(sorted(unknown))}")
    if given.case is not None:
        return _one(given.target or targets.MODULES, given.seed, given.case)
    found = 0
    for name in given.target or targets.MODULES:
        start = time.monotonic()
        limits = {"cases": given.cases} if given.cases else {"seconds": given.seconds or 60.0}
        report = run(targets.MODULES[name], given.seed, **limits)
        print(
            f"{name}: {report.cases} cases in {time.monotonic() - start:.0f} s, {report.accepted} accepted, "
            f"{len(report.finds)} finds; slowest {report.slowest:.2f} s (case {report.slowest_index})",
            flush=True,
        )
        for find in report.finds:
            print(f"--- {name} --seed {given.seed} --case {find.case}: {find.report}", flush=True)
        found += len(report.finds)
    return 1 if found else 0


def _one(names: Iterable[str], seed: int, index: int) -> int:
    reports = [attempt(targets.load(targets.MODULES[name]), index, seed)[1] for name in names]
    print(*filter(None, reports), sep="\n")
    return 1 if any(reports) else 0


if __name__ == "__main__":
    sys.exit(main())
