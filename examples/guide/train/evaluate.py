"""Asks the guide the held-out questions over the HTTP API and prints the score of each topic.

`python evaluate.py --url http://127.0.0.1:11434` talks to any server with the OpenAI dialect, greedily. The questions
are in questions_held_out.toml; their wordings are in no training text.
"""

from __future__ import annotations

import argparse
import json
import tomllib
import urllib.request
from collections import defaultdict
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from facts import HERE, holds, topics

Ask = Callable[[Sequence[dict[str, str]]], str]


@dataclass(frozen=True)
class Case:
    """One question in its context, and what the answer must hold."""

    topic: str
    messages: tuple[dict[str, str], ...]
    right: tuple[str, ...]
    unseen: bool = False
    """Whether it was never looked at while the corpus was written."""

    def is_right(self, said: str) -> bool:
        """Whether the answer holds every entry of `right`."""
        return holds(said, self.right)


def cases() -> list[Case]:
    """All held-out cases: single questions by topic, then conversations."""
    table = tomllib.loads((HERE / "questions_held_out.toml").read_text(encoding="utf-8"))
    known = topics()
    found = [
        Case(name, ({"role": "user", "content": question},), known[name].right, section == "unseen")
        for section in ("topics", "unseen")
        for name, questions in table[section].items()
        for question in questions
    ]
    for entry in table["conversations"]:
        messages = [{"role": "system", "content": entry["system"]}] if "system" in entry else []
        for number, turn in enumerate(entry["turns"]):
            messages.append({"role": "assistant" if number % 2 else "user", "content": turn})
        right = tuple(entry["right"]) if "right" in entry else known[entry["topic"]].right
        found.append(Case(entry["kind"], tuple(messages), right))
    return found


def held_out() -> list[str]:
    """The wordings that training must not contain: those of the topics' single questions."""
    return [case.messages[-1]["content"] for case in cases() if len(case.messages) == 1]


def evaluate(ask: Ask, workers: int = 4) -> dict[str, object]:
    """Asks everything; the result has the shares that were right, the score of each topic and the wrong answers."""
    asked = cases()
    with ThreadPoolExecutor(workers) as pool:
        answers = list(pool.map(lambda case: ask(case.messages), asked))
    outcomes = [case.is_right(said) for case, said in zip(asked, answers, strict=True)]
    by_topic: dict[str, list[bool]] = defaultdict(list)
    for case, is_right in zip(asked, outcomes, strict=True):
        by_topic[case.topic].append(is_right)
    return {
        "questions": len(asked),
        "right": sum(outcomes),
        "share": _share(outcomes),
        "share_unseen": _share([is_right for case, is_right in zip(asked, outcomes, strict=True) if case.unseen]),
        "topics": {name: f"{sum(found)}/{len(found)}" for name, found in sorted(by_topic.items())},
        "wrong": [
            {"topic": case.topic, "unseen": case.unseen, "messages": list(case.messages), "said": said}
            for case, said, is_right in zip(asked, answers, outcomes, strict=True)
            if not is_right
        ],
    }


def _share(outcomes: Sequence[bool]) -> float:
    return round(sum(outcomes) / len(outcomes), 4)


def over_http(url: str) -> Ask:
    """A way to ask the server at `url`, with temperature 0 and at most 120 tokens."""

    def ask(messages: Sequence[dict[str, str]]) -> str:
        body = {"model": "default", "messages": list(messages), "temperature": 0, "max_tokens": 120}
        request = urllib.request.Request(  # noqa: S310 - the address is the user's own
            f"{url.rstrip('/')}/v1/chat/completions",
            json.dumps(body).encode(),
            {"Content-Type": "application/json"},
        )
        with urllib.request.urlopen(request, timeout=120) as response:  # noqa: S310 - as above
            said: str = json.load(response)["choices"][0]["message"]["content"]
        return said

    return ask


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--url", default="http://127.0.0.1:11434")
    parser.add_argument("--out", type=Path, help="also write the result as JSON, for example to evaluation.json")
    chosen = parser.parse_args()
    result = evaluate(over_http(chosen.url))
    text = json.dumps(result, indent=1)
    print(text)
    if chosen.out:
        chosen.out.write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
