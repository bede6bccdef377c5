"""One internal request, one event stream: what every API dialect translates to and from.

Plain values. Knows nothing of HTTP, templates or llama.cpp. A dialect makes a `Request`; the service (`service.py`)
renders its messages, hands token ids to the engine, and answers with a stream of `Event`s that ends in exactly one
`Finished` or `Failed`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal

import msgspec

if TYPE_CHECKING:
    from bundler.prompt.conversation import ThinkLevel

FinishReason = Literal["stop", "length", "cancelled"]


class ChatMessage(msgspec.Struct, frozen=True):
    role: str
    content: str
    extra: dict[str, Any] = {}
    """Further keys that a chat template may read (tool_calls, tool_call_id, name, …)."""


SAMPLERS = ("penalties", "dry", "top_n_sigma", "top_k", "typ_p", "top_p", "min_p", "xtc", "temperature")
"""llama-server's names, in its order. Where `temperature` is not among them, tokens are drawn at 1."""


class Sampling(msgspec.Struct, frozen=True, kw_only=True):
    """How the next token is drawn. The defaults are Ollama's."""

    temperature: float = 0.8
    """0 is greedy."""
    top_k: int = 40
    """0 or less: off."""
    top_p: float = 0.9
    min_p: float = 0.0
    typical_p: float = 1.0
    repeat_penalty: float = 1.0
    repeat_last_n: int = 64
    """Tokens looked back on for penalties; 0 is off, -1 the whole context."""
    presence_penalty: float = 0.0
    frequency_penalty: float = 0.0
    seed: int | None = None
    """None: a new one each time."""
    top_n_sigma: float = -1.0
    """Standard deviations below the best logit that a token may lie; 0 or less: off."""
    xtc_probability: float = 0.0
    """How often the likeliest of the tokens above `xtc_threshold` are left out."""
    xtc_threshold: float = 0.1
    dynatemp_range: float = 0.0
    """The temperature moves by so much with the entropy."""
    dynatemp_exponent: float = 1.0
    dry_multiplier: float = 0.0
    """Weight of the penalty on repeated passages; 0: off."""
    dry_base: float = 1.75
    dry_allowed_length: int = 2
    dry_penalty_last_n: int = -1
    dry_sequence_breakers: tuple[str, ...] = ("\n", ":", '"', "*")
    mirostat: Literal[0, 1, 2] = 0
    """Mirostat of this version in place of the truncating samplers."""
    mirostat_tau: float = 5.0
    mirostat_eta: float = 0.1
    adaptive_target: float = -1.0
    """Probability that drawn tokens are kept around; below 0: off."""
    adaptive_decay: float = 0.9
    min_keep: int = 0
    """Fewest tokens that a truncating sampler leaves."""
    samplers: tuple[str, ...] = SAMPLERS
    """Which samplers there are, and their order."""
    logit_bias: dict[int, float] = {}
    """Added to the logit of a token; -inf forbids it."""


class Form(msgspec.Struct, frozen=True):
    """What an answer has to look like."""

    kind: Literal["schema", "grammar", "expression"]
    source: Any
    """A JSON schema, a grammar in GBNF, or a regular expression."""


class Request(msgspec.Struct, frozen=True, kw_only=True):
    """Continue a chat (`messages`) or a text (`prompt`); exactly one of them is given."""

    messages: Sequence[ChatMessage] | None = None
    prompt: str | Sequence[int] | None = None
    suffix: str = ""
    """What comes after the text that is asked for, where `prompt` comes before it."""
    sampling: Sampling = Sampling()
    stop: Sequence[str] = ()
    """Stop strings; never part of the answer."""
    max_tokens: int | None = None
    """Most tokens generated; None: until the model stops or the context is full."""
    truncate: bool = False
    """Make a prompt that is too long shorter, rather than refuse it: a chat loses its older messages, then the middle
    of its tokens is left out."""
    shift: bool = False
    """Where the context is full, drop older tokens and go on, rather than end the answer. Ollama does both."""
    keep: int = 0
    """Tokens at the beginning that are neither left out nor dropped, beside BOS; below 0: the whole prompt."""
    writing_seconds: float | None = None
    """End the answer at the first end of a line that comes later than this after its first token."""
    keep_alive: float | None = None
    """Seconds that the model stays in memory after this request; None: as the server was started."""
    form: Form | None = None
    likeliest: int | None = None
    """Tell each token's probability, and so many of the likeliest at its place; None: do not."""
    ignore_end: bool = False
    """Go on where the model would end its answer."""
    template_arguments: dict[str, Any] = {}
    """Extra variables for the chat template (`chat_template_kwargs`)."""
    tools: Sequence[dict[str, Any]] = ()
    """This and what follows is for chats, and described in `bundler.prompt.conversation`."""
    documents: Sequence[dict[str, Any]] = ()
    think: bool | ThinkLevel | None = None
    add_generation_prompt: bool = True
    continue_final: bool = False


class Usage(msgspec.Struct, frozen=True, kw_only=True):
    prompt_tokens: int
    completion_tokens: int
    cached_tokens: int = 0
    """Of the prompt, those whose state was already there."""
    prompt_seconds: float = 0.0
    completion_seconds: float = 0.0


class Started(msgspec.Struct, frozen=True):
    """The prompt was accepted."""

    prompt_tokens: int


class Chance(msgspec.Struct, frozen=True):
    """How likely a token was before any sampler."""

    text: bytes
    """Maybe part of a character only."""
    probability: float


class ToldToken(msgspec.Struct, frozen=True):
    """A token of the answer, and the likeliest ones at its place, best first."""

    own: Chance
    likeliest: Sequence[Chance]


class Delta(msgspec.Struct, frozen=True):
    """More of the answer: always whole characters, never part of a stop string."""

    text: str
    tokens: Sequence[ToldToken] = ()
    """Those that were drawn since the last one, where that was asked for; their text may come later."""
    last: bool = False
    """Whether the end of the answer is known already, and the next event."""


class Finished(msgspec.Struct, frozen=True):
    reason: FinishReason
    usage: Usage


class Failed(msgspec.Struct, frozen=True):
    """The request could not be answered."""

    kind: Literal["invalid_request", "context_length", "form", "overloaded", "unavailable", "timeout", "internal"]
    """`form`: the answer had begun, and nothing can follow in the form that was asked for; `unavailable`: the server is
    stopping, or could not load its model; `timeout`: no answer began in time."""
    message: str


Event = Started | Delta | Finished | Failed
