"""`make bench`: how a bundle starts and what it costs, beside llama-server, interleaved in one run.

Prints one table of medians and ratios (bundle / llama-server), and writes all figures as JSON.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import tempfile
import time
from dataclasses import asdict
from pathlib import Path
from statistics import median

from bundler.build.bundles import open_bundle
from tests.bench import subjects
from tests.bench.measure import Launch, launch, repacked
from tests.bench.subjects import Subject

ROWS = {
    "ready": ("launch -> /health 200", "s", 1.0),
    "first_token": ("launch -> first token", "s", 1.0),
    "tokens_per_second": ("one stream", "tok/s", 1.0),
    "resident": ("resident memory", "MiB", 1 / (1 << 20)),
    "file_backed": ("  of it backed by files", "MiB", 1 / (1 << 20)),
    "anonymous": ("  of it private (repacked weights, KV, …)", "MiB", 1 / (1 << 20)),
}


def main() -> None:
    parser = argparse.ArgumentParser(prog="make bench", description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--models", nargs="+", default=["80mb", "1b"], choices=sorted(subjects.SHAPES))
    parser.add_argument("--json", type=Path, default=Path("bench-start.json"))
    options = parser.parse_args()
    results: dict[str, object] = {}
    with tempfile.TemporaryDirectory(prefix="bench-") as name:
        for model in options.models:
            results[model] = bench(model, Path(name), options.rounds)
    options.json.write_text(json.dumps(results, indent=1), encoding="utf-8")
    print(f"all figures: {options.json}")


def bench(model: str, folder: Path, rounds: int) -> dict[str, object]:
    """Measure one model; prints its part of the table."""
    ours, path = subjects.bundle(model, folder)
    theirs = subjects.llama_server(model, folder)
    weights = subjects.model(model).stat().st_size
    with open_bundle(path) as opened:
        base = next(entry.size for entry in opened.archive.entries.values() if "/base-" in entry.name)
    print(f"\n{model}: {weights / 1e6:.1f} MB of weights, {rounds} interleaved rounds, medians")
    print(f"bundle overhead: {path.stat().st_size - weights:,} bytes, of it the runtime {base:,}")
    figures: dict[str, object] = {"weights": weights, "bundle": path.stat().st_size, "runtime": base}
    for subject in (ours, theirs):
        launch(subject)
    print(f"{'warm':44}{'bundle':>12}{'llama-server':>14}{'ratio':>8}")
    figures["warm"] = compare(rounds, ours, theirs, cold=False)
    print(f"{'cold (nothing unpacked, nothing in memory)':44}{'bundle':>12}{'llama-server':>14}{'ratio':>8}")
    figures["cold"] = compare(rounds, ours, theirs, cold=True)
    copy = repacked(ours)
    print(f"of the bundle's private memory {copy / (1 << 20):.1f} MiB are weights repacked for this CPU")
    figures["repacked"] = copy
    figures["unpack"] = unpacking(ours, rounds)
    return figures


def compare(rounds: int, ours: Subject, theirs: Subject, *, cold: bool) -> dict[str, list[dict[str, float]]]:
    """Interleaved launches of both, and the rows of the table."""
    taken: dict[str, list[Launch]] = {ours.name: [], theirs.name: []}
    for _ in range(rounds):
        for subject in (ours, theirs):
            if cold:
                subject.chill()
            taken[subject.name].append(launch(subject))
    for key, (title, unit, scale) in ROWS.items():
        mine, other = (median(getattr(one, key) for one in taken[name]) * scale for name in (ours.name, theirs.name))
        ratio = f"{mine / other:8.2f}" if other else ""
        print(f"{title + ', ' + unit:44}{mine:12.3f}{other:14.3f}{ratio}")
    return {name: [asdict(one) for one in launches] for name, launches in taken.items()}


def unpacking(ours: Subject, rounds: int) -> dict[str, list[float]]:
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


if __name__ == "__main__":
    main()
