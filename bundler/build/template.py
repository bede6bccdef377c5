"""Which prompt template a bundle gets: TEMPLATE, else RENDERER or PARSER, else the GGUF's own, else a known family's.

There is no silent default: a model without a template whose format is not certain is an error that lists what to do.
Whether the choice works with the rest of the Modelfile is tried in `traps`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import cache

import msgspec

from bundler import data
from bundler.build import faults
from bundler.errors import BundleError
from bundler.formats import vocabulary, weights
from bundler.formats.excerpt import clipped
from bundler.formats.gguf import Header
from bundler.formats.manifest import Template
from bundler.formats.modelfile import Command, Modelfile, Notice, Place
from bundler.prompt import families, frame, render
from bundler.prompt.conversation import Conversation
from bundler.prompt.families import Family, Traits
from bundler.prompt.frame import Frame
from bundler.prompt.specials import Specials

_PLACEHOLDER = re.compile(r"\{\{-?\s*\.Prompt\s*-?\}\}")
"""What Ollama writes as TEMPLATE of a model that has a RENDERER."""
_NO_PARSER = "passthrough"
_NO_SPECIALS = Specials(())


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """A template, and what to say of it."""

    template: Template
    label: str
    """What it is called in messages."""
    place: Place
    """Where the Modelfile leads to it."""
    command: Command | None = None
    """The TEMPLATE that it is."""
    specials: tuple[str, ...] = ()
    """The spellings of the model's control tokens."""
    ends: frozenset[str] = frozenset()
    """Those that end an answer by themselves."""
    notices: list[Notice] = field(default_factory=list)


def choose(modelfile: Modelfile, origin: Command, header: Header) -> Choice:
    """The template for the weights that `origin`, a FROM, names.

    Raises:
        ModelfileError: there is none, or TEMPLATE is none.
    """
    return _Chooser(modelfile, origin, header).choose()


@cache
def known_families() -> Mapping[str, Family]:
    """The families of `templates/prompts/` by name, those first that others narrow.

    Raises:
        FileNotFoundError: this installation carries no templates.
    """
    found = [
        families.read(
            path.stem, path.read_text(encoding="utf-8"), path.with_suffix(".jinja").read_text(encoding="utf-8")
        )
        for path in sorted(data.path("templates/prompts").glob("*.toml"))
    ]
    return {family.name: family for family in sorted(found, key=lambda family: bool(family.narrows))}


