"""Many clients at once, beside llama-server: generated tokens a second, and the slowest first tokens."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from statistics import median

from tests.bench import clients, subjects, table
from tests.bench.clients import Answered, Load
from tests.bench.launches import main_thread_seconds, started
from tests.bench.subjects import Subject

LOADS = (
    Load("8 clients", clients=8, requests=24, shared=0, own=137, answer=48),
    Load("32 clients", clients=32, requests=64, shared=0, own=137, answer=48),
    Load("8 clients, 1,000 tokens in common", clients=8, requests=32, shared=1000, own=40, answer=32),
)


def bench(model: str, folder: Path, rounds: int) -> dict[str, object]:
    """Measure one model under each load; prints its part of the table."""
    ours, _ = subjects.bundle(model, folder)
    theirs = subjects.llama_server(model, folder)
    table.head("load")
    return {load.title: _compare(load, rounds, ours, theirs) for load in LOADS}


def _compare(load: Load, rounds: int, ours: Subject, theirs: Subject) -> dict[str, object]:
    """Fresh servers in each round, interleaved, each warmed by one request of every client."""
    context = -(-load.clients * (load.shared + load.own + load.answer + 64) // 1024) * 1024
    taken: dict[str, list[Answered]] = {ours.name: [], theirs.name: []}
    spent: list[float] = []
    for number in range(rounds):
        for subject in (ours, theirs):
            serving = subject.serving(load.clients, context, shares=load.shared > 0)
            with started(serving) as (process, port):
                clients.run(port, replace(load, requests=load.clients), seed=1000 + number)
                before = main_thread_seconds(process.pid)
                taken[subject.name].append(clients.run(port, load, seed=number))
                if subject is ours:
                    spent.append((main_thread_seconds(process.pid) - before) / (load.requests * load.answer))
    mine, other = (taken[name] for name in (ours.name, theirs.name))
    table.row(f"{load.title}, tok/s", *(median(one.tokens_per_second for one in each) for each in (mine, other)))
    pooled = [[wait for one in each for wait in one.first_tokens] for each in (mine, other)]
    table.row("  first token, median, s", *(median(each) for each in pooled))
    table.row("  first token, 95th percentile, s", *(clients.p95(each) for each in pooled))
    print(f"  text, JSON and HTTP of the bundle, µs of CPU a token: {median(spent) * 1e6:.0f}")
    return {
        name: {
            "tokens_per_second": [one.tokens_per_second for one in each],
            "first_tokens": [one.first_tokens for one in each],
        }
        for name, each in taken.items()
    }
