"""What the fields say that chats and completions share: sampling, the form of the answer, where it stops.

The names are OpenAI's and llama-server's.
"""

from __future__ import annotations

import math
from typing import Any

import msgspec

from bundler.runtime import durations
from bundler.runtime.api.errors import ApiError, unsupported
from bundler.runtime.api.openai_bodies import Common
from bundler.runtime.defaults import Defaults
from bundler.runtime.request import SAMPLERS, Form, Sampling

_SAMPLING = tuple(name for name in Sampling.__struct_fields__ if name not in ("seed", "logit_bias", "samplers"))
_ALIASES = {"typical_p": "typ_p", "typical": "typ_p", "temp": "temperature", "top-k": "top_k", "top-p": "top_p"}
_BANNED = -100.0
"""OpenAI's value for a token that must not come."""


def settings(body: Common, defaults: Defaults, asked_tokens: int | None) -> dict[str, Any]:
    """The fields of an internal `Request` that do not make its prompt.

    Raises:
        ApiError: something makes no sense (400).
    """
    limit = body.t_max_predict_ms or 0
    return {
        "sampling": _sampling(body, defaults),
        "stop": [body.stop] if isinstance(body.stop, str) else list(body.stop or ()),
        "max_tokens": _limit(asked_tokens, defaults),
        "form": _form(body),
        "ignore_end": bool(body.ignore_eos),
        "truncate": bool(body.truncate),
        "shift": defaults.shift if body.shift is None else body.shift,
        "keep": defaults.keep if body.n_keep is None else body.n_keep,
        "writing_seconds": limit / 1000 if limit > 0 else None,
        "keep_alive": _keep_alive(body.keep_alive),
    }


def _keep_alive(given: float | str | None) -> float | None:
    """Seconds; infinity where they are negative."""
    if isinstance(given, str):
        try:
            return durations.seconds(given)
        except ValueError as cause:
            raise ApiError(400, f"keep_alive: {cause}", param="keep_alive") from cause
    return math.inf if given is not None and given < 0 else given


def _sampling(body: Common, defaults: Defaults) -> Sampling:
    given: dict[str, Any] = {name: getattr(body, name) for name in _SAMPLING if getattr(body, name) is not None}
    if body.seed is not None:
        given["seed"] = None if body.seed == -1 else body.seed % 2**32
    if body.logit_bias:
        given["logit_bias"] = _biases(body.logit_bias)
    if body.samplers is not None:
        names = tuple(_ALIASES.get(name, name) for name in body.samplers)
        unknown = sorted(set(names) - set(SAMPLERS))
        if unknown:
            raise ApiError(400, f"samplers: {unknown[0]!r} is none of {', '.join(SAMPLERS)}", param="samplers")
        given["samplers"] = names
    return msgspec.structs.replace(defaults.sampling, **given)


def _biases(given: dict[str, float] | list[Any]) -> dict[int, float]:
    """By token id: OpenAI's object, or llama-server's list of pairs, where false forbids a token."""
    pairs = given.items() if isinstance(given, dict) else given
    biases = {}
    for token, bias in pairs:
        if isinstance(token, str) and not token.isdecimal():
            raise ApiError(400, f"logit_bias: {token!r} is no token id", param="logit_bias")
        forbidden = bias is False or bias <= _BANNED
        biases[int(token)] = -math.inf if forbidden else float(bias)
    return biases


def _form(body: Common) -> Form | None:
    """At most one of response_format, json_schema and grammar."""
    wanted = body.response_format
    forms: list[tuple[str, Form]] = []
    if wanted and wanted.type == "json_schema":
        if wanted.json_schema is None or wanted.json_schema.schema is None:
            raise ApiError(400, "response_format.json_schema.schema is required", param="response_format")
        forms.append(("response_format", Form("schema", wanted.json_schema.schema)))
    elif wanted and wanted.type == "json_object":
        forms.append(
            ("response_format", Form("schema", {"type": "object"} if wanted.schema is None else wanted.schema))
        )
    elif wanted and wanted.type != "text":
        raise unsupported(
            "response_format", f"response_format: {wanted.type!r} is none of text, json_object, json_schema"
        )
    if body.json_schema is not None:
        forms.append(("json_schema", Form("schema", body.json_schema)))
    if body.grammar:
        forms.append(("grammar", Form("grammar", body.grammar)))
    if len(forms) > 1:
        raise ApiError(400, f"{forms[1][0]}: the answer's form is given by {forms[0][0]} already", param=forms[1][0])
    return forms[0][1] if forms else None


def _limit(asked: int | None, defaults: Defaults) -> int | None:
    """Clients write "no limit" as -1."""
    if asked is None:
        return defaults.max_tokens
    if asked == 0:
        raise ApiError(400, "max_tokens: at least 1 is needed; leave it out for no limit", param="max_tokens")
    return asked if asked >= 0 else None