class _Chooser:
    """One choice: the Modelfile's commands, the facts of the GGUF, and what was noticed on the way."""

    def __init__(self, modelfile: Modelfile, origin: Command, header: Header) -> None:
        self.modelfile, self.origin = modelfile, origin
        self.name = clipped(origin.value)
        self.own = weights.own_template(header)
        self.bare = weights.template(header, "")
        self.specials = tuple(vocabulary.control_tokens(header))
        self.ends = vocabulary.end_tokens(header, self.specials)
        self.traits = traits(header, self.specials)
        self.notices: list[Notice] = []

    def choose(self) -> Choice:
        hinted = [
            command for name in ("renderer", "parser") if (command := self.modelfile.last(name)) and command.value
        ]
        return self._written(hinted) or self._hinted(hinted) or self._own() or self._recognised() or self._fail()

    def _written(self, hinted: list[Command]) -> Choice | None:
        command = self.modelfile.last("template")
        if command is None:
            return None
        renderer = next((hint for hint in hinted if hint.name == "renderer"), None)
        if not command.value.strip():
            self._notice(command.place, "TEMPLATE is empty and left out")
            return None
        if renderer and _PLACEHOLDER.fullmatch(command.value.strip()):
            self._notice(command.place, f"TEMPLATE {clipped(command.value.strip())} is left out: RENDERER comes first")
            return None
        if renderer:
            self._notice(renderer.place, "RENDERER is not used: TEMPLATE says how to prompt")
        template = self._made(kind="go", text=command.value, source="modelfile", reason="the Modelfile's TEMPLATE")
        try:
            render.check(template)
        except BundleError as cause:
            place, said = faults.fault(self.modelfile, command, cause)
            raise self.modelfile.error(
                place, f"TEMPLATE is no Go template: {said}", faults.advice(command.value)
            ) from cause
        return self._choice(template, "TEMPLATE", command.value_place, command)

    def _hinted(self, hinted: list[Command]) -> Choice | None:
        for command in hinted:
            family = families.named(known_families().values(), command.value)
            if family is None:
                if command.value != _NO_PARSER:
                    self._notice(command.value_place, self._unknown(command))
                continue
            return self._named(command, family)
        return None

    def _named(self, command: Command, family: Family) -> Choice:
        """By a command that names a family. The GGUF's own template is the whole of what ours is the plain part of."""
        word, place = f"{command.name.upper()} {clipped(command.value)}", command.value_place
        if self.own and family.name in self._formats_of_own():
            reason = f"the GGUF's own chat template, whose format {word} names ({family.title})"
            template = msgspec.structs.replace(self.own, family=family.name, stops=family.stops, reason=reason)
            return self._choice(template, f"the chat template of {self.name}", self.origin.value_place)
        if self.own:
            self._notice(place, f"{word} is used, and the chat template of {self.name} writes another format")
        lacking = set(family.fingerprint.tokens if family.fingerprint else ()).difference(self.specials)
        if lacking:
            told = f"{self.name} has no control token {min(lacking)}, which the format {family.name} writes"
            self._notice(place, told)
        template = self._of(family, f"{word} names the format {family.title}")
        return self._choice(template, f"the format {family.name}", place)

    def _own(self) -> Choice | None:
        if self.own is None:
            return None
        label = f"the chat template of {self.name}"
        alike = self._formats_of_own()
        if not alike:
            return self._choice(self.own, label, self.origin.value_place)
        likely = families.recognise(known_families(), self.traits)
        narrower = likely and likely.narrows == alike[0] and likely.name in alike
        family = likely if likely and narrower else known_families()[alike[0]]
        reason = f"the GGUF brings its own chat template, in the format of {family.title}"
        template = msgspec.structs.replace(self.own, family=family.name, stops=family.stops, reason=reason)
        return self._choice(template, label, self.origin.value_place)

    def _recognised(self) -> Choice | None:
        family = families.recognise(known_families(), self.traits)
        if family is None:
            return None
        reason = f"the GGUF has no chat template; its control tokens are those of {family.title}"
        return self._choice(self._of(family, reason), f"the format {family.name}", self.origin.value_place)

    def _fail(self) -> Choice:
        cause = f"{self.name} has no chat template, and its vocabulary does not make certain how to prompt it"
        likely = families.suggest(known_families(), self.traits)
        ways = [
            "use a GGUF of the instruction-tuned model",
            f"name its format, such as RENDERER chatml (known: {', '.join(sorted(known_families()))})",
            f"write it: {faults.EXAMPLE}",
        ]
        if likely:
            ways.insert(1, f"if it was tuned for one of {', '.join(likely[:4])}: RENDERER {likely[0]}")
        raise self.modelfile.error(self.origin.value_place, cause, "; or ".join(ways))

    def _formats_of_own(self) -> list[str]:
        """Names of the families whose prompts the GGUF's own template writes, the likeliest first."""
        wanted = _frame(self.own) if self.own else None
        if wanted is None:
            return []
        written = "".join((wanted.opening, wanted.answer, wanted.turn, wanted.prompt))
        frames = {
            family.name: _frame_of(family.name, self.bare.bos_token, self.bare.eos_token)
            for family in known_families().values()
            if family.may_have_written(written)
        }
        return frame.matching({name: other for name, other in frames.items() if other}, wanted)

    def _of(self, family: Family, reason: str) -> Template:
        template = self._made(kind="jinja", text=family.template, source="family", reason=reason)
        return msgspec.structs.replace(template, family=family.name, stops=family.stops)

    def _made(self, **fields: str) -> Template:
        return msgspec.structs.replace(self.bare, **fields)

    def _choice(self, template: Template, label: str, place: Place, command: Command | None = None) -> Choice:
        return Choice(
            template=template,
            label=label,
            place=place,
            command=command,
            specials=self.specials,
            ends=self.ends,
            notices=self.notices,
        )

    def _notice(self, place: Place, text: str) -> None:
        self.notices.append(Notice(place, text))

    def _unknown(self, command: Command) -> str:
        word, value = command.name.upper(), clipped(command.value)
        near = families.nearest(known_families().values(), command.value)
        advice = f"; did you mean {near}?" if near else ""
        instead = "the GGUF's own chat template is used" if self.own else "the format is looked for in the vocabulary"
        return f"{word} {value} is not known here, and {instead}{advice}"


def render_with(template: Template) -> Callable[[frame.Messages], str]:
    """A function that makes the prompt of messages.

    Raises, when it is called:
        BundleError: the template does not work, or refuses the messages.
    """
    return lambda messages: render.render(template, Conversation(messages=messages), _NO_SPECIALS).text


@cache
def _frame_of(name: str, bos_token: str, eos_token: str) -> Frame | None:
    """The frame of a family for a model with these tokens."""
    text = known_families()[name].template
    return _frame(
        Template(kind="jinja", text=text, source="family", reason="", bos_token=bos_token, eos_token=eos_token)
    )


def _frame(template: Template) -> Frame | None:
    try:
        return frame.frame(render_with(template))
    except BundleError:
        return None


def traits(header: Header, specials: Iterable[str]) -> Traits:
    """What the GGUF says of the format it was tuned for; `specials` are its control tokens."""
    said = [header.string(f"general.{key}") for key in ("name", "basename", "finetune")]
    return Traits(
        tokens=frozenset(specials),
        ends=frozenset((weights.eos_token(header), weights.eot_token(header))) - {""},
        tokenizer=header.string("tokenizer.ggml.model") or "",
        pretokenizer=header.string("tokenizer.ggml.pre") or "",
        architecture=weights.architecture(header),
        names=tuple(name for name in said if name),
    )
