"""Composes the training conversations: topics asked in many wordings, follow-ups, and SYSTEM lines that are obeyed.

Everything comes from the text files beside this one and a seeded random generator. It knows no tokens;
`python corpus.py [SEED]` prints a sample.
"""

from __future__ import annotations

import random
import re
import sys
import tomllib
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import Any

from facts import HERE, Topic, topics
from grammar import Node, parse
from manner import Manner, Manners, insert
from questions import Questions

_META = ("more", "shorter", "again", "sure")
_SMALL_TALK = (
    *("hello", "how_are_you", "who", "can", "thanks", "bye", "ok", "praise", "complaint"),
    *("human", "size", "languages", "made", "feelings", "learn", "unclear"),
)
_SMALL_TALK_SHARE = 0.6
_SHARES = {
    "unknown": 8.0, "arithmetic": 2.0, "unknown_tool": 2.5, "bundle": 4.0, "build": 3.0, "modelfile": 2.0,
    "start": 1.6, "gpu": 1.5, "usb": 1.3, "api": 1.3, "python": 1.3, "who": 1.0, "hello": 1.0, "port": 2.0,
}  # fmt: skip
_SHORT_ANSWERS = ("hello", "who", "thanks", "ok", "praise", "bye", "how_are_you", "feelings")
_AS_IS = ("unclear", "arithmetic")
_DEFAULT_PORT = "11434"
_WITH_DEFAULT_LINE = 0.35
_REPEATING_SHARE = 0.08
"""Of the questions: to say some words again. All that a SYSTEM line asks for rests on copying."""


@dataclass(frozen=True)
class Message:
    """Role and text of one message."""

    role: str
    text: str


@dataclass
class Conversation:
    """Messages, system first where there is one; the assistant's are what is learnt.

    `whole` says that the end of each answer matters, so that none may be cut; `copies`, that an answer says words of a
    question or of the SYSTEM line again.
    """

    messages: list[Message] = field(default_factory=list)
    topics: list[str] = field(default_factory=list)
    """Of each answer in turn the topic; empty where it has none."""
    whole: bool = False
    copies: bool = False

    def add(self, question: str, answer: str, topic: str = "") -> None:
        """A question and its answer."""
        self.messages += [Message("user", question), Message("assistant", answer)]
        self.topics.append(topic)


