"""Which CPU variant of llama.cpp to trust: the fastest that survives a test, found out once for each machine.

A CPU can advertise instructions that trap, so each candidate runs in a child process (`probe_child`), and its numbers
are compared with the plainest variant's. Knows nothing of llama.cpp; a known verdict costs one small file to read.
"""

from __future__ import annotations

import array
import contextlib
import hashlib
import math
import os
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import msgspec

from bundler.errors import BundleError
from bundler.runtime import child, libraries, machine
from bundler.runtime.engine.interface import Rejected, Verdict

OVERRIDE = "BUNDLE_CPU_VARIANT"
TIME_LIMIT = 30.0
"""Seconds that a child may take; on an idle machine it takes half of one."""
DISTANCE_LIMIT = 0.1
"""Relative error of the logits against the plainest variant's. Sound variants differ by about 0.01."""
_FORMAT = 1


def main(arguments: Sequence[str]) -> int:
    """The hidden command `_probe`: what a child does."""
    from bundler.runtime import probe_child

    return probe_child.main(arguments, libraries.folder(os.environ))


class _Outcome(msgspec.Struct):
    """What a child said until its end."""

    scores: dict[str, int] = {}
    scoring: str = ""
    testing: str = ""
    rows: list[list[float]] = []
    done: bool = False
    failure: str = ""
    """Why it did not get to its end."""


def choose(
    folder: Path,
    cache: Path,
    environment: Mapping[str, str],
    *,
    command: Sequence[str] | None = None,
    time_limit: float = TIME_LIMIT,
    testing: Callable[[], None] = lambda: None,
) -> Verdict:
    """The CPU variant to load: as the user says in BUNDLE_CPU_VARIANT, else by an earlier verdict, else by the probe.

    `command` begins the children's command line; by default they are this program again. `testing` is called before
    the probe, which takes a while.

    Raises:
        BundleError: the user's choice does not exist, or not one variant works.
    """
    variants = libraries.cpu_variants(folder)
    if asked := environment.get(OVERRIDE):
        if asked not in variants:
            raise BundleError(
                f"failed to choose the CPU variant: there is none called {asked}",
                f"{OVERRIDE} may be one of {', '.join(variants)}",
            )
        return Verdict(chosen=asked, reason=f"asked for by {OVERRIDE}")
    if len(variants) == 1:
        return Verdict(chosen=next(iter(variants)), reason="the only one")
    file = cache / "probe" / f"{_key(folder, variants)}.json"
    known = _read(file)
    if known is not None and known.chosen in variants:
        return known
    testing()
    verdict = _probe(list(variants), [*(command or child.command(environment)), "_probe"], environment, time_limit)
    if verdict.rejected:
        _write(file, verdict)
    return verdict


def _probe(variants: list[str], command: list[str], environment: Mapping[str, str], time_limit: float) -> Verdict:
    plainest = libraries.plainest(variants)
    rejected: list[Rejected] = []
    scores: dict[str, int] = {}
    deadline = time.monotonic() + time_limit
    with _Child([*command, "reference", plainest], environment) as reference_child:
        reference: _Outcome | None = None
        while len(rejected) < len(variants):
            excluded = [entry.variant for entry in rejected]
            with _Child([*command, "best", *excluded], environment) as candidate_child:
                outcome = candidate_child.outcome(time.monotonic() + time_limit)
            reference = reference or reference_child.outcome(deadline)
            scores.update(outcome.scores)
            blamed = outcome.testing or outcome.scoring
            if not blamed or blamed in excluded:
                if not (outcome.scores or reference.testing):
                    return Verdict(chosen=plainest, reason=f"the others are untested, as the test {outcome.failure}")
                break
            failure = outcome.failure or _wrong_numbers(outcome, reference)
            if failure:
                rejected.append(Rejected(blamed, failure))
                continue
            return _verdict(blamed, rejected, scores, reference)
    tried = "; ".join(f"{entry.variant}: {entry.reason}" for entry in rejected)
    if reference is not None and reference.done:
        return Verdict(chosen=plainest, reason="no other passed the test", rejected=rejected)
    raise BundleError(
        f"failed to find a CPU backend that works here: {tried}",
        f"name one to use it untested: {OVERRIDE}={plainest}",
    )


