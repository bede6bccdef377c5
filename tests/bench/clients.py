"""Many clients of one server: generated tokens a second, and how long each waits for its first token.

A closed loop: each client asks again as soon as its answer is whole. Bounded in requests and in time.
"""

from __future__ import annotations

import asyncio
import json
import random
import time
from collections.abc import Iterator
from dataclasses import dataclass
from statistics import quantiles

from tests.bench.launches import LIMIT

_RANDOM_TOKENS = range(1000, 90000)
"""Ordinary ones in each vocabulary that the bench uses."""


@dataclass(frozen=True)
class Load:
    """What the clients ask for; lengths in tokens."""

    title: str
    clients: int
    requests: int
    """Of all clients together."""
    shared: int
    """Tokens at the beginning that all prompts have in common."""
    own: int
    """Tokens after these that no other prompt has."""
    answer: int


@dataclass(frozen=True)
class Answered:
    """Of one run of a load: tokens a second over all, and each request's seconds to its first token."""

    tokens_per_second: float
    first_tokens: list[float]

    @property
    def slow_first_token(self) -> float:
        """The 95th percentile."""
        return p95(self.first_tokens)


def p95(values: list[float]) -> float:
    """The 95th percentile of at least two values."""
    return quantiles(values, n=20, method="inclusive")[-1]


def run(port: int, load: Load, seed: int) -> Answered:
    """Put the load on a server; the same seed asks the same things.

    Raises:
        RuntimeError: an answer was not what was asked for.
    """
    return asyncio.run(asyncio.wait_for(_run(port, load, seed), LIMIT))


async def _run(port: int, load: Load, seed: int) -> Answered:
    rng = random.Random(seed)
    shared = rng.choices(_RANDOM_TOKENS, k=load.shared)
    prompts = iter([[*shared, *rng.choices(_RANDOM_TOKENS, k=load.own)] for _ in range(load.requests)])
    begin = time.perf_counter()
    waits = await asyncio.gather(*(_client(port, prompts, load.answer) for _ in range(load.clients)))
    seconds = time.perf_counter() - begin
    return Answered(load.requests * load.answer / seconds, [wait for each in waits for wait in each])


async def _client(port: int, prompts: Iterator[list[int]], answer: int) -> list[float]:
    return [await ask(port, prompt, answer) for prompt in prompts]


async def ask(port: int, prompt: list[int], answer: int) -> float:
    """Have exactly `answer` tokens generated; the seconds until the first of them.

    Raises:
        RuntimeError: the answer had another length, or an error came.
    """
    body = json.dumps(
        {
            "prompt": prompt,
            "max_tokens": answer,
            "temperature": 0,
            "ignore_eos": True,
            "stream": True,
            "stream_options": {"include_usage": True},
        }
    ).encode()
    head = (
        f"POST /v1/completions HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nContent-Type: application/json\r\n"
        f"Content-Length: {len(body)}\r\nConnection: close\r\n\r\n"
    )
    begin = time.perf_counter()
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        writer.write(head.encode() + body)
        first, last = 0.0, b""
        async for line in reader:
            if not line.startswith(b"data: {"):
                last = last or line
                continue
            first = first or time.perf_counter()
            if b'"usage":{' in line or b'"usage": {' in line:
                last = line
        if not first or json.loads(last[6:])["usage"]["completion_tokens"] != answer:
            raise RuntimeError(f"an answer was not what was asked for: {last[:300]!r}")
        return first - begin
    finally:
        writer.close()
