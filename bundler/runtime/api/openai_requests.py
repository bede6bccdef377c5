"""What OpenAI's request bodies mean as internal `Request`s: one for each choice of the answer.

A known field that cannot be honoured is refused, never ignored.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import msgspec

from bundler.runtime.api.conversing import prompt_fields
from bundler.runtime.api.errors import ApiError, unsupported
from bundler.runtime.api.openai_bodies import MOST_ANSWERS, ChatCompletion, Completion
from bundler.runtime.api.openai_settings import settings
from bundler.runtime.defaults import Defaults
from bundler.runtime.request import Request


def chat_requests(body: ChatCompletion, defaults: Defaults) -> list[Request]:
    """The internal requests of a chat completion.

    Raises:
        ApiError: a field asks for what this version cannot do, or the messages make no sense (400).
    """
    if body.functions or (body.wants_tool_calls and not body.render_only):
        raise unsupported("tools" if body.tools else "functions", "tools are not supported by this version")
    if body.top_logprobs and not body.logprobs:
        raise ApiError(400, "top_logprobs: set logprobs to true as well", param="top_logprobs")
    if body.modalities and body.modalities != ["text"]:
        raise unsupported("modalities", "this model answers with text only")
    asked = body.max_completion_tokens if body.max_completion_tokens is not None else body.max_tokens
    likeliest = (body.top_logprobs or 0) if body.logprobs else None
    request = Request(**prompt_fields(body), **settings(body, defaults, asked), likeliest=likeliest)
    return _times(request, body.n or 1)


def completion_requests(body: Completion, defaults: Defaults) -> list[Request]:
    """The internal requests of a completion: those of the first prompt, then those of the next.

    Raises:
        ApiError: a field asks for what this version cannot do (400).
    """
    if body.echo:
        raise unsupported("echo", "echo is not supported by this version")
    if body.best_of is not None and body.best_of != (body.n or 1):
        raise unsupported("best_of", "best_of is not supported by this version; leave it out or give n")
    prompts = _prompts(body.prompt)
    if len(prompts) * (body.n or 1) > MOST_ANSWERS:
        raise ApiError(400, f"prompt: at most {MOST_ANSWERS} answers are given to one request", param="prompt")
    likeliest = None if body.logprobs is None or body.logprobs is False else int(body.logprobs)
    common = settings(body, defaults, body.max_tokens)
    return [
        request
        for prompt in prompts
        for request in _times(
            Request(prompt=prompt, suffix=body.suffix or "", **common, likeliest=likeliest), body.n or 1
        )
    ]


def _times(request: Request, count: int) -> list[Request]:
    """The request so many times, each with a seed of its own where there is one."""
    seed = request.sampling.seed
    if seed is None:
        return [request] * count
    samplings = (msgspec.structs.replace(request.sampling, seed=seed + index) for index in range(count))
    return [msgspec.structs.replace(request, sampling=sampling) for sampling in samplings]


def _prompts(prompt: str | list[str | int | list[int]]) -> Sequence[str | list[int]]:
    """OpenAI takes a text, token ids, or a list of either."""
    if isinstance(prompt, str):
        return [prompt]
    kinds = set(map(type, prompt))
    if kinds == {int}:
        return [cast(list[int], prompt)]
    if int in kinds or not prompt:
        raise ApiError(400, "prompt: a list holds either texts or token ids", param="prompt")
    return [item for item in prompt if not isinstance(item, int)]