def _verdict(chosen: str, rejected: list[Rejected], scores: dict[str, int], reference: _Outcome) -> Verdict:
    failed = {entry.variant for entry in rejected}
    lacking = [
        Rejected(name, "this CPU lacks instructions that it needs")
        for name, score in scores.items()
        if score <= 0 and name not in failed
    ]
    plainer = [
        Rejected(name, "slower on this CPU")
        for name, score in sorted(scores.items(), key=lambda entry: -entry[1])
        if score > 0 and name not in failed and name != chosen
    ]
    reason = "the fastest that passed the test on this machine"
    if not reference.done:
        reason += f"; its numbers could not be compared: the plainest variant {reference.failure}"
    return Verdict(chosen=chosen, reason=reason, rejected=[*rejected, *plainer, *lacking])


def _wrong_numbers(outcome: _Outcome, reference: _Outcome) -> str:
    """Why the candidate's logits cannot be right; empty where they are, or where there is nothing to compare with."""
    if not reference.rows:
        return ""
    worst = max((_distance(row, reference.rows[0]) for row in outcome.rows), default=math.inf)
    return "" if worst <= DISTANCE_LIMIT else f"computed wrong numbers (relative error {worst:.2g})"


def _distance(row: list[float], expected: list[float]) -> float:
    """Relative error, infinite where it is no number."""
    if len(row) != len(expected):
        return math.inf
    error = math.sqrt(sum((one - other) ** 2 for one, other in zip(row, expected, strict=True)))
    distance = error / math.sqrt(sum(value**2 for value in expected))
    return distance if math.isfinite(distance) else math.inf


class _Child:
    """A running `_probe`; leaving the `with` block ends it."""

    def __init__(self, command: list[str], environment: Mapping[str, str]) -> None:
        import subprocess

        self._expired = subprocess.TimeoutExpired
        try:
            self._process: subprocess.Popen[bytes] | None = subprocess.Popen(
                command,
                env=child.user_environment(environment),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                pass_fds=child.descriptors(environment),
            )
        except OSError as error:
            self._process = None
            self._failure = f"could not be started: {error.strerror}"

    def __enter__(self) -> _Child:
        return self

    def __exit__(self, *_: object) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.communicate()

    def outcome(self, deadline: float) -> _Outcome:
        """Wait for its end, at most until `deadline` (seconds of the monotonic clock)."""
        if self._process is None:
            return _Outcome(failure=self._failure)
        failure = ""
        try:
            output, _ = self._process.communicate(timeout=max(0.0, deadline - time.monotonic()))
        except self._expired:
            self._process.kill()
            output, _ = self._process.communicate()
            failure = "did not come to an end in time"
        outcome = _understand(output.decode("utf-8", "replace"))
        if not outcome.done:
            outcome.failure = failure or _ending(self._process.returncode)
        return outcome


def _understand(output: str) -> _Outcome:
    outcome = _Outcome()
    for line in output.splitlines():
        match line.split():
            case ["scoring", name]:
                outcome.scoring = name
            case ["score", name, number] if number.lstrip("-").isdecimal():
                outcome.scoring = ""
                outcome.scores[name] = int(number)
            case ["testing", name]:
                outcome.testing = name
            case ["logits", digits]:
                with contextlib.suppress(ValueError):
                    outcome.rows.append(array.array("f", bytes.fromhex(digits)).tolist())
            case ["done"]:
                outcome.done = True
            case _:
                pass
    return outcome


def _ending(status: int) -> str:
    import signal

    if status >= 0:
        return f"failed with exit code {status}"
    try:
        name = signal.Signals(-status).name
    except ValueError:
        name = f"signal {-status}"
    meaning = " (an instruction that traps)" if name == "SIGILL" else ""
    return f"died of {name}{meaning}"


def _key(folder: Path, variants: Mapping[str, Path]) -> str:
    """What a verdict depends on: CPU, kernel, and these very libraries."""
    files = [(name, status.st_size, status.st_mtime_ns) for name, file in variants.items() if (status := file.stat())]
    identity = f"{_FORMAT}\n{folder.parent.name}\n{files}\n{machine.processor_identity()}"
    return hashlib.sha256(identity.encode()).hexdigest()[:32]


def _read(file: Path) -> Verdict | None:
    try:
        return msgspec.json.decode(file.read_bytes(), type=Verdict)
    except (OSError, msgspec.DecodeError, msgspec.ValidationError):
        return None


def _write(file: Path, verdict: Verdict) -> None:
    """Keep the verdict for the next start; where that is not possible it is found out again."""
    part = file.with_name(f"{file.name}.{os.getpid()}")
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        part.write_bytes(msgspec.json.encode(verdict))
        part.replace(file)
    except OSError:
        with contextlib.suppress(OSError):
            part.unlink()
