"""What a chat template writes around messages, found out by rendering conversations whose words are known.

Two templates with the same frame make the same prompts of plain conversations, however they are written. Knows neither
Go nor Jinja: whoever calls brings the function that renders.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from bundler.errors import BundleError

Messages = list[dict[str, str]]
Render = Callable[[Messages], str]

_SYSTEM, _QUESTION, _ANSWER, _LAST = "Herons nest here", "Kestrels hover where", "Ospreys dive when", "Plovers call why"
_TALK: Messages = [
    {"role": "user", "content": _QUESTION},
    {"role": "assistant", "content": _ANSWER},
    {"role": "user", "content": _LAST},
]
_WORDS = re.compile("(" + "|".join((_SYSTEM, _QUESTION, _ANSWER, _LAST)) + ")")
_THINKING = re.compile(r"</?think>|<\|channel>thought|<channel\|>")


@dataclass(frozen=True, slots=True)
class Frame:
    """The texts before, between and after a question, its answer, and a second question."""

    opening: str
    answer: str
    turn: str
    """Between an answer and the next question: whatever a model writes to end its turn stands here."""
    prompt: str
    """After the last question, where the model goes on."""
    system: str = ""
    """Between a system message and the question after it; empty where the template shows no such message."""


def frame(render: Render) -> Frame | None:
    """The frame of the template that `render` renders with; None where it does not show each message once, in order.

    Raises:
        BundleError: the template does not work.
    """
    pieces = _WORDS.split(render(_TALK))
    if pieces[1::2] != [_QUESTION, _ANSWER, _LAST]:
        return None
    opening, answer, turn, prompt = pieces[::2]
    return Frame(opening, answer, turn, prompt, _after_system(render))


def matching(known: Mapping[str, Frame], wanted: Frame) -> list[str]:
    """Names of the frames whose turns look like those of `wanted`, the most alike first, else in the order of `known`.

    White space and marks of thinking make no other format, nor does what stands before the first question: that is
    where templates put a system prompt of their own.
    """
    turns = _turns(wanted)
    found = [name for name, other in known.items() if _turns(other) == turns]
    return sorted(found, key=lambda name: (known[name] != wanted, known[name].system != wanted.system))


def _after_system(render: Render) -> str:
    try:
        pieces = _WORDS.split(render([{"role": "system", "content": _SYSTEM}, _TALK[0]]))
    except BundleError:
        return ""
    return pieces[2] if pieces[1::2] == [_SYSTEM, _QUESTION] else ""


def _turns(frame: Frame) -> Frame:
    answer, turn, prompt = (
        " ".join(_THINKING.sub("", text).split()) for text in (frame.answer, frame.turn, frame.prompt)
    )
    return Frame("", answer, turn, prompt)
