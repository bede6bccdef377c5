"""Whether a server's private memory grows over thousands of requests."""

from __future__ import annotations

from pathlib import Path

from tests.bench import clients, subjects
from tests.bench.clients import Load
from tests.bench.launches import memory, started

REQUESTS = 10_000
_EACH = 250


def bench(model: str, folder: Path, rounds: int) -> dict[str, object]:
    """Send short requests of eight clients, some with beginnings in common; prints private memory on the way."""
    ours, _ = subjects.bundle(model, folder)
    sizes: dict[int, int] = {}
    with started(ours.serving(8, 4096, shares=True)) as (process, port):
        for sent in range(_EACH, REQUESTS + 1, _EACH):
            shared = sent // _EACH % 5 * 60
            clients.run(port, Load("growth", clients=8, requests=_EACH, shared=shared, own=12, answer=4), seed=sent)
            sizes[sent] = memory(process.pid)["Anon"]
    shown = {sent: size for sent, size in sizes.items() if sent in (_EACH, REQUESTS // 4, REQUESTS // 2, REQUESTS)}
    told = ", ".join(f"{size / (1 << 20):.1f} after {sent:,}" for sent, size in shown.items())
    print(f"private memory, MiB: {told}")
    return {"private": sizes}
