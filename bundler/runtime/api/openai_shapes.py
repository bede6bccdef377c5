"""OpenAI's objects: whole answers, stream chunks, usage and log probabilities. Events in, JSON values out."""

from __future__ import annotations

import math
import secrets
import time
from collections.abc import Sequence
from typing import Any, Literal

from bundler.runtime.request import Chance, ToldToken, Usage

Kind = Literal["chat", "text"]
_LEAST_LOGPROB = -9999.0
"""OpenAI's value for what is next to impossible."""


class Shape:
    """The objects for one request; all share an id, a time and the model's name."""

    def __init__(self, kind: Kind, model: str) -> None:
        self._chat = kind == "chat"
        self._model = model
        self._id = f"{'chatcmpl' if self._chat else 'cmpl'}-{secrets.token_hex(12)}"
        self._created = int(time.time())

    def whole(self, choices: Sequence[dict[str, Any]], usage: dict[str, Any]) -> dict[str, Any]:
        """A whole answer."""
        return {
            **self._head("chat.completion" if self._chat else "text_completion"),
            "choices": list(choices),
            "usage": usage,
        }

    def choice(self, index: int, text: str, told: Sequence[ToldToken], finish_reason: str) -> dict[str, Any]:
        """One choice of a whole answer."""
        content: dict[str, Any] = {"message": {"role": "assistant", "content": text}} if self._chat else {"text": text}
        return {"index": index, **content, "logprobs": self._logprobs(told), "finish_reason": finish_reason}

    def rendered(self, prompt: str) -> dict[str, Any]:
        """Ollama's answer to `_debug_render_only`, within an answer that has no choices."""
        shown = {"rendered_template": prompt, "image_count": 0}
        return {**self._head("chat.completion"), "choices": [], "_debug_info": shown}

    def chunk(
        self,
        index: int,
        delta: dict[str, str],
        finish_reason: str | None,
        *,
        usage: bool,
        told: Sequence[ToldToken] = (),
    ) -> dict[str, Any]:
        """A part of a choice in a stream."""
        content: dict[str, Any] = {"delta": delta} if self._chat else {"text": delta.get("content", "")}
        logprobs = self._logprobs(told)
        return {
            **self._chunk_head(),
            "choices": [{"index": index, **content, "logprobs": logprobs, "finish_reason": finish_reason}],
            **({"usage": None} if usage else {}),
        }

    def usage_chunk(self, usage: dict[str, Any]) -> dict[str, Any]:
        """The last chunk of a stream that counts."""
        return {**self._chunk_head(), "choices": [], "usage": usage}

    @property
    def first(self) -> dict[str, str] | None:
        """What comes before the text: the role, in a chat."""
        return {"role": "assistant", "content": ""} if self._chat else None

    def _chunk_head(self) -> dict[str, Any]:
        return self._head("chat.completion.chunk" if self._chat else "text_completion")

    def _head(self, kind: str) -> dict[str, Any]:
        return {"id": self._id, "object": kind, "created": self._created, "model": self._model}

    def _logprobs(self, told: Sequence[ToldToken]) -> dict[str, Any] | None:
        if not told:
            return None
        if self._chat:
            return {"content": [_chat_token(token) for token in told], "refusal": None}
        return {
            "tokens": [_text(token.own) for token in told],
            "token_logprobs": [_logprob(token.own) for token in told],
            "top_logprobs": [{_text(each): _logprob(each) for each in token.likeliest} for token in told],
        }


def usage(usages: Sequence[Usage], answers_each: int) -> dict[str, Any]:
    """The tokens of all answers; those that answer the same prompt, `answers_each` at a time, count it once."""
    prompts = usages[::answers_each]
    prompt, completion = sum(one.prompt_tokens for one in prompts), sum(one.completion_tokens for one in usages)
    return {
        "prompt_tokens": prompt,
        "completion_tokens": completion,
        "total_tokens": prompt + completion,
        "prompt_tokens_details": {"cached_tokens": sum(one.cached_tokens for one in prompts)},
    }


def _chat_token(token: ToldToken) -> dict[str, Any]:
    return {**_chance(token.own), "top_logprobs": [_chance(each) for each in token.likeliest]}


def _chance(chance: Chance) -> dict[str, Any]:
    return {"token": _text(chance), "logprob": _logprob(chance), "bytes": list(chance.text)}


def _text(chance: Chance) -> str:
    return chance.text.decode("utf-8", "replace")


def _logprob(chance: Chance) -> float:
    return math.log(chance.probability) if chance.probability > 0 else _LEAST_LOGPROB
