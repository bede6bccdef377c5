"""A system prompt of 2,000 tokens: launch to first token with its state in the bundle (`--warm`), and without."""

from __future__ import annotations

import random
from pathlib import Path
from statistics import median

from tests.bench import subjects
from tests.bench.launches import chat_launch

_WORDS = ("river", "stone", "winter", "garden", "engine", "letter", "window", "copper", "meadow", "signal")
_COUNT = 2000


def bench(model: str, folder: Path, rounds: int) -> dict[str, object]:
    """Measure one model; prints both medians and how many times sooner the first token comes."""
    prompt = " ".join(random.Random(7).choices(_WORDS, k=_COUNT))
    baked, _ = subjects.bundle(model, folder, system=prompt, warm=True)
    computed, _ = subjects.bundle(model, folder, system=prompt)
    taken: dict[str, list[float]] = {"baked in": [], "computed": []}
    for number in range(rounds + 1):
        for kind, subject in zip(taken, (baked, computed), strict=True):
            seconds = chat_launch(subject)
            if number:  # the first launch unpacks
                taken[kind].append(seconds)
    fast, slow = (median(each) for each in taken.values())
    print(f"{_COUNT:,} words of SYSTEM, launch -> first token: baked in {fast:.3f} s, computed {slow:.3f} s,", end=" ")
    print(f"{slow / fast:.1f} x sooner")
    return {"words": _COUNT, **taken}
