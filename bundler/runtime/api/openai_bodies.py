"""OpenAI's request bodies: which fields there are, and of which types.

Follows OpenAI's API reference for chat completions and completions, with the fields that llama-server, vLLM and Ollama
clients add. Unknown fields are accepted. What the fields mean is in `openai_requests`.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec

from bundler.prompt.messages import Message

Temperature = Annotated[float, msgspec.Meta(ge=0, le=100)]
Fraction = Annotated[float, msgspec.Meta(ge=0, le=1)]
Penalty = Annotated[float, msgspec.Meta(ge=-100, le=100)]
Limit = Annotated[int, msgspec.Meta(ge=-2, le=2**31 - 1)]
Stops = Annotated[list[str], msgspec.Meta(max_length=64)]
Bias = Annotated[float, msgspec.Meta(ge=-1e9, le=1e9)]
TokenId = Annotated[int, msgspec.Meta(ge=0, le=2**31 - 1)]

MOST_ANSWERS = 64
"""To one request."""
MOST_LIKELIEST = 20


class StreamOptions(msgspec.Struct, frozen=True):
    include_usage: bool | None = None


class NamedSchema(msgspec.Struct, frozen=True):
    schema: Any = None
    name: str | None = None
    strict: bool | None = None


class ResponseFormat(msgspec.Struct, frozen=True):
    type: str
    json_schema: NamedSchema | None = None
    schema: Any = None
    """llama-server's, with the type json_object."""


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
    n: Annotated[int, msgspec.Meta(ge=1, le=MOST_ANSWERS)] | None = None
    logit_bias: dict[str, Bias] | list[tuple[int, Bias | Literal[False]]] | None = None
    response_format: ResponseFormat | None = None
    json_schema: Any = None
    grammar: str | None = None
    ignore_eos: bool | None = None
    top_n_sigma: float | None = None
    xtc_probability: Fraction | None = None
    xtc_threshold: Fraction | None = None
    dynatemp_range: Temperature | None = None
    dynatemp_exponent: Temperature | None = None
    dry_multiplier: Penalty | None = None
    dry_base: Penalty | None = None
    dry_allowed_length: Limit | None = None
    dry_penalty_last_n: Limit | None = None
    dry_sequence_breakers: tuple[str, ...] | None = None
    mirostat: Literal[0, 1, 2] | None = None
    mirostat_tau: Temperature | None = None
    mirostat_eta: Temperature | None = None
    adaptive_target: float | None = None
    adaptive_decay: Fraction | None = None
    min_keep: Limit | None = None
    samplers: tuple[str, ...] | None = None
    truncate: bool | None = None
    """Ollama's, as `shift` and `keep_alive`."""
    shift: bool | None = None
    n_keep: Limit | None = None
    """llama-server's, as `t_max_predict_ms`."""
    t_max_predict_ms: Limit | None = None
    keep_alive: Annotated[float, msgspec.Meta(ge=-1e9, le=1e9)] | str | None = None

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
    top_logprobs: Annotated[int, msgspec.Meta(ge=0, le=MOST_LIKELIEST)] | None = None
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
    logprobs: Annotated[int, msgspec.Meta(ge=0, le=MOST_LIKELIEST)] | bool | None = None
