"""OpenAI's request bodies, and what they mean as an internal `Request`.

Follows OpenAI's API reference for chat completions and completions, with the sampling fields that llama-server and
Ollama clients add. Unknown fields are accepted; a known one that cannot be honoured is refused, never ignored.
"""

from __future__ import annotations

from typing import Annotated, Any

import msgspec

from bundler.runtime.api.errors import ApiError, unsupported
from bundler.runtime.defaults import Defaults
from bundler.runtime.request import ChatMessage, Request, Sampling

Temperature = Annotated[float, msgspec.Meta(ge=0, le=100)]
Fraction = Annotated[float, msgspec.Meta(ge=0, le=1)]
Penalty = Annotated[float, msgspec.Meta(ge=-100, le=100)]
Limit = Annotated[int, msgspec.Meta(ge=-2, le=2**31 - 1)]
Stops = Annotated[list[str], msgspec.Meta(max_length=64)]
TokenId = Annotated[int, msgspec.Meta(ge=0, le=2**31 - 1)]

_ROLES = {"system": "system", "developer": "system", "user": "user", "assistant": "assistant", "tool": "tool"}
_SAMPLING = (
    "temperature", "top_k", "top_p", "min_p", "typical_p", "repeat_penalty", "repeat_last_n", "presence_penalty",
    "frequency_penalty",
)  # fmt: skip


class StreamOptions(msgspec.Struct, frozen=True):
    include_usage: bool | None = None


class ContentPart(msgspec.Struct, frozen=True):
    type: str
    text: str | None = None


class Message(msgspec.Struct, frozen=True):
    role: str
    content: str | list[ContentPart] | None = None
    name: str | None = None
    tool_calls: list[Any] | None = None
    tool_call_id: str | None = None


class ResponseFormat(msgspec.Struct, frozen=True):
    type: str


class _Common(msgspec.Struct, frozen=True, kw_only=True):
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


class ChatCompletion(_Common, frozen=True, kw_only=True):
    """The body of POST /v1/chat/completions."""

    messages: list[Message]
    max_completion_tokens: Limit | None = None
    logprobs: bool | None = None
    top_logprobs: int | None = None
    tools: list[Any] | None = None
    functions: list[Any] | None = None
    modalities: list[str] | None = None
    chat_template_kwargs: dict[str, Any] | None = None


class Completion(_Common, frozen=True, kw_only=True):
    """The body of POST /v1/completions."""

    prompt: str | list[str | TokenId | list[TokenId]]
    suffix: str | None = None
    echo: bool | None = None
    best_of: int | None = None
    logprobs: int | bool | None = None


def chat_request(body: ChatCompletion, defaults: Defaults) -> Request:
    """The internal request of a chat completion.

    Raises:
        ApiError: a field asks for what this version cannot do, or the messages make no sense (400).
    """
    _refuse_common(body)
    if body.tools or body.functions:
        raise unsupported("tools" if body.tools else "functions", "tools are not supported by this version")
    if body.logprobs or body.top_logprobs:
        raise unsupported("logprobs", "logprobs are not supported by this version")
    if body.modalities and body.modalities != ["text"]:
        raise unsupported("modalities", "this model answers with text only")
    if not body.messages:
        raise ApiError(400, "messages: at least one message is needed", param="messages")
    asked = body.max_completion_tokens if body.max_completion_tokens is not None else body.max_tokens
    return Request(
        messages=[_message(message, f"messages[{at}]") for at, message in enumerate(body.messages)],
        sampling=_sampling(body, defaults),
        stop=_stops(body),
        max_tokens=_limit(asked, defaults),
        template_arguments=body.chat_template_kwargs or {},
    )


def completion_request(body: Completion, defaults: Defaults) -> Request:
    """The internal request of a completion.

    Raises:
        ApiError: a field asks for what this version cannot do (400).
    """
    _refuse_common(body)
    if body.suffix:
        raise unsupported("suffix", "a suffix is not supported by this version")
    if body.echo:
        raise unsupported("echo", "echo is not supported by this version")
    if body.best_of is not None and body.best_of != 1:
        raise unsupported("best_of", "best_of is not supported by this version; leave it out or give 1")
    if body.logprobs not in (None, False):
        raise unsupported("logprobs", "logprobs are not supported by this version")
    return Request(
        prompt=_prompt(body.prompt),
        sampling=_sampling(body, defaults),
        stop=_stops(body),
        max_tokens=_limit(body.max_tokens, defaults),
    )


def _refuse_common(body: _Common) -> None:
    if body.n is not None and body.n != 1:
        raise unsupported("n", "several answers are not supported by this version; leave n out or give 1")
    if body.logit_bias:
        raise unsupported("logit_bias", "logit_bias is not supported by this version")
    if body.response_format and body.response_format.type != "text":
        raise unsupported(
            "response_format",
            f"response_format {body.response_format.type} is not supported by this version; leave it out or give text",
        )


def _message(message: Message, place: str) -> ChatMessage:
    role = _ROLES.get(message.role)
    if role is None:
        raise ApiError(400, f"{place}.role: {message.role!r} is none of {', '.join(_ROLES)}", param=f"{place}.role")
    extra: dict[str, Any] = {}
    for key in ("name", "tool_calls", "tool_call_id"):
        value = getattr(message, key)
        if value is not None:
            extra[key] = value
    if message.content is None and role != "assistant":
        raise ApiError(400, f"{place}.content is required", param=f"{place}.content", code="missing_required_parameter")
    return ChatMessage(role, _content(message.content, place), extra)


def _content(content: str | list[ContentPart] | None, place: str) -> str:
    if not isinstance(content, list):
        return content or ""
    texts = []
    for at, part in enumerate(content):
        param = f"{place}.content[{at}]"
        if part.type != "text":
            raise unsupported(param, f"{param}: this model reads text only, not {part.type}")
        if part.text is None:
            raise ApiError(400, f"{param}.text is required", param=f"{param}.text", code="missing_required_parameter")
        texts.append(part.text)
    return "\n".join(texts)


def _prompt(prompt: str | list[str | int | list[int]]) -> str | list[int]:
    """OpenAI takes a text, token ids, or a list of either; of lists only those of one prompt are answered here."""
    if isinstance(prompt, str):
        return prompt
    tokens = [item for item in prompt if isinstance(item, int)]
    if tokens and len(tokens) == len(prompt):
        return tokens
    if tokens:
        raise ApiError(400, "prompt: a list holds either texts or token ids", param="prompt")
    if len(prompt) != 1:
        raise unsupported("prompt", f"prompt: one prompt in a request is supported by this version, not {len(prompt)}")
    only = prompt[0]
    assert not isinstance(only, int)
    return only


def _sampling(body: _Common, defaults: Defaults) -> Sampling:
    given: dict[str, Any] = {name: getattr(body, name) for name in _SAMPLING if getattr(body, name) is not None}
    if body.seed is not None:
        given["seed"] = None if body.seed == -1 else body.seed % 2**32
    return msgspec.structs.replace(defaults.sampling, **given)


def _stops(body: _Common) -> list[str]:
    return [body.stop] if isinstance(body.stop, str) else list(body.stop or ())


def _limit(asked: int | None, defaults: Defaults) -> int | None:
    """Clients write "no limit" as -1."""
    if asked is None:
        return defaults.max_tokens
    if asked == 0:
        raise ApiError(400, "max_tokens: at least 1 is needed; leave it out for no limit", param="max_tokens")
    return asked if asked >= 0 else None
