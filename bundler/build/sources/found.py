"""What a FROM, an ADAPTER or a DRAFT leads to: weights, and what comes with them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from bundler.build.blob import Blob
from bundler.errors import BundleError
from bundler.formats.manifest import Page
from bundler.formats.modelfile import Instruction

Kind = Literal["model", "projector", "adapter", "draft"]


class SourceError(BundleError):
    """What is wrong with a source; `message` is the cause alone, for whoever knows where the source is named."""


@dataclass(frozen=True, slots=True)
class Weights:
    """One GGUF."""

    kind: Kind
    blob: Blob
    name: str
    """That of the file without its ending; the bundle's member is named after it."""
    scale: float = 1.0
    """Of an adapter."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """All that one source brings."""

    weights: tuple[Weights, ...]
    inherited: tuple[Instruction, ...] = ()
    """What the source says as commands of a Modelfile, in order; FROM, ADAPTER and DRAFT are not among them."""
    remarks: tuple[str, ...] = ()
    """What was taken from the source, a line each."""
    doubts: tuple[str, ...] = ()
    """What was left out, a line each."""
    bundle: Path | None = None
    """The bundle that it is."""
    page: Page | None = None
    warm: bool = False
    """Whether that bundle holds an evaluated prompt, which is not taken over."""
    manifest: bytes = b""
    """The JSON of that bundle's manifest."""
    advice: str = ""
    """What to do where llama.cpp does not know the model."""
