"""What OpenAI's request bodies mean as an internal `Request`.

A known field that cannot be honoured is refused, never ignored.
"""

from __future__ import annotations

from typing import Any

import msgspec

from bundler.runtime.api.conversing import prompt_fields
from bundler.runtime.api.errors import ApiError, unsupported
from bundler.runtime.api.openai_bodies import ChatCompletion, Common, Completion
from bundler.runtime.defaults import Defaults
from bundler.runtime.request import Request, Sampling

_SAMPLING = (
    "temperature", "top_k", "top_p", "min_p", "typical_p", "repeat_penalty", "repeat_last_n", "presence_penalty",
    "frequency_penalty",
)  # fmt: skip


def chat_request(body: ChatCompletion, defaults: Defaults) -> Request:
    """The internal request of a chat completion.

    Raises:
        ApiError: a field asks for what this version cannot do, or the messages make no sense (400).
    """
    _refuse_common(body)
    if body.functions or (body.wants_tool_calls and not body.render_only):
        raise unsupported("tools" if body.tools else "functions", "tools are not supported by this version")
    if body.logprobs or body.top_logprobs:
        raise unsupported("logprobs", "logprobs are not supported by this version")
    if body.modalities and body.modalities != ["text"]:
        raise unsupported("modalities", "this model answers with text only")
    asked = body.max_completion_tokens if body.max_completion_tokens is not None else body.max_tokens
    return Request(
        **prompt_fields(body),
        sampling=_sampling(body, defaults),
        stop=_stops(body),
        max_tokens=_limit(asked, defaults),
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


def _refuse_common(body: Common) -> None:
    if body.n is not None and body.n != 1:
        raise unsupported("n", "several answers are not supported by this version; leave n out or give 1")
    if body.logit_bias:
        raise unsupported("logit_bias", "logit_bias is not supported by this version")
    if body.response_format and body.response_format.type != "text":
        raise unsupported(
            "response_format",
            f"response_format {body.response_format.type} is not supported by this version; leave it out or give text",
        )


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


def _sampling(body: Common, defaults: Defaults) -> Sampling:
    given: dict[str, Any] = {name: getattr(body, name) for name in _SAMPLING if getattr(body, name) is not None}
    if body.seed is not None:
        given["seed"] = None if body.seed == -1 else body.seed % 2**32
    return msgspec.structs.replace(defaults.sampling, **given)


def _stops(body: Common) -> list[str]:
    return [body.stop] if isinstance(body.stop, str) else list(body.stop or ())


def _limit(asked: int | None, defaults: Defaults) -> int | None:
    """Clients write "no limit" as -1."""
    if asked is None:
        return defaults.max_tokens
    if asked == 0:
        raise ApiError(400, "max_tokens: at least 1 is needed; leave it out for no limit", param="max_tokens")
    return asked if asked >= 0 else None
