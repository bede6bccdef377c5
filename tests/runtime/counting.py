"""A model that only counts, for tests of the engine without llama.cpp."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Sequence

from bundler.errors import BundleError
from bundler.runtime.engine.interface import EngineFinish, Job, State
from bundler.runtime.engine.sequence import Piece, Task
from bundler.runtime.request import Sampling

END = 0
RANDOM = Sampling(temperature=0.8)
SEEDED = Sampling(seed=1)


class CountingRunner:
    """After token n comes n + 1; after 99 the end. Checks that it is given every token of a sequence exactly once."""

    def __init__(self) -> None:
        self.state: dict[int, list[int]] = {}
        self.batches: list[list[int]] = []
        self.shifted: list[tuple[int, int, int]] = []
        self.seconds = 0.0
        """A clock: each step takes one."""
        self.failure = ""
        self.gate: threading.Semaphore | None = None
        self.entered = threading.Semaphore(0)
        self.interrupted = threading.Event()
        self.began: set[Task] = set()
        self.closed = False

    def valid(self, tokens: Sequence[int]) -> bool:
        return all(0 <= token < 1000 for token in tokens)

    trims = True

    def keep(self, slot: int, length: int) -> int:
        kept = self.state.setdefault(slot, [])
        assert length <= len(kept)
        del kept[length if self.trims else 0 :]
        return len(kept)

    shifts = True

    def shift(self, slot: int, keep: int, discard: int) -> bool:
        if self.shifts and self.trims:
            del self.state[slot][keep : keep + discard]
            self.shifted.append((slot, keep, discard))
        return self.shifts and self.trims

    def copy(self, source: int, target: int, length: int) -> int:
        assert not self.state.get(target)
        assert length <= len(self.state[source])
        if not self.trims:
            return 0
        self.state[target] = self.state[source][:length]
        return length

    def save(self, slot: int) -> bytes:
        return b"".join(token.to_bytes(2) for token in self.state[slot])

    def restore(self, slot: int, state: State) -> bool:
        assert not self.state.get(slot)
        self.state[slot] = [int.from_bytes(state[at : at + 2]) for at in range(0, len(state), 2)]
        return True

    def begin(self, task: Task) -> None:
        assert task not in self.began
        self.began.add(task)

    def run(self, pieces: Sequence[Piece], beginning: Callable[[], None]) -> list[int | None] | None:
        beginning()
        self.entered.release()
        if self.gate is not None:
            while not self.gate.acquire(timeout=0.01):
                if self.interrupted.is_set():
                    self.interrupted.clear()
                    for piece in pieces:
                        half = piece.tokens[: (len(piece.tokens) + 1) // 2]
                        self.state.setdefault(piece.slot.index, []).extend(half)
                    return None
        if self.failure:
            raise BundleError(self.failure)
        self.seconds += 1
        self.batches.append([len(piece.tokens) for piece in pieces])
        for piece in pieces:
            assert piece.tokens
            state = self.state.setdefault(piece.slot.index, [])
            assert len(state) == piece.position
            state.extend(piece.tokens)
        return [self._next(piece.tokens[-1]) if piece.samples else None for piece in pieces]

    def interrupt(self) -> None:
        self.interrupted.set()

    def is_end(self, token: int) -> bool:
        return token == END

    def end(self, task: Task) -> None:
        self.began.remove(task)

    def close(self) -> None:
        self.closed = True

    @staticmethod
    def _next(token: int) -> int:
        return END if token >= 99 else token + 1


class Answer:
    """Collects what a job hands out."""

    def __init__(self) -> None:
        self.tokens: list[int] = []
        self.ended: queue.Queue[EngineFinish] = queue.Queue()

    def take(self, tokens: list[int], finish: EngineFinish | None) -> None:
        self.tokens.extend(tokens)
        if finish is not None:
            self.ended.put(finish)

    def finish(self) -> EngineFinish:
        return self.ended.get(timeout=20)


def job(prompt: Sequence[int], answer: Answer, max_tokens: int | None = None, sampling: Sampling = RANDOM) -> Job:
    return Job(prompt=prompt, max_tokens=max_tokens, sampling=sampling, on_tokens=answer.take)
