"""What a prompt is made with: the template and the own messages of a Modelfile, a GGUF or a bundle; and the prompt.

Of weights only the header is read: the tensors may be missing. Nothing is written.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from bundler.build import bundles, resolve, template
from bundler.build.gather import gather
from bundler.build.progress import Progress, Silent
from bundler.errors import BundleError
from bundler.formats import gguf
from bundler.formats.excerpt import clipped
from bundler.formats.gguf import Header
from bundler.formats.manifest import Template
from bundler.formats.modelfile import Command, Modelfile, ModelfileError, parse
from bundler.formats.source import FileSource
from bundler.prompt import render
from bundler.prompt.conversation import Conversation, Rendered
from bundler.prompt.messages import check_arguments, with_own
from bundler.prompt.specials import Specials


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """Something that makes prompts."""

    template: Template
    specials: Sequence[str]
    """The spellings of the model's control tokens."""
    weights: Callable[[], AbstractContextManager[Header]]
    """Opens the header of the weights."""
    system: str | None = None
    history: Sequence[Mapping[str, Any]] = ()
    """The Modelfile's MESSAGEs."""
    warnings: Sequence[str] = ()
    """What should be told of the Modelfile and the choice of the template, a line each."""

    def render(self, conversation: Conversation) -> Rendered:
        """The prompt that a bundle would make of a conversation.

        Raises:
            BundleError: the template refuses it.
        """
        check_arguments(conversation.arguments)
        messages = with_own(conversation.messages, self.system, self.history)
        return render.render(self.template, replace(conversation, messages=messages), Specials(self.specials))


@contextmanager
def open_subject(path: Path, progress: Progress | None = None) -> Iterator[Subject]:
    """Open a Modelfile, a folder with one, a GGUF or a bundle.

    Raises:
        BundleError: it is none of them, is damaged, or has no template.
    """
    head = _head(path)
    if head == b"GGUF":
        with _opened(path) as source:
            yield _of_gguf(path, gguf.read_header(source, str(path)))
    elif bundles.may_be_bundle(path):
        with _of_bundle(path) as subject:
            yield subject
    else:
        place, modelfile = resolve.read_modelfile(path)
        gathered = gather(modelfile, place.parent, progress or Silent())
        blob = gathered.model.weights.blob
        with blob.opened() as source:
            header = gguf.read_header(source, blob.label)
            yield _of_weights(gathered.modelfile, gathered.origin, header)


def _of_gguf(path: Path, header: Header) -> Subject:
    name = clipped(path.name, 255)
    modelfile = parse(f"FROM ./{name}".encode())
    try:
        return _of_weights(modelfile, modelfile.commands[0], header)
    except ModelfileError as error:
        raise BundleError(f"failed to choose a template: {error.cause}", error.hint) from error


def _of_weights(modelfile: Modelfile, origin: Command, header: Header) -> Subject:
    choice = template.choose(modelfile, origin, header)
    system = modelfile.last("system")
    return Subject(
        template=choice.template,
        specials=choice.specials,
        weights=lambda: nullcontext(header),
        system=system.value if system else None,
        history=[{"role": command.key, "content": command.value} for command in modelfile.all("message")],
        warnings=[modelfile.warning(notice) for notice in sorted([*modelfile.notices, *choice.notices])],
    )


@contextmanager
def _of_bundle(path: Path) -> Iterator[Subject]:
    with bundles.open_bundle(path) as bundle:
        manifest = bundle.manifest
        if manifest.template is None:
            raise BundleError(f"failed to make a prompt: {path} has no chat template", "ask it for completions only")
        yield Subject(
            template=manifest.template,
            specials=manifest.specials,
            weights=lambda: bundles.open_weights(bundle),
            system=manifest.system,
            history=[{"role": message.role, "content": message.content} for message in manifest.messages],
        )


@contextmanager
def _opened(path: Path) -> Iterator[FileSource]:
    with path.open("rb") as file:
        yield FileSource(file.fileno())


def _head(path: Path) -> bytes:
    if not path.is_file() or not os.access(path, os.R_OK):
        return b""
    with path.open("rb") as file:
        return file.read(4)
