"""Prompt formats that we know: their names, templates and stop strings, and which vocabularies are made for them.

A family is two texts, `<name>.toml` and `<name>.jinja` of `templates/prompts/`; whoever calls brings them. Knows no
files and no GGUF: a model is described to it by `Traits`. Recognising is strict: a name never decides, it only narrows
what the vocabulary says, and where two formats could be meant there is no answer.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import msgspec

from bundler.formats.excerpt import nearest as nearest_word

_TUNED = re.compile(r"(?i)(?<![a-z])(instruct|instruction|chat|it|sft|dpo|assistant)(?![a-z])")
_BASE = re.compile(r"(?i)(?<![a-z])(base|pretrained?|pt)(?![a-z])")


class Fingerprint(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a model must have to be of a family: everything that is given here, at least `tokens`."""

    tokens: list[str]
    """Control tokens that are all in the vocabulary."""
    absent: list[str] = []
    """Control tokens none of which is."""
    ends: list[str] = []
    """Tokens one of which ends the model's sequences or turns; that also says that it was tuned for chats."""
    tokenizers: list[str] = []
    """`tokenizer.ggml.model` is one of these."""
    pretokenizers: list[str] = []
    """`tokenizer.ggml.pre` is one of these."""
    architectures: list[str] = []
    """`general.architecture` is one of these."""
    basename: str = ""
    """A regular expression that one of the model's names begins with, in any case."""


class Family(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A prompt format."""

    name: str
    title: str
    source: str
    """Address of the publication that the template follows."""
    stops: list[str]
    template: str
    """Jinja."""
    names: list[str] = []
    """Further names, which RENDERER and PARSER may give it."""
    narrows: str = ""
    """A family whose turns are written the same way; this one says more, for fewer models."""
    fingerprint: Fingerprint | None = None
    """None for formats that leave no mark in a vocabulary."""

    def may_have_written(self, prompt: str) -> bool:
        """Whether a prompt has any of the marks of this format: a cheap test that every prompt of it passes."""
        marks = [*self.stops, *(self.fingerprint.tokens if self.fingerprint else [])]
        return any(mark in prompt for mark in marks)


@dataclass(frozen=True, slots=True, kw_only=True)
class Traits:
    """What a GGUF says that a format can be told by."""

    tokens: frozenset[str]
    """Spellings of the control tokens."""
    ends: frozenset[str]
    """Spellings of the end-of-sequence and end-of-turn tokens that the file names."""
    tokenizer: str = ""
    pretokenizer: str = ""
    architecture: str = ""
    names: tuple[str, ...] = ()
    """`general.name`, `general.basename`, `general.finetune`, as far as they are there."""


def read(name: str, data: str, template: str) -> Family:
    """A family of its data file's text and its template's.

    Raises:
        ValueError: the data is no TOML, or has other keys or types than `Family`.
    """
    return msgspec.convert({"name": name, "template": template, **tomllib.loads(data)}, Family)


def named(families: Iterable[Family], name: str) -> Family | None:
    """The family that a RENDERER or PARSER calls `name`."""
    return next((family for family in families if name in (family.name, *family.names)), None)


def nearest(families: Iterable[Family], name: str) -> str:
    """The known name that is most like `name`; empty where none is."""
    return nearest_word(name, [known for family in families for known in (family.name, *family.names)])


def recognise(families: Mapping[str, Family], traits: Traits) -> Family | None:
    """The one family that the model was certainly tuned for; None where none or more than one could be it."""
    fitting = {name: family for name, family in families.items() if _fits(family, traits)}
    wider = {family.narrows for family in fitting.values()}
    narrowest = [family for name, family in fitting.items() if name not in wider]
    return narrowest[0] if len(narrowest) == 1 else None


def suggest(families: Mapping[str, Family], traits: Traits) -> list[str]:
    """Names of families that the model could be of by what it is called, or by its control tokens alone."""
    told = [name for name, family in families.items() if any(_is_called(text, family) for text in traits.names)]
    marked = [
        name
        for name, family in families.items()
        if family.fingerprint and traits.tokens.issuperset(family.fingerprint.tokens)
    ]
    return list(dict.fromkeys([*told, *marked]))


def _fits(family: Family, traits: Traits) -> bool:
    wanted = family.fingerprint
    return (
        wanted is not None
        and traits.tokens.issuperset(wanted.tokens)
        and traits.tokens.isdisjoint(wanted.absent)
        and (not wanted.tokenizers or traits.tokenizer in wanted.tokenizers)
        and (not wanted.pretokenizers or traits.pretokenizer in wanted.pretokenizers)
        and (not wanted.architectures or traits.architecture in wanted.architectures)
        and (not wanted.basename or any(re.match(wanted.basename, name, re.IGNORECASE) for name in traits.names))
        and _is_tuned(wanted, traits)
    )


def _is_tuned(wanted: Fingerprint, traits: Traits) -> bool:
    """A base model shares its vocabulary with the tuned one, and knows no chat format."""
    if any(_BASE.search(name) for name in traits.names):
        return False
    if wanted.ends:
        return not traits.ends.isdisjoint(wanted.ends)
    return bool(wanted.basename) or any(_TUNED.search(name) for name in traits.names)


def _is_called(text: str, family: Family) -> bool:
    plain = re.sub(r"[^a-z0-9]", "", text.lower())
    return any(re.sub(r"[^a-z0-9]", "", name) in plain for name in (family.name, *family.names))