class Corpus:
    """Draws conversations without end; the same seed draws the same ones."""

    def __init__(self, seed: int, held_out: Iterable[str] = ()) -> None:
        self.rng = random.Random(seed)  # noqa: S311 - training data, no secret
        self.single_share = 0.0
        """Of the conversations: those of one question, without a SYSTEM line that asks for anything."""
        self.obeying_share = 0.0
        """Of the other conversations: those whose SYSTEM line is drawn until it asks for something."""
        self._topics = topics()
        self._lexicon: dict[str, list[str]] = _toml("lexicon.toml")
        self._lines = _toml("dialogue.toml")
        self._questions = Questions(self.rng, self._lexicon, held_out)
        self._manners = Manners(self.rng, self._lexicon, self._lines)
        self._follow: dict[str, list[tuple[Node, str]]] = {}
        for entry in self._lines["follow"]:
            for before in entry["after"]:
                self._follow.setdefault(before, []).append((parse(entry["ask"]), entry["to"]))
        odd = set(self._topics) ^ (self._questions.topics - set(_META))
        if odd:
            raise ValueError(f"topics without questions, or questions without a topic: {sorted(odd)}")
        self._names = list(self._topics)
        self._shares = [_SHARES.get(name, _SMALL_TALK_SHARE if name in _SMALL_TALK else 1.0) for name in self._names]

    def conversation(self) -> Conversation:
        """One conversation of one to eight questions."""
        rng = self.rng
        if rng.random() < self.single_share:
            line = self._lines["system_default"] if rng.random() < _WITH_DEFAULT_LINE else ""
            single = Conversation([Message("system", line)] if line else [])
            self._topic(single, Manner(line=line))
            return single
        manner = self._manners.draw()
        obeys = rng.random() < self.obeying_share
        while obeys and not manner.asks:
            manner = self._manners.draw()
        talk = Conversation(
            [Message("system", manner.line)] if manner.line else [],
            whole=bool(manner.end or manner.fact or manner.brief),
            copies=manner.asks,
        )
        before, told_name = "", ""
        for _ in range(1 if rng.random() < 0.78 else rng.choice((2, 2, 2, 3, 3, 4, 6))):
            draw = rng.random()
            if manner.fact and draw < 0.7:
                self._ask(talk, manner, parse(manner.fact_asked), manner.fact)
                before = ""
            elif draw > 1 - _REPEATING_SHARE:
                words = self._manners.words()
                ask = self._questions.draw(parse(self._lines["repeat"]))
                talk.add(f"{ask} {words}", manner.say(words))
                talk.copies = True
                before = ""
            elif draw < 0.02 or (told_name and draw < 0.2):
                told_name = self._talk_of_names(talk, manner, told_name)
                before = ""
            elif before and draw < 0.5:
                before = self._follow_up(talk, manner, before)
            else:
                before = self._topic(talk, manner)
        return talk

    def _topic(self, talk: Conversation, manner: Manner) -> str:
        name = self.rng.choices(self._names, self._shares)[0]
        if (manner.name or manner.role) and self.rng.random() < 0.5:
            name = self.rng.choice(("hello", "who", "who"))
        elif manner.asks and self.rng.random() < 0.4:
            name = self.rng.choice(_SHORT_ANSWERS)
        question = self._questions.on(name, plainly=name in _AS_IS)
        if name == "port":
            question = self._with_another_port(question)
        topic = _with_port_of(question, self._topics[name])
        if topic is not self._topics[name]:
            talk.copies = talk.whole = True
        talk.add(question, manner.answer(topic), name)
        return name

    def _with_another_port(self, question: str) -> str:
        return re.sub(r"\b(?!11434)\d{4,5}\b", str(self.rng.randint(1024, 65535)), question)

    def _follow_up(self, talk: Conversation, manner: Manner, before: str) -> str:
        rng = self.rng
        draw = rng.random()
        if before in self._follow and draw < 0.65:
            ask, to = rng.choice(self._follow[before])
            talk.add(self._questions.of(ask), manner.answer(self._topics[to]), to)
            return to
        if draw > 0.9:
            name = rng.choice(("thanks", "ok", "praise", "complaint"))
            talk.add(self._questions.on(name), manner.answer(self._topics[name]), name)
            return before
        meta = rng.choice(_META)
        said = self._on_meta(meta, self._topics[before], manner)
        if meta == "more" and talk.messages[-1].text == manner.say(said):
            said = self._lines["after_all"]
        talk.add(self._questions.on(meta), manner.say(said))
        return before

    def _on_meta(self, meta: str, topic: Topic, manner: Manner) -> str:
        match meta:
            case "more":
                return topic.more
            case "again" if not manner.brief:
                return topic.answer
            case "sure":
                return f"Yes. {topic.short}"
            case _:
                return topic.short

    def _talk_of_names(self, talk: Conversation, manner: Manner, told: str) -> str:
        rng, lines = self.rng, self._lines
        talk.copies = True
        if not told and rng.random() < 0.75:
            told = self._manners.name()
            telling = self._questions.draw(parse(lines["tell_name"])) + f" {told}"
            typed = telling if rng.random() < 0.3 else telling[0].upper() + telling[1:] + rng.choice((".", "", "!"))
            talk.add(typed, manner.say(insert(lines["name_told"], {"name": told})))
        elif not manner.fact.startswith("Your name"):
            answer = insert(lines["name_recalled"], {"name": told}) if told else lines["name_unknown"]
            self._ask(talk, manner, parse(lines["ask_name"]), answer)
        return told

    def _ask(self, talk: Conversation, manner: Manner, ask: Node, answer: str) -> None:
        talk.add(self._questions.of(ask), manner.say(answer))


def _with_port_of(question: str, topic: Topic) -> Topic:
    asked = re.search(r"\b(\d{2,5})\b", question)
    if topic.name != "port" or not asked or asked[1] == _DEFAULT_PORT:
        return topic
    answer, short = (text.replace("8080", asked[1]) for text in (topic.answer, topic.short))
    return replace(topic, answer=answer, short=short)


def _toml(name: str) -> dict[str, Any]:
    return tomllib.loads((HERE / name).read_text(encoding="utf-8"))


if __name__ == "__main__":
    corpus = Corpus(seed=int(sys.argv[1]) if len(sys.argv) > 1 else 0)
    for _ in range(40):
        print(*(f"{message.role}: {message.text}" for message in corpus.conversation().messages), sep="\n", end="\n\n")
