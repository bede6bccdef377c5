"""What a SYSTEM line asks for, drawn at random, and answers that obey it."""

from __future__ import annotations

import random
import re
from dataclasses import dataclass, replace
from typing import Any

from facts import Topic
from grammar import Phrases, parse

_VOWELS = ("a", "e", "i", "o", "u", "a", "e", "i", "o", "u", "y", "ea", "ee", "ou", "ia", "ai", "oo", "ie")
_CONSONANTS = (
    *"bcdfghjklmnpqrstvwxz",
    *"bdfgklmnprst",
    "th",
    "st",
    "br",
    "ch",
    "tr",
    "gr",
    "sh",
    "ll",
    "nd",
    "rt",
    "zz",
)


@dataclass(frozen=True)
class Manner:
    """The SYSTEM line ("" for none) and what it asks for."""

    line: str = ""
    name: str = ""
    role: str = ""
    begin: str = ""
    end: str = ""
    brief: bool = False
    fact_asked: str = ""
    fact: str = ""

    @property
    def asks(self) -> bool:
        """Whether the line asks for anything."""
        return self != Manner(line=self.line)

    def say(self, text: str) -> str:
        """The text with the beginning and the ending that are asked for."""
        return " ".join(part for part in (self.begin, text, self.end) if part)

    def answer(self, topic: Topic) -> str:
        """What is said on a topic."""
        text = topic.short if self.brief else topic.answer
        if topic.name == "hello" and self.name:
            text = text.replace("Hello!", f"Hello! I am {self.name}.")
        if topic.name == "who" and (self.name or self.role):
            names = ", ".join(filter(None, (self.name, self.role)))
            text = f"I am {names}, a small model that knows this tool."
        return self.say(text)


class Manners:
    """Draws SYSTEM lines: none, the guide's own, others that ask for nothing, and those that ask for something."""

    def __init__(self, rng: random.Random, lexicon: dict[str, list[str]], lines: dict[str, Any]) -> None:
        self._rng = rng
        self._lexicon = lexicon
        self._lines = lines
        self._phrases = Phrases({})

    def draw(self) -> Manner:
        """One of them."""
        rng, lines = self._rng, self._lines
        draw = rng.random()
        if draw < 0.35:
            return Manner()
        base = lines["system_default"] if draw < 0.65 else rng.choice(lines["system_plain"])
        if draw < 0.72:
            return Manner(line=base)
        kind = rng.choice(("name", "role", "end", "end", "begin", "begin", "brief", "fact", "fact", "mixed"))
        kinds = rng.sample(("name", "end", "brief", "begin", "fact"), 2) if kind == "mixed" else [kind]
        manner = Manner()
        texts = [base] if rng.random() < 0.3 and not {"name", "role"} & set(kinds) else []
        for each in kinds:
            text, manner = self._instruction(each, manner)
            texts.append(text)
        return replace(manner, line=" ".join(texts))

    def _instruction(self, kind: str, manner: Manner) -> tuple[str, Manner]:
        rng = self._rng
        if kind == "fact":
            entry = rng.choice(self._lines["fact"])
            values = {name: rng.choice(words) for name, words in self._lexicon.items()}
            values |= {"word": self._word(), "name": self.name(), "value": self._value()}
            asked, answer = insert(entry["ask"], values), insert(entry["answer"], values)
            return insert(entry["system"], values), replace(manner, fact_asked=asked, fact=answer)
        line = rng.choice(self._lines[f"system_{kind}"])
        values = {"name": self.name(), "role": self._role(), "phrase": self._phrase()}
        wanted = {
            "name": {"name": values["name"], "role": values["role"] if "<role>" in line else ""},
            "role": {"role": values["role"]},
            "end": {"end": values["phrase"]},
            "begin": {"begin": values["phrase"]},
            "brief": {"brief": True},
        }[kind]
        text = self._phrases.draw(parse(insert(line, values)), rng)
        return text, replace(manner, **wanted)  # type: ignore[arg-type]

    def name(self) -> str:
        """A name, from the lexicon or made up."""
        rng = self._rng
        if rng.random() < 0.5:
            return rng.choice(self._lexicon["name"])
        return self._made_up().capitalize()

    def _role(self) -> str:
        rng, lexicon = self._rng, self._lexicon
        if rng.random() < 0.3:
            return rng.choice(lexicon["role"])
        how, who = rng.choice(["", *lexicon["role_how"]]), rng.choice(lexicon["role_who"])
        role = f"{how} {who}".strip() + (" " + rng.choice(lexicon["role_where"]) if rng.random() < 0.3 else "")
        if rng.random() < 0.2:
            return f"the {role}"
        return f"{'an' if role[0] in 'aeiou' else 'a'} {role}"

    def _value(self) -> str:
        rng = self._rng
        draw = rng.random()
        if draw < 0.3:
            return str(rng.randrange(10 ** rng.randint(1, 5)))
        if draw < 0.5:
            return self.name()
        return rng.choice([*self._lexicon["colour"], *self._lexicon["day"], *self._lexicon["place"], self._word()])

    def words(self) -> str:
        """One to five words, known and made up."""
        known = self._lexicon["word"] + self._lexicon["name"] + self._lexicon["phrase"]
        return " ".join(
            self._made_up() if self._rng.random() < 0.5 else self._rng.choice(known)
            for _ in range(self._rng.randint(1, 5))
        )

    def _made_up(self) -> str:
        """A word that nobody knows; most are several tokens long, as names are that the tokenizer has not seen."""
        rng = self._rng
        parts = [rng.choice(kind) for _ in range(rng.choice((1, 2, 2, 3))) for kind in (_CONSONANTS, _VOWELS)]
        return "".join(parts[rng.random() < 0.2 :]) + (rng.choice(_CONSONANTS) if rng.random() < 0.5 else "")

    def _word(self) -> str:
        """Known or made up, sometimes as a company would be called."""
        rng = self._rng
        word = rng.choice(self._lexicon["word"]) if rng.random() < 0.5 else self._made_up()
        if rng.random() < 0.2:
            return f"{word.capitalize()} {rng.choice(('Corp', 'Labs', 'Inc', 'Group', 'Works', 'Systems', '& Sons'))}"
        return word.capitalize() if rng.random() < 0.2 else word

    def _phrase(self) -> str:
        rng, lexicon = self._rng, self._lexicon
        if rng.random() < 0.4:
            return rng.choice(lexicon["phrase"])
        words = rng.sample(
            [*lexicon["word"], *lexicon["colour"], *lexicon["day"], self._made_up()], rng.choice((1, 2, 2, 3, 4))
        )
        phrase = " ".join(words)
        return phrase[0].upper() + phrase[1:] + rng.choice((".", "!", "!", "...", ",", "", ""))


def insert(text: str, values: dict[str, str]) -> str:
    """The text with each `<name>` replaced by its value."""
    return re.sub(r"<(\w+)>", lambda match: values[match[1]], text)
