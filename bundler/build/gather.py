"""Everything that the FROMs and the DRAFT of a Modelfile lead to, and the Modelfile over what they say themselves."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from bundler.build import resolve
from bundler.build.blob import Blob, Range
from bundler.build.progress import Progress
from bundler.build.sources import registry
from bundler.build.sources.found import Found, Kind, SourceError, Weights
from bundler.errors import BundleError
from bundler.formats.excerpt import clipped
from bundler.formats.modelfile import Command, Modelfile, inherit, inherited_text

FOLDERS: Final[dict[Kind, str]] = {
    "model": "models",
    "projector": "projectors",
    "adapter": "adapters",
    "draft": "drafts",
}
"""Where the archive keeps each kind."""
_WORDS: Final[dict[Kind, str]] = {"model": "FROM", "projector": "FROM", "adapter": "ADAPTER", "draft": "DRAFT"}


@dataclass(frozen=True, slots=True)
class Adapter:
    """An adapter that was asked for beside the Modelfile."""

    text: str
    """What an ADAPTER would name; relative paths count from the working folder."""
    scale: float = 1.0


@dataclass(frozen=True, slots=True)
class Part:
    """One GGUF of the bundle, and the command that leads to it; None where it was asked for beside the Modelfile."""

    command: Command | None
    weights: Weights
    advice: str
    """What to do where llama.cpp does not know it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Gathered:
    """A Modelfile with all that it names."""

    modelfile: Modelfile
    """With what its FROMs bring, by Ollama's rules."""
    model: Part
    beside: list[Part]
    """Projector, draft model and adapters."""
    found: list[tuple[Command, Found]]
    """What each command leads to, in order."""

    @property
    def origin(self) -> Command:
        """The FROM that leads to the model."""
        assert self.model.command is not None
        return self.model.command

    @property
    def parts(self) -> list[Part]:
        return [self.model, *self.beside]

    def text(self, members: Sequence[str]) -> str:
        """The Modelfile as it goes into a bundle, where the parts are the `members`, in order."""
        kinds = [part.weights.kind for part in self.parts]
        lines = [f"{_WORDS[kind]} ./{member}" for kind, member in zip(kinds, members, strict=True)]
        values = {}
        for command in self.modelfile.all("draft"):
            values[command] = f"./{members[kinds.index('draft')]}"  # the last one counts
        for command, found in self.found:
            used = {self._used(command, weights) for weights in found.weights} - {None}
            own = [lines[at] for kind in FOLDERS for at in range(len(lines)) if at in used and kinds[at] == kind]
            inherited = inherited_text(self.modelfile, command) if command.name == "from" else ""
            values[command] = "\n".join(own).partition(" ")[2] + inherited
        added = [line for line, part in zip(lines, self.parts, strict=True) if part.command is None]
        text = self.modelfile.with_values(values.items())
        return "\n".join([text.removesuffix("\n"), *added, ""]) if added else text

    def _used(self, command: Command, weights: Weights) -> int | None:
        """As which of its parts the bundle has these weights; None where it does not."""
        for index, part in enumerate(self.parts):
            if (
                part.command is not None
                and identity(part.weights.blob) == identity(weights.blob)
                and (part.weights.kind == "draft") == (command.name == "draft" or weights.kind == "draft")
            ):
                return index
        return None


def gather(modelfile: Modelfile, folder: Path, progress: Progress, adapters: Sequence[Adapter] = ()) -> Gathered:
    """Find what a Modelfile in `folder` names, and `adapters` to go on top.

    Raises:
        ModelfileError: something is not there, or does not fit beside the rest; it points at the command.
        BundleError: something is damaged, or a download failed.
    """
    resolve.check_drafts(modelfile, folder)
    origins = modelfile.all("from")
    found = [(command, registry.resolve(modelfile, command, folder, progress)) for command in origins]
    for command, each in found:
        _refuse_adapter(modelfile, command, each)
    parts = [Part(command, weights, each.advice) for command, each in found for weights in each.weights]
    chosen = _chosen(modelfile, parts)
    draft = modelfile.last("draft")
    if draft:
        each = registry.resolve(modelfile, draft, folder, progress)
        found.append((draft, each))
        chosen["draft"] = _draft(modelfile, draft, each)
    merged = modelfile
    for command, each in found:
        if command.name == "from":
            merged = inherit(merged, command, each.inherited)
    model = chosen.pop("model")
    own = [part for part in parts if part.weights.kind == "adapter"]
    for command in modelfile.all("adapter"):
        each = registry.resolve(modelfile, command, folder, progress)
        found.append((command, each))
        own += [Part(command, weights, "") for weights in _adapters(modelfile, command, each)]
    own += [Part(None, _added(adapter, progress), "") for adapter in adapters]
    return Gathered(modelfile=merged, model=model, beside=[*chosen.values(), *_each_once(own)], found=found)


