"""What is put into a prompt, and the prompt that comes out: plain values, the same for Go and Jinja templates.

Messages have the shape that OpenAI's API and Hugging Face's templates share. Knows nothing of templates or tokens.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

ThinkLevel = Literal["low", "medium", "high", "max"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Conversation:
    """A chat to be continued."""

    messages: Sequence[Mapping[str, Any]]
    """Each with `role` and `content` (text, or a list of parts such as `{"type": "text", "text": …}`), and where they
    apply `reasoning_content`, `tool_calls` (`{"id", "type", "function": {"name", "arguments"}}`, arguments an object),
    `tool_call_id`, `name`."""
    tools: Sequence[Mapping[str, Any]] = ()
    """`{"type": "function", "function": {"name", "description", "parameters"}}`."""
    documents: Sequence[Mapping[str, Any]] = ()
    think: bool | ThinkLevel | None = None
    """Whether, and how hard, a model that can think should; None: as it does by itself."""
    arguments: Mapping[str, Any] = field(default_factory=dict)
    """Further variables of a Jinja template (`chat_template_kwargs`)."""
    add_generation_prompt: bool = True
    """End with what comes before an answer."""
    continue_final: bool = False
    """The last message is an assistant's that the model goes on with: the prompt ends with its text."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Completion:
    """A text to be continued, or one with a gap to be filled where there is a suffix."""

    prompt: str
    suffix: str = ""
    system: str = ""
    think: bool | ThinkLevel | None = None


class Rendered(NamedTuple):
    """A prompt."""

    text: str
    foreign: tuple[tuple[int, int], ...] = ()
    """Ranges of `text`, ordered and disjoint, that the template did not write itself. Promised to be complete only
    where the spelling of a control token could be."""
