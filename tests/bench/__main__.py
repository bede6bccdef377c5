"""`make bench`: a bundle beside llama-server of the same llama.cpp over the same weights, interleaved in one run.

Prints tables of medians and ratios (bundle / llama-server), and writes all figures as JSON.
One part, for the record, has llama-cpp-python's own servers beside the bundle.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from collections.abc import Callable
from pathlib import Path

from tests.bench import baked, constraints, cost, growth, load, peers, start, subjects, variants

PARTS: dict[str, Callable[[str, Path, int], dict[str, object]]] = {
    "start": start.bench,
    "load": load.bench,
    "cost": cost.bench,
    "constraints": constraints.bench,
    "baked": baked.bench,
    "growth": growth.bench,
    "variants": variants.bench,
    "peers": peers.bench,
}
"""By name, what measures a model in a folder with so many rounds."""
ONLY = {"cost": "80mb", "baked": "1b", "growth": "80mb", "variants": "1b", "peers": "80mb"}
"""Parts that say as much with one model."""


def main() -> None:
    parser = argparse.ArgumentParser(prog="make bench", description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--models", nargs="+", default=["80mb", "1b"], choices=sorted(subjects.SHAPES))
    parser.add_argument("--parts", nargs="+", default=list(PARTS), choices=list(PARTS))
    parser.add_argument("--json", type=Path, default=Path("bench.json"))
    options = parser.parse_args()
    results: dict[str, dict[str, object]] = {}
    with tempfile.TemporaryDirectory(prefix="bench-") as name:
        for model in options.models:
            weights = subjects.model(model).stat().st_size
            print(f"\n{model}: {weights / 1e6:.1f} MB of weights, {options.rounds} interleaved rounds, medians")
            results[model] = {}
            for part in options.parts:
                if ONLY.get(part, model) == model:
                    results[model][part] = PARTS[part](model, Path(name), options.rounds)
                    options.json.write_text(json.dumps(results, indent=1), encoding="utf-8")
    print(f"all figures: {options.json}")


if __name__ == "__main__":
    main()
