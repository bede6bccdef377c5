"""What our own Python costs a token: the engine's over a runner that computes nothing, and the event loop's."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path

from bundler.runtime.engine.cache import Cache
from bundler.runtime.engine.engine import RunningEngine
from bundler.runtime.engine.interface import Job, State
from bundler.runtime.engine.scheduler import Scheduler
from bundler.runtime.engine.sequence import Piece, Task
from tests.bench.streamed import KINDS, seconds_per_token

_PROMPT, _ANSWER = 137, 1000


class _Nothing:
    """A runner and a memory that answer at once."""

    trims = True

    def valid(self, tokens: Sequence[int]) -> bool:
        return True

    def keep(self, slot: int, length: int) -> int:
        return length

    def shift(self, slot: int, keep: int, discard: int) -> bool:
        return False

    def copy(self, source: int, target: int, length: int) -> int:
        return length

    def save(self, slot: int) -> State | None:
        return None

    def restore(self, slot: int, state: State) -> bool:
        return False

    def begin(self, task: Task) -> None:
        pass

    def run(self, pieces: Sequence[Piece], beginning: Callable[[], None]) -> list[int | None]:
        beginning()
        return [5 if piece.samples else None for piece in pieces]

    def interrupt(self) -> None:
        pass

    def is_end(self, token: int) -> bool:
        return False

    def end(self, task: Task) -> None:
        pass

    def close(self) -> None:
        pass


def bench(model: str, folder: Path, rounds: int) -> dict[str, object]:
    """Microseconds of CPU a token, for 1, 8 and 32 sequences, and for 1 and 8 streams; prints them."""
    found = {sequences: min(_once(sequences) for _ in range(rounds)) * 1e6 for sequences in (1, 8, 32)}
    told = ", ".join(f"{cost:.1f} with {sequences}" for sequences, cost in found.items())
    print(f"the engine's own Python, µs of CPU a token: {told} sequences")
    loop = {
        kind: {streams: min(seconds_per_token(kind, streams) for _ in range(rounds)) * 1e6 for streams in (1, 8)}
        for kind in KINDS
    }
    for kind, costs in loop.items():
        told = ", ".join(f"{cost:.1f} with {streams}" for streams, cost in costs.items())
        print(f"text, JSON and HTTP of streamed {kind}, µs of CPU a token: {told} streams")
    return {"microseconds": found, "streamed": loop}


def _once(sequences: int) -> float:
    device = _Nothing()
    cache = Cache(device, slots=sequences, cells=sequences * 2048)
    scheduler = Scheduler(cache, parallel=sequences, context_length=2048, queue=sequences)
    engine = RunningEngine(device, scheduler)
    begin = time.process_time()
    for number in range(sequences):
        prompt = [number * 1000 + token for token in range(_PROMPT)]
        engine.submit(Job(prompt=prompt, max_tokens=_ANSWER, on_tokens=lambda new, finish: None))
    while scheduler.busy:
        time.sleep(0.001)
    seconds = time.process_time() - begin
    engine.close()
    return seconds / (sequences * _ANSWER)
