"""Wordings of questions: those written by hand in wordings.txt, and what the grammar in questions.txt makes.

Those of the evaluation are left out.
"""

from __future__ import annotations

import random
import re
import tomllib
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from facts import HERE
from grammar import Node, Phrases, parse
from noise import spoil

_SLOT = "\x00"
_GERUND_SLOT = "\x01"
_QUOTED_SHARE = 0.3
_BY_HAND_SHARE = 0.92
_CONTEXT_SHARE = 0.16
_OTHER_WORD_SHARE = 0.35
"""Of the questions written by hand: one word is replaced by one that means the same."""
_DOUBLED = {
    *("run", "put", "set", "get", "stop", "quit", "cut", "let", "begin", "swap", "wrap", "shut", "plug", "grab"),
    *("chat", "unzip", "ship", "forbid", "transfer"),
}


@dataclass(frozen=True)
class Wording:
    """A phrase, and the frames that may stand around it (none: it is a whole question)."""

    phrase: Node
    frames: tuple[Node, ...]
    is_error: bool
    weight: float


class Questions:
    """Draws questions on a topic, spoilt as people spoil them."""

    def __init__(self, rng: random.Random, lexicon: dict[str, list[str]], held_out: Iterable[str]) -> None:
        self._rng = rng
        self._lexicon = lexicon
        self._held_out = {plain(text) for text in held_out}
        self._by_hand = _lines((HERE / "wordings.txt").read_text(encoding="utf-8"))
        groups: list[list[str]] = tomllib.loads((HERE / "synonyms.toml").read_text(encoding="utf-8"))["groups"]
        self._meaning: dict[str, list[str]] = {}
        for group in groups:
            for word in group:
                self._meaning.setdefault(word, []).extend(other for other in group if other != word)
        longest_first = sorted(self._meaning, key=len, reverse=True)
        self._replaceable = re.compile(rf"(?<![\w./-])(?:{'|'.join(longest_first)})(?![\w/-])", re.IGNORECASE)
        sections = _sections((HERE / "questions.txt").read_text(encoding="utf-8"))
        classes = {name: parse(text) for name, text in sections.pop("classes")}
        classes |= {name: parse("|".join(map(_escape, words))) for name, words in lexicon.items()}
        self._phrases = Phrases(classes)
        frames: dict[str, list[Node]] = {}
        for kind, text in sections.pop("frames"):
            frames.setdefault(kind, []).append(parse(text.replace("<x>", _SLOT).replace("<ing>", _GERUND_SLOT)))
        self._wordings = {
            topic: [self._wording(kind, text, frames) for kind, text in lines] for topic, lines in sections.items()
        }

    @property
    def topics(self) -> set[str]:
        """The topics that have wordings."""
        return set(self._wordings) | set(self._by_hand)

    def on(self, topic: str, *, plainly: bool = False) -> str:
        """A question on the topic; `plainly` without a context before or after it and without typos."""
        by_hand, wordings = self._by_hand.get(topic, ()), self._wordings.get(topic, ())

        def write() -> str:
            if by_hand and (not wordings or self._rng.random() < _BY_HAND_SHARE):
                text = self._with_another_word(self._rng.choice(by_hand))
            else:
                text = self._framed(self._rng.choices(wordings, [each.weight for each in wordings])[0])
            return spoil(text if plainly else self._in_context(text), self._rng, carelessly=not plainly)

        return self._allowed(write)

    def of(self, phrase: Node) -> str:
        """A question that the phrase makes."""
        return self._allowed(lambda: spoil(self.draw(phrase), self._rng))

    def draw(self, phrase: Node) -> str:
        """One sentence of the phrase, as it stands."""
        return self._phrases.draw(phrase, self._rng)

    def _allowed(self, write: Callable[[], str]) -> str:
        while plain(text := write()) in self._held_out:
            continue
        return text

    def _framed(self, wording: Wording) -> str:
        text = self.draw(wording.phrase)
        if wording.is_error and self._rng.random() < _QUOTED_SHARE:
            text = f'"{text}"'
        if wording.frames:
            weights = [self._phrases.variety(frame) ** 0.5 for frame in wording.frames]
            frame = self.draw(self._rng.choices(wording.frames, weights)[0])
            text = frame.replace(_SLOT, text).replace(_GERUND_SLOT, gerund(text))
        return " ".join(text.replace(" ,", ",").split())

    def _with_another_word(self, text: str) -> str:
        if self._rng.random() >= _OTHER_WORD_SHARE:
            return text
        found = [match for match in self._replaceable.finditer(text) if match[0].lower() in self._meaning]
        if not found:
            return text
        match = self._rng.choice(found)
        other = self._rng.choice(self._meaning[match[0].lower()])
        return text[: match.start()] + other + text[match.end() :]

    def _in_context(self, text: str) -> str:
        draw = self._rng.random()
        if draw < _CONTEXT_SHARE:
            text = self._rng.choice(self._lexicon["before"]) + text
        if _CONTEXT_SHARE / 2 < draw < _CONTEXT_SHARE * 1.25:
            text += self._rng.choice(self._lexicon["after"])
        return text

    def _wording(self, kind: str, text: str, frames: dict[str, list[Node]]) -> Wording:
        if kind != "q" and kind not in frames:
            raise ValueError(f"unknown kind of question: {kind}: {text}")
        phrase = parse(text)
        weight = self._phrases.variety(phrase) ** 0.4 * (1.0 if kind == "q" else 6.0)
        return Wording(phrase, tuple(frames.get(kind, ())), kind == "err", weight)


def plain(text: str) -> str:
    """The text without case, punctuation and doubled spaces: what counts as the same wording."""
    return " ".join(re.sub(r"[^a-z0-9 ]", " ", text.lower()).split())


def gerund(act: str) -> str:
    """The act with its verb, the first word, in the -ing form."""
    verb, _, rest = act.partition(" ")
    if verb.endswith("e") and not verb.endswith(("ee", "be")):
        verb = verb[:-1]
    elif verb in _DOUBLED:
        verb += verb[-1]
    return f"{verb}ing {rest}".strip()


def _sections(text: str) -> dict[str, list[tuple[str, str]]]:
    found: dict[str, list[tuple[str, str]]] = {}
    current: list[tuple[str, str]] = []
    for line in text.splitlines():
        if heading := re.fullmatch(r"\[([a-z_0-9]+)\]", line):
            current = found.setdefault(heading[1], [])
        elif line.strip() and not line.startswith("#"):
            kind, _, phrase = line.partition(": ")
            current.append((kind, phrase))
    return found


def _lines(text: str) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for line in text.splitlines():
        if heading := re.fullmatch(r"\[([a-z_0-9]+)\]", line):
            current = found.setdefault(heading[1], [])
        elif line.strip() and not line.startswith("#"):
            current.append(line.strip())
    return found


def _escape(word: str) -> str:
    return word.translate(str.maketrans("", "", "()[]|<>"))
