"""Runs a target in a process of its own, starts it again after a case that kills it, and gathers what was found."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

from tests.fuzz.worker import STATE

_ENOUGH = 20
"""Finds after which a run ends."""
_STALLED = 180.0
"""Seconds without a new case after which a process counts as stuck, whatever it waits for."""


class Find(NamedTuple):
    """A case that broke a promise."""

    case: int
    report: str


@dataclass
class Report:
    """What a run saw."""

    cases: int = 0
    accepted: int = 0
    finds: list[Find] = field(default_factory=list)
    slowest: float = 0.0
    """Processor time of the slowest case."""
    slowest_index: int = 0


def run(module: str, seed: int, *, cases: int = 1 << 62, seconds: float = 1e9) -> Report:
    """Try cases of the target that `module` is, from number 0 on, until one of the limits or too many finds."""
    report = Report()
    end = time.monotonic() + seconds
    first = 0
    with TemporaryDirectory() as folder:
        while first < cases and time.monotonic() < end and len(report.finds) < _ENOUGH:
            first = _go_on(report, module, seed, first, cases, end - time.monotonic(), Path(folder))
    return report


def _go_on(report: Report, module: str, seed: int, first: int, last: int, seconds: float, folder: Path) -> int:
    """One process from case `first` on; the case to go on with."""
    progress, out, err = (folder / name for name in ("progress", "out", "err"))
    progress.write_bytes(STATE.pack(first, 0, 0, 0.0, 0))
    arguments = [sys.executable, "-m", "tests.fuzz.worker", module, *map(str, (seed, first, last, seconds, progress))]
    with out.open("wb") as stdout, err.open("wb") as stderr:
        process = subprocess.Popen(arguments, stdout=stdout, stderr=stderr, stdin=subprocess.DEVNULL)
        try:
            stalled = _wait(process, progress)
        finally:
            process.kill()
            process.wait()
    index, done, accepted, slowest, slowest_index = STATE.unpack(progress.read_bytes())
    report.cases += done
    report.accepted += accepted
    if slowest > report.slowest:
        report.slowest, report.slowest_index = slowest, slowest_index
    report.finds += [Find(*json.loads(line)) for line in out.read_text(encoding="utf-8").splitlines()]
    if process.returncode == 0:
        return int(index)
    report.cases += 1
    said = err.read_text(encoding="utf-8", errors="replace")[-4000:]
    report.finds.append(Find(index, f"{'stuck' if stalled else _death(process.returncode)}\n{said}"))
    return int(index) + 1


def _wait(process: subprocess.Popen[bytes], progress: Path) -> bool:
    """Wait for the end, and kill a process that goes on to no other case; whether that was needed."""
    seen, since = b"", time.monotonic()
    while True:
        try:
            process.wait(0.5)
            return False
        except subprocess.TimeoutExpired:
            state = progress.read_bytes()
        if state != seen:
            seen, since = state, time.monotonic()
        elif time.monotonic() - since > _STALLED:
            process.kill()
            process.wait()
            return True


def _death(code: int) -> str:
    if code == -signal.SIGPROF:
        return "more processor time than a case may take"
    return f"killed by signal {-code}" if code < 0 else f"left with exit code {code}"
