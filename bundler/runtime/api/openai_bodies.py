"""OpenAI's request bodies: which fields there are, and of which types.

Follows OpenAI's API reference for chat completions and completions, with the fields that llama-server, vLLM and Ollama
clients add. Unknown fields are accepted. What the fields mean is in `openai_requests`.
"""

from __future__ import annotations

from typing import Annotated, Any

import msgspec

from bundler.prompt.messages import Message

Temperature = Annotated[float, msgspec.Meta(ge=0, le=100)]
Fraction = Annotated[float, msgspec.Meta(ge=0, le=1)]
Penalty = Annotated[float, msgspec.Meta(ge=-100, le=100)]
Limit = Annotated[int, msgspec.Meta(ge=-2, le=2**31 - 1)]
Stops = Annotated[list[str], msgspec.Meta(max_length=64)]
TokenId = Annotated[int, msgspec.Meta(ge=0, le=2**31 - 1)]


class StreamOptions(msgspec.Struct, frozen=True):
    include_usage: bool | None = None


class ResponseFormat(msgspec.Struct, frozen=True):
    type: str


class Common(msgspec.Struct, frozen=True, kw_only=True):
    model: str | None = None
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    stop: str | Stops | None = None
    temperature: Temperature | None = None
    top_k: int | None = None
    top_p: Fraction | None = None
    min_p: Fraction | None = None
    typical_p: Fraction | None = None
    repeat_penalty: Penalty | None = None
    repeat_last_n: Limit | None = None
    presence_penalty: Penalty | None = None
    frequency_penalty: Penalty | None = None
    seed: int | None = None
    max_tokens: Limit | None = None
    n: int | None = None
    logit_bias: dict[str, float] | None = None
    response_format: ResponseFormat | None = None

    @property
    def wants_usage(self) -> bool:
        """Whether a stream ends with a chunk that counts tokens."""
        return bool(self.stream_options and self.stream_options.include_usage)


class ChatCompletion(Common, frozen=True, kw_only=True):
    """The body of POST /v1/chat/completions; some fields are llama-server's or vLLM's."""

    messages: list[Message]
    tools: list[dict[str, Any]] | None = None
    tool_choice: str | dict[str, Any] | None = None
    documents: list[dict[str, Any]] | None = None
    reasoning_effort: str | None = None
    chat_template_kwargs: dict[str, Any] | None = None
    add_generation_prompt: bool | None = None
    continue_final_message: bool | str | None = None
    """Also `content`, as llama-server has it."""
    max_completion_tokens: Limit | None = None
    logprobs: bool | None = None
    top_logprobs: int | None = None
    functions: list[Any] | None = None
    modalities: list[str] | None = None
    render_only: bool | None = msgspec.field(default=None, name="_debug_render_only")
    """Ollama's: answer with the prompt."""

    @property
    def wants_tool_calls(self) -> bool:
        """Whether the answer may be a tool call."""
        return bool(self.tools) and self.tool_choice != "none"


class Completion(Common, frozen=True, kw_only=True):
    """The body of POST /v1/completions."""

    prompt: str | list[str | TokenId | list[TokenId]]
    suffix: str | None = None
    echo: bool | None = None
    best_of: int | None = None
    logprobs: int | bool | None = None
