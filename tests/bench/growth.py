"""Whether a server's private memory grows over thousands of requests, and how much of it is kept conversations."""

from __future__ import annotations

import json
import subprocess
from dataclasses import replace
from pathlib import Path

from tests.bench import clients, subjects
from tests.bench.clients import Load
from tests.bench.launches import memory, started
from tests.bench.subjects import Subject

REQUESTS = 10_000
WITHOUT = 2_500
"""Requests of the second run, in which no conversations are kept: what grows there leaks."""
_CONTEXT = 4096
_EACH = 250


def bench(model: str, folder: Path, rounds: int) -> dict[str, object]:
    """Send short requests of eight clients, some with beginnings in common; prints private memory on the way."""
    ours, path = subjects.bundle(model, folder)
    forgetful = replace(ours, command=[*ours.command, "--cache-ram", "0"])
    told = subprocess.run(
        [path, "info", "--json", "--ctx-size", str(_CONTEXT)], env=ours.environment, capture_output=True, check=True
    )
    limit = json.loads(told.stdout)["context"]["saved_bytes"]
    kept = _sizes(ours, REQUESTS)
    without = _sizes(forgetful, WITHOUT)
    print(f"private memory, MiB, with up to {limit / (1 << 20):.0f} of conversations: {_told(kept)}")
    print(f"with none (--cache-ram 0): {_told(without)}")
    return {"conversations": limit, "private": kept, "private_without_conversations": without}


def _sizes(subject: Subject, requests: int) -> dict[int, int]:
    """Bytes of private memory by requests sent."""
    sizes: dict[int, int] = {}
    with started(subject.serving(8, _CONTEXT, shares=True)) as (process, port):
        for sent in range(_EACH, requests + 1, _EACH):
            shared = sent // _EACH % 5 * 60
            clients.run(port, Load("growth", clients=8, requests=_EACH, shared=shared, own=12, answer=4), seed=sent)
            sizes[sent] = memory(process.pid)["Anon"]
    return sizes


def _told(sizes: dict[int, int]) -> str:
    """The first, and those after an eighth, a quarter, half and all of the requests."""
    last = max(sizes)
    shown = (_EACH, *(last // share // _EACH * _EACH for share in (8, 4, 2, 1)))
    return ", ".join(f"{size / (1 << 20):.1f} after {sent:,}" for sent, size in sizes.items() if sent in shown)
