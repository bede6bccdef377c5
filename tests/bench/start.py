"""How a bundle starts and what it costs beside llama-server: cold and warm launches, one stream, memory, unpacking."""

from __future__ import annotations

import subprocess
import time
from dataclasses import asdict
from pathlib import Path
from statistics import median

from bundler.build.bundles import open_bundle
from tests.bench import subjects, table
from tests.bench.launches import Launch, buffers, launch
from tests.bench.subjects import Subject

ROWS = {
    "ready": ("launch -> /health 200, s", 1.0),
    "first_token": ("launch -> first token, s", 1.0),
    "tokens_per_second": ("one stream, tok/s", 1.0),
    "resident": ("resident memory, MiB", 1 / (1 << 20)),
    "file_backed": ("  of it backed by files, MiB", 1 / (1 << 20)),
    "anonymous": ("  of it private, MiB", 1 / (1 << 20)),
}


def bench(model: str, folder: Path, rounds: int) -> dict[str, object]:
    """Measure one model; prints its part of the table."""
    ours, path = subjects.bundle(model, folder)
    theirs = subjects.llama_server(model, folder)
    weights = subjects.model(model).stat().st_size
    with open_bundle(path) as opened:
        base = next(entry.size for entry in opened.archive.entries.values() if "/base-" in entry.name)
    print(f"bundle overhead: {path.stat().st_size - weights:,} bytes, of it the runtime {base:,}")
    figures: dict[str, object] = {"weights": weights, "bundle": path.stat().st_size, "runtime": base}
    for subject in (ours, theirs):
        launch(subject)
    table.head("warm")
    warm = _compare(rounds, ours, theirs, cold=False)
    table.head("cold (nothing unpacked, nothing in memory)")
    cold = _compare(rounds, ours, theirs, cold=True)
    figures["buffers"] = named = buffers(ours)
    private = median(one.anonymous for one in warm[ours.name])
    rest = private - sum(named.values())
    told = ", ".join(f"{name} {size / (1 << 20):.1f}" for name, size in named.items())
    print(f"the bundle's private memory, MiB: {private / (1 << 20):.1f} = {told}, all else {rest / (1 << 20):.1f}")
    figures["private_rest"] = rest
    figures["unpack"] = _unpacking(ours, rounds)
    return {**figures, "warm": _plain(warm), "cold": _plain(cold)}


def _compare(rounds: int, ours: Subject, theirs: Subject, *, cold: bool) -> dict[str, list[Launch]]:
    """Interleaved launches of both, and the rows of the table."""
    taken: dict[str, list[Launch]] = {ours.name: [], theirs.name: []}
    for _ in range(rounds):
        for subject in (ours, theirs):
            if cold:
                subject.chill()
            taken[subject.name].append(launch(subject))
    for key, (title, scale) in ROWS.items():
        mine, other = (median(getattr(one, key) for one in taken[name]) * scale for name in (ours.name, theirs.name))
        table.row(title, mine, other)
    return taken


def _plain(taken: dict[str, list[Launch]]) -> dict[str, list[dict[str, float]]]:
    return {name: [asdict(one) for one in launches] for name, launches in taken.items()}


def _unpacking(ours: Subject, rounds: int) -> dict[str, list[float]]:
    """Seconds of `--version` with an empty cache and with a filled one: the launcher's unpacking is the difference."""
    times: dict[str, list[float]] = {"first": [], "again": []}
    for _ in range(rounds):
        ours.chill()
        for values in times.values():
            begin = time.perf_counter()
            subprocess.run([ours.command[0], "--version"], env=ours.environment, check=True, capture_output=True)
            values.append(time.perf_counter() - begin)
    print(f"--version, first launch {median(times['first']):.3f} s, again {median(times['again']):.3f} s")
    return times
