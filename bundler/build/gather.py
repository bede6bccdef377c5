"""Everything that the FROMs and the DRAFT of a Modelfile lead to, and the Modelfile over what they say themselves."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from bundler.build import resolve
from bundler.build.progress import Progress
from bundler.build.sources import registry
from bundler.build.sources.found import Found, Kind, Weights
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
class Part:
    """One GGUF of the bundle, and the command that leads to it."""

    command: Command
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
    """Projector and draft model."""
    found: list[tuple[Command, Found]]
    """What each command leads to, in order."""

    @property
    def origin(self) -> Command:
        """The FROM that leads to the model."""
        return self.model.command

    def text(self, members: dict[Kind, str]) -> str:
        """The Modelfile as it goes into a bundle that has these members, the one of each kind."""
        values = {}
        for command in self.modelfile.all("draft"):
            values[command] = f"./{members['draft']}"  # the last one counts
        for command, found in self.found:
            used = {self._used(command, weights) for weights in found.weights}
            own = [f"{_WORDS[kind]} ./{members[kind]}" for kind in FOLDERS if kind in used]
            inherited = inherited_text(self.modelfile, command) if command.name == "from" else ""
            values[command] = "\n".join(own).partition(" ")[2] + inherited
        return self.modelfile.with_values(values.items())

    def _used(self, command: Command, weights: Weights) -> Kind | None:
        """As what the bundle has these weights; None where it does not."""
        for part in (self.model, *self.beside):
            if part.weights.blob == weights.blob and (part.weights.kind == "draft") == (
                command.name == "draft" or weights.kind == "draft"
            ):
                return part.weights.kind
        return None


def gather(modelfile: Modelfile, folder: Path, progress: Progress) -> Gathered:
    """Find what a Modelfile in `folder` names.

    Raises:
        ModelfileError: something is not there, or does not fit beside the rest; it points at the command.
        BundleError: something is damaged, or a download failed.
    """
    resolve.check_drafts(modelfile, folder)
    _refuse_adapters(modelfile)
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
    return Gathered(modelfile=merged, model=model, beside=list(chosen.values()), found=found)


def _chosen(modelfile: Modelfile, parts: list[Part]) -> dict[Kind, Part]:
    """The one part of each kind that the FROMs lead to."""
    chosen: dict[Kind, Part] = {}
    for part in parts:
        kind, value = part.weights.kind, clipped(part.command.value)
        other = chosen.setdefault(kind, part)
        if other.weights.blob != part.weights.blob:
            raise modelfile.error(
                part.command.value_place,
                f"{value} is a second {_name(kind)}, beside {clipped(other.command.value)}",
                f"name one {_name(kind)} alone",
            )
    if "model" not in chosen:
        first = parts[0]
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
    return Part(command, replace(models[0], kind="draft"), found.advice)


def _refuse_adapter(modelfile: Modelfile, command: Command, found: Found) -> None:
    """Refuse an adapter where a model is wanted, and a model that needs one."""
    value = clipped(command.value)
    if [weights.kind for weights in found.weights] == ["adapter"]:
        raise modelfile.error(
            command.value_place, f"{value} holds no model: it is an adapter", "name the model's own GGUF"
        )
    if any(weights.kind == "adapter" for weights in found.weights):
        raise modelfile.error(
            command.value_place,
            f"{value} comes with an adapter, which is not supported yet by this version",
            "name a model without one, or use a newer version of bundle",
        )


def _refuse_adapters(modelfile: Modelfile) -> None:
    for command in modelfile.all("adapter"):
        raise modelfile.error(
            command.place,
            "ADAPTER is not supported yet by this version",
            "leave the command out, or use a newer version of bundle",
        )


def _name(kind: Kind) -> str:
    return "draft model" if kind == "draft" else kind
