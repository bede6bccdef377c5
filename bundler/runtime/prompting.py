"""From an internal request to the token ids that the engine continues.

Applies the Modelfile's SYSTEM and MESSAGEs, the template, and the tokenizer. Knows nothing of HTTP or of the engine.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any

from bundler.errors import BundleError
from bundler.formats.manifest import Manifest
from bundler.prompt import render
from bundler.prompt.conversation import Completion, Conversation, Rendered
from bundler.prompt.messages import check_arguments, with_own
from bundler.prompt.specials import Specials
from bundler.runtime import truncating
from bundler.runtime.engine.interface import PromptTooLong, Vocabulary
from bundler.runtime.request import Request
from bundler.runtime.tokenizing import tokenize

_UNSUSPECTED_BYTES = 64
"""Bytes per token of context that a prompt may have without anybody looking for the longest token."""


_SHORT = 4096
"""Characters, or token ids: of a shorter prompt the tokens are there sooner than a thread takes over."""


class Prompter:
    """Prompts for the model of one bundle."""

    def __init__(self, manifest: Manifest) -> None:
        self._manifest = manifest
        self._history = [{"role": message.role, "content": message.content} for message in manifest.messages]

    def prepare(self) -> None:
        """Compile the template, so that the first request need not.

        Raises:
            BundleError: it is no valid template.
        """
        if self._manifest.template is not None:
            render.check(self._manifest.template)

    def is_short(self, request: Request) -> bool:
        """Whether the prompt is made so soon that no other thread need do it."""
        if request.prompt is not None:
            return len(request.prompt) + len(request.suffix) <= _SHORT
        messages = request.messages or ()
        if request.tools or request.documents or request.template_arguments or any(each.extra for each in messages):
            return False
        return self._own_length + sum(len(each.content) for each in messages) <= _SHORT

    def render(self, request: Request) -> Rendered:
        """The prompt of a chat, or of a completion, as text.

        Raises:
            BundleError: there is no template for a chat, it refuses the messages, or the prompt is token ids.
        """
        if request.messages is not None:
            return self._chat(request, self._messages(request))
        if not isinstance(request.prompt, str):
            raise BundleError("failed to render the prompt: it is given as token ids")
        return self._gap(request.prompt, request.suffix) if request.suffix else Rendered(request.prompt)

    def tokens(self, request: Request, vocabulary: Vocabulary, context_length: int) -> list[int]:
        """The prompt of `request` as token ids, beginning with one BOS token where the model wants it.

        Raises:
            PromptTooLong: it cannot fit `context_length` tokens, whatever its tokens are. (Most prompts that are too
                long are found out by the engine, which counts.) Not where it is to be truncated.
            BundleError: there is no template for a chat, it refuses the messages, or the prompt is empty.
        """
        if request.prompt is not None and not isinstance(request.prompt, str) and not request.suffix:
            tokens = list(request.prompt)
        elif request.truncate and request.messages is not None:
            tokens = self._shortened(request, vocabulary, context_length)
        else:
            rendered = self.render(request)
            if not request.truncate:
                _require_possible(rendered.text, vocabulary, context_length)
            tokens = ids(rendered, self._specials, vocabulary)
        tokens = _checked(tokens, vocabulary)
        if request.truncate and len(tokens) >= context_length:
            most = truncating.most_tokens(context_length, request.max_tokens)
            return truncating.cut(tokens, most, truncating.with_bos(request.keep, tokens, vocabulary))
        return tokens

    def _shortened(self, request: Request, vocabulary: Vocabulary, context_length: int) -> list[int]:
        """The prompt of a chat, without its older messages where it would be too long; maybe too long even so."""
        messages = self._messages(request)
        most = truncating.most_tokens(context_length, request.max_tokens)

        def fitting(start: int) -> list[int] | None:
            rendered = self._chat(request, truncating.beginning_at(messages, start))
            try:
                _require_possible(rendered.text, vocabulary, context_length)
            except PromptTooLong:
                return None
            tokens = ids(rendered, self._specials, vocabulary)
            return tokens if len(tokens) <= most or (start == 0 and len(tokens) < context_length) else None

        found = truncating.first_fitting([0, *truncating.starts(messages)], fitting)
        if found is not None:
            return found
        shortest = self._chat(request, truncating.beginning_at(messages, len(messages) - 1))
        return ids(shortest, self._specials, vocabulary)

    @cached_property
    def _specials(self) -> Specials:
        return Specials(self._manifest.specials)

    @cached_property
    def _own_length(self) -> int:
        """Characters of the Modelfile's SYSTEM and MESSAGEs."""
        return len(self._manifest.system or "") + sum(len(message.content) for message in self._manifest.messages)

    def _gap(self, prompt: str, suffix: str) -> Rendered:
        if self._manifest.template is None:
            raise BundleError("failed to render the prompt: this model has no template with a place for a suffix")
        return render.complete(self._manifest.template, Completion(prompt=prompt, suffix=suffix), self._specials)

    def _messages(self, request: Request) -> list[Mapping[str, Any]]:
        """Those of the request, with the Modelfile's."""
        given = [
            {**message.extra, "role": message.role, "content": message.content} for message in request.messages or ()
        ]
        return with_own(given, self._manifest.system, self._history)

    def _chat(self, request: Request, messages: Sequence[Mapping[str, Any]]) -> Rendered:
        template = self._manifest.template
        if template is None:
            raise BundleError("failed to render the messages: this model has no chat template", "use /v1/completions")
        check_arguments(request.template_arguments)
        conversation = Conversation(
            messages=messages,
            tools=request.tools,
            documents=request.documents,
            think=request.think,
            arguments=request.template_arguments,
            add_generation_prompt=request.add_generation_prompt,
            continue_final=request.continue_final,
        )
        return render.render(template, conversation, self._specials)


def ids(prompt: Rendered, specials: Specials, vocabulary: Vocabulary) -> list[int]:
    """The token ids of a prompt, beginning with one BOS token where the model wants it."""
    tokens = tokenize(prompt, specials, vocabulary)
    if vocabulary.add_bos and vocabulary.bos >= 0 and tokens[:1] != [vocabulary.bos]:
        tokens.insert(0, vocabulary.bos)
    return tokens


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
    if min(tokens) < 0 or max(tokens) >= vocabulary.size:
        raise BundleError(f"failed to read the prompt: token ids of this model are 0 to {vocabulary.size - 1}")
    return tokens