def _each_once(adapters: list[Part]) -> list[Part]:
    """The same adapter named twice is one, with the later scale."""
    once: dict[object, Part] = {}
    for part in adapters:
        key = identity(part.weights.blob)
        first = once.setdefault(key, part)
        once[key] = replace(first, weights=replace(first.weights, scale=part.weights.scale))
    return list(once.values())


def identity(blob: Blob) -> object:
    """The same for the same bytes of the same files, however their paths are written."""
    return tuple(
        (os.path.realpath(piece.path), piece.offset, piece.size) if isinstance(piece, Range) else piece
        for piece in blob.pieces
    )


def _chosen(modelfile: Modelfile, parts: list[Part]) -> dict[Kind, Part]:
    """The one part of each kind that the FROMs lead to."""
    chosen: dict[Kind, Part] = {}
    for part in parts:
        assert part.command is not None
        kind, value = part.weights.kind, clipped(part.command.value)
        if kind == "adapter":
            continue
        other = chosen.setdefault(kind, part)
        assert other.command is not None
        if other.weights.blob != part.weights.blob:
            raise modelfile.error(
                part.command.value_place,
                f"{value} is a second {_name(kind)}, beside {clipped(other.command.value)}",
                f"name one {_name(kind)} alone",
            )
    if "model" not in chosen:
        first = parts[0]
        assert first.command is not None
        raise modelfile.error(
            first.command.value_place,
            f"{clipped(first.command.value)} holds no model: it is a {_name(first.weights.kind)}",
            "name the model's own GGUF",
        )
    return chosen


def _draft(modelfile: Modelfile, command: Command, found: Found) -> Part:
    models = [weights for weights in found.weights if weights.kind == "model"]
    if len(models) != 1:
        value, kind = clipped(command.value), _name(found.weights[0].kind)
        raise modelfile.error(
            command.value_place,
            f"{value} holds no model: it is a {kind}",
            "name a smaller model with the same vocabulary",
        )
    if any(weights.kind == "adapter" for weights in found.weights):
        raise modelfile.error(
            command.value_place,
            f"{clipped(command.value)} comes with an adapter, which no draft model can have",
            "name a smaller model without one",
        )
    return Part(command, replace(models[0], kind="draft"), found.advice)


def _refuse_adapter(modelfile: Modelfile, command: Command, found: Found) -> None:
    """Refuse an adapter where a model is wanted."""
    if [weights.kind for weights in found.weights] == ["adapter"]:
        raise modelfile.error(
            command.value_place,
            f"{clipped(command.value)} holds no model: it is an adapter",
            "name the model's own GGUF, and this with ADAPTER",
        )


def _adapters(modelfile: Modelfile, command: Command, found: Found) -> list[Weights]:
    adapters = [weights for weights in found.weights if weights.kind == "adapter"]
    if not adapters:
        raise modelfile.error(command.value_place, *_no_adapter(clipped(command.value), found))
    return adapters


def _added(adapter: Adapter, progress: Progress) -> Weights:
    """The weights of an adapter asked for beside the Modelfile."""
    shown = clipped(adapter.text)
    try:
        found = registry.find(adapter.text, Path.cwd(), progress)
        for weights in found.weights:
            if weights.kind == "adapter":
                return replace(weights, scale=adapter.scale)
        raise SourceError(*_no_adapter(shown, found))
    except SourceError as error:
        raise BundleError(f"failed to add the adapter {shown}: {error.message}", error.hint) from error


def _no_adapter(shown: str, found: Found) -> tuple[str, str]:
    kind = _name(found.weights[0].kind) if found.weights else "folder"
    return f"{shown} holds no adapter: it is a {kind}", "name a LoRA adapter in GGUF format"


def _name(kind: Kind) -> str:
    return "draft model" if kind == "draft" else kind
