"""What a chat request says about its prompt, made into a `Conversation`.

The fields are OpenAI's and those that llama-server and vLLM add to them. Knows nothing of HTTP, files or templates.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import msgspec

from bundler.prompt.conversation import Conversation
from bundler.prompt.messages import Message, MessageError, check_continued, checked_tools, plain, thinking


class ChatFields(Protocol):
    """The fields, however the body of a request holds them."""

    @property
    def messages(self) -> Sequence[Message]: ...
    @property
    def tools(self) -> Sequence[Mapping[str, Any]] | None: ...
    @property
    def documents(self) -> Sequence[Mapping[str, Any]] | None: ...
    @property
    def reasoning_effort(self) -> str | None: ...
    @property
    def chat_template_kwargs(self) -> Mapping[str, Any] | None: ...
    @property
    def add_generation_prompt(self) -> bool | None: ...
    @property
    def continue_final_message(self) -> bool | str | None:
        """Also `content`, as llama-server has it."""


class ChatBody(msgspec.Struct, frozen=True, kw_only=True):
    """A request that nobody answers: its prompt is looked at."""

    messages: list[Message]
    tools: list[dict[str, Any]] | None = None
    documents: list[dict[str, Any]] | None = None
    reasoning_effort: str | None = None
    chat_template_kwargs: dict[str, Any] | None = None
    add_generation_prompt: bool | None = None
    continue_final_message: bool | str | None = None


def conversation(body: ChatFields) -> Conversation:
    """The conversation that the fields describe, without the Modelfile's own messages.

    Raises:
        MessageError: something makes no sense, or cannot be honoured.
    """
    if not body.messages:
        raise MessageError("messages", ": at least one message is needed")
    messages = [plain(message, f"messages[{at}]") for at, message in enumerate(body.messages)]
    continued = _continued(body.continue_final_message)
    if continued:
        check_continued(messages)
    if continued and body.add_generation_prompt:
        fault = ": an answer is continued, or begun with add_generation_prompt, but not both"
        raise MessageError("continue_final_message", fault)
    return Conversation(
        messages=messages,
        tools=checked_tools(body.tools or ()),
        documents=body.documents or (),
        think=None if body.reasoning_effort is None else thinking(body.reasoning_effort),
        arguments=body.chat_template_kwargs or {},
        add_generation_prompt=not continued and body.add_generation_prompt is not False,
        continue_final=continued,
    )


def _continued(asked: bool | str | None) -> bool:
    if isinstance(asked, str) and asked != "content":
        raise MessageError("continue_final_message", f": {asked!r} is none of true, false, content", "unsupported")
    return bool(asked)
