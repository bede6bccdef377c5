"""Asks the guide the held-out questions over the HTTP API and prints its scores: by section, then by topic.

`python evaluate.py --url http://127.0.0.1:11434` talks to any server with the OpenAI dialect, greedily, with the SYSTEM
line of the Modelfile where a case has none of its own, as a bundle does. The questions are in questions_held_out.toml;
their wordings are in no training text.
"""

from __future__ import annotations

import argparse
import json
import re
import tomllib
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from facts import HERE, Topic, holds, topics

Ask = Callable[[Sequence[dict[str, str]]], str]

_QUESTION = "question"


@dataclass(frozen=True)
class Case:
    """One question in its context, and what the answer must hold."""

    kind: str
    """`question` for one that stands alone, else what the conversation is about: `follow-up`, `system line`, …"""
    topic: str
    """Empty where the answer is no topic's."""
    messages: tuple[dict[str, str], ...]
    right: tuple[tuple[str, ...], ...]
    """Sets of entries; an answer is right that holds all entries of one set."""
    unseen: bool = False
    """Whether nobody looked at it while the corpus was written."""

    @property
    def section(self) -> str:
        """What its score is counted with."""
        return f"{self.kind}, {'unseen' if self.unseen else 'held out'}"

    def is_right(self, said: str) -> bool:
        """Whether the answer holds what it must."""
        return any(holds(said, entries) for entries in self.right)


def cases() -> list[Case]:
    """All held-out cases: single questions by topic, then conversations."""
    table = tomllib.loads((HERE / "questions_held_out.toml").read_text(encoding="utf-8"))
    known = topics()
    singles = [
        Case(
            _QUESTION,
            name.split("|")[0],
            ({"role": "user", "content": question},),
            tuple(known[one].right for one in name.split("|")),
            section == "unseen",
        )
        for section in ("topics", "unseen")
        for name, questions in table[section].items()
        for question in questions
    ]
    return [*singles, *(_conversation(entry, known) for entry in table["conversations"])]


def _conversation(entry: dict[str, Any], known: dict[str, Topic]) -> Case:
    messages = [{"role": "system", "content": entry["system"]}] if "system" in entry else []
    for number, turn in enumerate(entry["turns"]):
        text = known[turn[1:]].answer if number % 2 and turn.startswith("@") else turn
        messages.append({"role": "assistant" if number % 2 else "user", "content": text})
    right = tuple(entry["right"]) if "right" in entry else known[entry["topic"]].right
    return Case(entry["kind"], entry.get("topic", ""), tuple(messages), (right,), entry.get("unseen", False))


def held_out() -> list[str]:
    """The wordings that training must not contain: those of the topics' single questions."""
    return [case.messages[0]["content"] for case in cases() if case.kind == _QUESTION]


def system_line() -> str:
    """What a bundle of the guide says to its model before every chat: SYSTEM in the Modelfile."""
    found = re.search(r"^SYSTEM (.+)$", (HERE.parent / "Modelfile").read_text(encoding="utf-8"), re.MULTILINE)
    return found[1] if found else ""


def evaluate(ask: Ask, workers: int = 4) -> dict[str, Any]:
    """Asks everything; the result has the score of each section and topic, and the wrong answers.

    A score is {"right", "asked"}; `share` and `share_unseen` are those of single questions, from 0 to 1.
    """
    asked = cases()
    own = [{"role": "system", "content": system_line()}]
    whole = [list(case.messages) if case.messages[0]["role"] == "system" else [*own, *case.messages] for case in asked]
    with ThreadPoolExecutor(workers) as pool:
        answers = list(pool.map(ask, whole))
    outcomes = [(case, case.is_right(said)) for case, said in zip(asked, answers, strict=True)]
    singles = [(case, right) for case, right in outcomes if case.kind == _QUESTION]
    return {
        "share": _share(singles),
        "share_unseen": _share([(case, right) for case, right in singles if case.unseen]),
        "sections": dict(_scores(outcomes, lambda case: case.section)),
        "topics": dict(sorted(_scores(singles, lambda case: case.topic))),
        "topics_unseen": dict(sorted(_scores([one for one in singles if one[0].unseen], lambda case: case.topic))),
        "wrong": [
            {"section": case.section, "topic": case.topic, "messages": list(case.messages), "said": said}
            for (case, right), said in zip(outcomes, answers, strict=True)
            if not right
        ],
    }


def _scores(
    outcomes: Sequence[tuple[Case, bool]], group: Callable[[Case], str]
) -> Iterator[tuple[str, dict[str, int]]]:
    for name in dict.fromkeys(group(case) for case, _ in outcomes):
        found = [right for case, right in outcomes if group(case) == name]
        yield name, {"right": sum(found), "asked": len(found)}


def _share(outcomes: Sequence[tuple[Case, bool]]) -> float:
    return round(sum(right for _, right in outcomes) / len(outcomes), 4)


def table(result: dict[str, Any], *, wrong: bool = False) -> str:
    """The scores of `evaluate` for people; with `wrong` also what was answered wrongly."""
    lines = [f"{'section':26} {'right':>7} {'asked':>7} {'share':>8}"]
    for name, score in result["sections"].items():
        lines.append(f"{name:26} {score['right']:7} {score['asked']:7} {score['right'] / score['asked']:8.1%}")
    lines += ["", f"{'topic (single questions)':26} {'unseen':>7} {'all':>7} {'share':>8}"]
    for name, score in result["topics"].items():
        unseen = result["topics_unseen"].get(name)
        of_unseen = f"{unseen['right']}/{unseen['asked']}" if unseen else "-"
        of_all = f"{score['right']}/{score['asked']}"
        lines.append(f"{name:26} {of_unseen:>7} {of_all:>7} {score['right'] / score['asked']:8.1%}")
    for entry in result["wrong"] if wrong else ():
        asked = " / ".join(message["content"] for message in entry["messages"])
        lines += ["", f"{entry['section']} {entry['topic']}: {asked}", f"  -> {entry['said']}"]
    return "\n".join(lines)


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
    parser.add_argument("--json", action="store_true", help="print JSON for scripts, with the wrong answers")
    parser.add_argument("--wrong", action="store_true", help="also print what was answered wrongly")
    parser.add_argument("--out", type=Path, help="also write the JSON to a file, for example to evaluation.json")
    chosen = parser.parse_args()
    result = evaluate(over_http(chosen.url))
    text = json.dumps(result, indent=1, ensure_ascii=False)
    print(text if chosen.json else table(result, wrong=chosen.wrong))
    if chosen.out:
        chosen.out.write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
