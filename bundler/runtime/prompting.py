"""From an internal request to the token ids that the engine continues.

Applies the Modelfile's SYSTEM and MESSAGEs, the template, and the tokenizer. Knows nothing of HTTP or of the engine.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from bundler.errors import BundleError
from bundler.formats.manifest import Manifest, Template
from bundler.runtime.engine.interface import PromptTooLong, Vocabulary
from bundler.runtime.request import ChatMessage, Request

_UNSUSPECTED_BYTES = 64
"""Bytes per token of context that a prompt may have without anybody looking for the longest token."""
_RESERVED = frozenset({"template", "messages", "tools", "documents", "add_generation_prompt", "bos_token", "eos_token"})


class Prompter:
    """Prompts for the model of one bundle."""

    def __init__(self, manifest: Manifest) -> None:
        self._template = manifest.template
        self._system = manifest.system
        self._history = [ChatMessage(message.role, message.content) for message in manifest.messages]

    def prepare(self) -> None:
        """Compile the template, so that the first request need not.

        Raises:
            BundleError: it is no valid template.
        """
        if self._template is not None:
            from bundler.prompt import jinja  # 0.04 s, which commands without a prompt do not pay

            _require_jinja(self._template)
            jinja.check(self._template.text)

    def tokens(self, request: Request, vocabulary: Vocabulary, context_length: int) -> list[int]:
        """The prompt of `request` as token ids, beginning with one BOS token where the model wants it.

        Raises:
            PromptTooLong: it cannot fit `context_length` tokens, whatever its tokens are. (Most prompts that are too
                long are found out by the engine, which counts.)
            BundleError: there is no template for a chat, it refuses the messages, or the prompt is empty.
        """
        if request.messages is not None:
            text = self._render(request)
        elif isinstance(request.prompt, str):
            text = request.prompt
        else:
            return _checked(list(request.prompt or ()), vocabulary)
        _require_possible(text, vocabulary, context_length)
        tokens = vocabulary.tokenize(text, add_special=False, parse_special=True)
        if vocabulary.add_bos and vocabulary.bos >= 0 and tokens[:1] != [vocabulary.bos]:
            tokens.insert(0, vocabulary.bos)
        return _checked(tokens, vocabulary)

    def conversation(self, messages: Sequence[ChatMessage]) -> list[ChatMessage]:
        """The messages with those of the Modelfile.

        SYSTEM holds unless the request brings a system message of its own; MESSAGEs come before the request's. System
        messages that a request begins with stay in front of them, where templates expect such messages.
        """
        own = next((at for at, message in enumerate(messages) if message.role != "system"), len(messages))
        system = list(messages[:own])
        if self._system and not any(message.role == "system" for message in messages):
            system = [ChatMessage("system", self._system)]
        return [*system, *self._history, *messages[own:]]

    def _render(self, request: Request) -> str:
        from bundler.prompt import jinja

        if self._template is None:
            raise BundleError("failed to render the messages: this model has no chat template", "use /v1/completions")
        _require_jinja(self._template)
        taken = sorted(_RESERVED & request.template_arguments.keys())
        if taken:
            raise BundleError(f"failed to render the messages: the template argument {taken[0]} is set by the server")
        messages: list[dict[str, Any]] = [
            {**message.extra, "role": message.role, "content": message.content}
            for message in self.conversation(request.messages or ())
        ]
        return jinja.render(self._template, messages, **request.template_arguments)


def _require_jinja(template: Template) -> None:
    if template.kind != "jinja":
        raise BundleError(
            f"failed to use the chat template: it is written in {template.kind}, and this runtime knows jinja",
            "build the bundle again with a newer version of bundle",
        )


def _require_possible(text: str, vocabulary: Vocabulary, context_length: int) -> None:
    """Refuse a text of more bytes than a full context of the longest tokens, which would take long to tokenize."""
    if len(text) * 4 <= context_length * _UNSUSPECTED_BYTES:
        return
    size = len(text.encode("utf-8", "replace"))
    if size <= context_length * _UNSUSPECTED_BYTES:
        return
    longest = max(1, vocabulary.longest_piece)
    if size > context_length * longest:
        raise PromptTooLong(-(-size // longest), context_length, at_least=True)


def _checked(tokens: list[int], vocabulary: Vocabulary) -> list[int]:
    if not tokens:
        raise BundleError("failed to answer an empty prompt")
    if any(not 0 <= token < vocabulary.size for token in tokens):
        raise BundleError(f"failed to read the prompt: token ids of this model are 0 to {vocabulary.size - 1}")
    return tokens
