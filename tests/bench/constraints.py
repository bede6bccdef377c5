"""What it costs an answer to keep to JSON, to a JSON schema or to a grammar: one stream, with and without.

Two cases: a model whose own choice is always allowed, which is what a trained one asked for JSON comes near to, and
the worst case, in which nothing that the model would say is allowed.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from statistics import median

from tests.bench import proposing, subjects
from tests.bench.launches import cpu_seconds, started, stream
from tests.bench.subjects import Subject

TOKENS = {"80mb": 256, "1b": 64}
"""Of each answer."""
FREE = "no constraint"
_DIGITS = "[0-9]{1900}"
HITS: dict[str, dict[str, object]] = {
    "any JSON object": {"json_schema": {"type": "object"}},
    "JSON of a schema": {"json_schema": proposing.SCHEMA},
    "a grammar": {"grammar": proposing.GRAMMAR},
}
"""What the model says by itself."""
MISSES: dict[str, dict[str, object]] = {
    "a schema, never met": {"json_schema": {"type": "string", "pattern": f"^{_DIGITS}$"}},
    "a grammar, never met": {"grammar": f"root ::= {_DIGITS}"},
}
_PROMPT = [*range(1000, 1024)]


@dataclass
class Taken:
    """Of one constraint, in each round."""

    tokens_per_second: list[float] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)
    """Of CPU that the server spent on a token."""


def bench(model: str, folder: Path, rounds: int) -> dict[str, object]:
    """Tokens a second of one model under each constraint, and their ratio to those of none; prints them."""
    weights, name = proposing.model(model), f"{model}-json"
    ours, _ = subjects.bundle(name, folder, weights=weights)
    theirs = subjects.llama_server(name, folder, weights=weights)
    both = [_threaded(each) for each in (ours, theirs)]
    taken = {each.name: {title: Taken() for title in (FREE, *HITS, *MISSES)} for each in both}
    for _ in range(rounds):
        for subject in both:
            _round(subject, TOKENS[model], taken[subject.name])
    for subject in both:
        _print(subject.name, taken[subject.name])
    return {name: {title: asdict(one) for title, one in each.items()} for name, each in taken.items()}


def _threaded(subject: Subject) -> Subject:
    """As many threads as there are processors for both, which count them in different ways."""
    return replace(subject, command=[*subject.command, "--threads", str(len(os.sched_getaffinity(0)))])


def _round(subject: Subject, tokens: int, taken: Mapping[str, Taken]) -> None:
    """One answer under each constraint of one server; a first one of each is not counted."""
    asked = {FREE: {}, **HITS, **MISSES}
    with started(subject) as (process, port):
        for title, form in asked.items():
            body = {"prompt": _PROMPT, "temperature": 0, **form}
            stream(port, "/v1/completions", body, 4)
            before = cpu_seconds(process.pid)
            answer = stream(port, "/v1/completions", body, tokens)
            taken[title].seconds.append((cpu_seconds(process.pid) - before) / tokens)
            taken[title].tokens_per_second.append(answer.tokens_per_second)
            if (title in MISSES) == proposing.SAID.startswith(answer.text[:40]):
                raise RuntimeError(f"{subject.name}, {title}: the answer was {answer.text[:200]!r}")


def _print(name: str, taken: Mapping[str, Taken]) -> None:
    free = taken[FREE]
    print(f"{f'{name}: answers that keep to':40}{'tok/s':>12}{'ratio':>8}{'CPU ms/token':>18}{'ratio':>8}")
    for title, one in taken.items():
        rates = median(one.tokens_per_second), _ratio(one.tokens_per_second, free.tokens_per_second)
        costs = median(one.seconds) * 1e3, _ratio(free.seconds, one.seconds)
        print(f"  {title:38}{rates[0]:12.1f}{rates[1]:8.2f}{costs[0]:18.2f}{costs[1]:8.2f}")


def _ratio(mine: Sequence[float], other: Sequence[float]) -> float:
    """The median of those of the rounds."""
    return median([each / beside for each, beside in zip(mine, other, strict=True)])
