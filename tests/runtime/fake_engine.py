"""A scripted engine and a vocabulary of bytes, for tests of everything above the engine's contract."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from bundler.runtime.engine.interface import (
    EngineClosed,
    EngineFinish,
    EngineReason,
    Handle,
    Job,
    Loaded,
    LoadFacts,
    PromptTooLong,
)

BOS, END = 256, 257


@dataclass
class ByteVocabulary:
    """Token 0 to 255 is that byte; `<s>` and `</s>` are special."""

    size: int = 258
    bos: int = BOS
    eos: int = END
    add_bos: bool = False
    longest_piece: int = len(b"</s>")

    def tokenize(self, text: str, *, add_special: bool, parse_special: bool) -> list[int]:
        tokens = [BOS] if add_special and self.add_bos else []
        while text:
            if parse_special and text.startswith("<s>"):
                tokens.append(BOS)
                text = text.removeprefix("<s>")
            else:
                tokens += text[0].encode()
                text = text[1:]
        return tokens

    def piece(self, token: int, *, special: bool = False) -> bytes:
        if token > 255:
            return {BOS: b"<s>", END: b"</s>"}[token] if special else b""
        return bytes([token])

    def is_end(self, token: int) -> bool:
        return token == END


@dataclass
class ScriptedEngine:
    """Answers every job with the bytes of `answer`, one token at a time, from a thread of its own.

    With `hold`, it stops after the first token until the job is cancelled or the engine closed.
    """

    answer: str = "Hello, world"
    context_length: int = 1000
    parallel: int = 4
    hold: bool = False
    refuse: Exception | None = None
    fail: str = ""
    stuck: str = ""
    """Why the constraint cannot be followed further than the answer."""
    end: EngineReason = "stop"
    """How an answer ends that is told to its last token."""
    jobs: list[Job] = field(default_factory=list)
    finishes: list[EngineFinish] = field(default_factory=list)
    running: list[ScriptedHandle] = field(default_factory=list)
    closed: bool = False

    def submit(self, job: Job) -> Handle:
        if self.refuse:
            raise self.refuse
        if self.closed:
            raise EngineClosed("the server is stopping")
        if len(job.prompt) >= self.context_length:
            raise PromptTooLong(len(job.prompt), self.context_length)
        self.jobs.append(job)
        handle = ScriptedHandle()
        self.running.append(handle)
        threading.Thread(target=self._work, args=(job, handle), daemon=True).start()
        return handle

    def close(self) -> None:
        self.closed = True
        for handle in self.running:
            handle.cancel()

    def prompt(self, at: int = -1) -> str:
        """The prompt of a job as text, special tokens visible."""
        vocabulary = ByteVocabulary()
        return b"".join(vocabulary.piece(token, special=True) for token in self.jobs[at].prompt).decode()

    def _work(self, job: Job, handle: ScriptedHandle) -> None:
        sent = 0
        reason = self.end
        for token in self.answer.encode():
            if self.hold and sent:
                handle.cancelled.wait()
            if handle.cancelled.is_set():
                reason = "cancelled"
                break
            if sent == job.max_tokens:
                reason = "length"
                break
            sent += 1
            job.on_tokens([token], None)
        finish = EngineFinish(
            reason="failed" if self.fail else "constraint" if self.stuck else reason,
            prompt_tokens=len(job.prompt),
            completion_tokens=sent + (reason == "stop"),
            cached_tokens=0,
            prompt_seconds=0.1,
            completion_seconds=0.2,
            error=self.fail or self.stuck,
        )
        self.finishes.append(finish)
        job.on_tokens([], finish)


class ScriptedHandle:
    def __init__(self) -> None:
        self.cancelled = threading.Event()

    def cancel(self) -> None:
        self.cancelled.set()


FACTS = LoadFacts(
    description="scripted",
    parameters=1,
    weights_size=1,
    trained_context=1000,
    context_length=1000,
    context_reason="scripted",
    context_size=1 << 20,
    parallel=4,
    parallel_reason="scripted",
    threads=1,
    threads_reason="scripted",
    load_mode="mapped",
    load_reason="scripted",
    repacked_size=0,
    seconds={},
)


def loaded(engine: ScriptedEngine, vocabulary: ByteVocabulary | None = None) -> Loaded:
    return Loaded(engine=engine, vocabulary=vocabulary or ByteVocabulary(), facts=FACTS)


def until(condition: Callable[[], bool], waiting: Sequence[threading.Event] = ()) -> None:
    """Block until another thread has made `condition` true; fails after ten seconds."""
    for _ in range(1000):
        if condition():
            return
        threading.Event().wait(0.01)
    raise AssertionError("it did not happen")
