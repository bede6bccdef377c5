"""The engine's contract: what the service above it may rely on, and what a fake engine in a test must offer.

Token ids in, token ids out. Text, stop strings, templates and HTTP live above; llama.cpp lives below
(`bundler.runtime.llama`). Plain types, cheap to import. The real ones:
    verdict = probe.choose(libraries.folder(os.environ), cache, os.environ)      # a millisecond when cached
    loaded = loading.load(weights, libraries_folder, verdict, options, progress)     # in any thread
"""

from __future__ import annotations

import mmap
from collections.abc import Callable, Sequence
from typing import Any, Literal, Protocol

import msgspec

from bundler.runtime.request import Sampling

EngineReason = Literal["stop", "length", "timeout", "cancelled", "constraint", "failed"]


class EngineFinish(msgspec.Struct, frozen=True, kw_only=True):
    """How a job ended. `stop`: the model ended its turn; `length`: `max_tokens` or the context is used up; `timeout`:
    its `time_limit` is, maybe before its first token; `constraint`: its constraint cannot be followed further."""

    reason: EngineReason
    prompt_tokens: int
    completion_tokens: int
    """Tokens generated, with those that a shift dropped and the end-of-generation token (which is never handed out)."""
    cached_tokens: int
    """Of the prompt, those whose state was still there from an earlier job."""
    prompt_seconds: float
    """From admission (the end of queueing) until the first token was drawn."""
    completion_seconds: float
    """From the first token to the last."""
    error: str = ""
    """Why a job failed, or its constraint; empty otherwise."""


OnTokens = Callable[[list[int], EngineFinish | None], None]
"""Called from the engine's thread, in order: new tokens (maybe none), and the finish with the last call of a job.

It must return quickly and must not raise: hand over to another thread or event loop and come back.
"""


class Matcher(Protocol):
    """Follows one answer through a constraint. Used from the engine's thread alone."""

    def allows(self, token: int) -> bool:
        """Whether the token may come next; an end-of-generation token, whether the answer may end here."""

    def allowed(self) -> bytes:
        """For every token of the vocabulary a byte: 0 where it may not come next.

        Raises:
            BundleError: the constraint is too complex to follow further.
        """

    def accept(self, token: int) -> None:
        """Go on after a token that is allowed."""

    def close(self) -> None:
        """Free it."""


Constraint = Callable[[], Matcher]
"""What an answer may be; each answer begins a matcher of its own."""


class Chance(msgspec.Struct, frozen=True):
    """How likely a token was before any sampler."""

    token: int
    probability: float


class Drawn(msgspec.Struct, frozen=True):
    """A token that was drawn, and the likeliest ones at its place, best first."""

    token: int
    probability: float
    likeliest: Sequence[Chance]


class Job(msgspec.Struct, frozen=True, kw_only=True):
    """Continue `prompt`."""

    prompt: Sequence[int]
    """Token ids, at least one, every special token already in place."""
    encoded: Sequence[int] = ()
    """What the encoder of an encoder-decoder model reads; `prompt` is what its decoder begins with."""
    sampling: Sampling = Sampling()
    max_tokens: int | None = None
    """Most tokens generated; None: until the model stops or the context is full, with `shift` ten contexts."""
    time_limit: float | None = None
    """Most seconds from now, waiting included; looked at between two steps."""
    shift: bool = False
    """Where the context is full, drop the older half of what comes after the first `keep` tokens, and go on."""
    keep: int = 0
    """Below 0: the whole prompt. A context keeps four tokens that can be dropped."""
    ignore_end: bool = False
    """Go on after an end-of-generation token (benchmarks)."""
    constraint: Constraint | None = None
    likeliest: int | None = None
    """Tell each token's probability, and so many of the likeliest at its place; None: do not."""
    on_tokens: OnTokens
    on_drawn: Callable[[Drawn], None] | None = None
    """Called before `on_tokens` for each token, where probabilities are told."""


class Overloaded(Exception):  # noqa: N818 - the state of the engine, which clients know by this word
    """The queue is full; try again later."""

    def __init__(self, waiting: int) -> None:
        super().__init__(f"{waiting} requests are waiting already; try again later")
        self.waiting = waiting


class PromptTooLong(Exception):  # noqa: N818 - as above
    """The prompt leaves no room for a single new token."""

    def __init__(self, prompt_tokens: int, context_length: int, *, at_least: bool = False) -> None:
        count = f"at least {prompt_tokens}" if at_least else str(prompt_tokens)
        super().__init__(f"the prompt has {count} tokens, and the context holds {context_length}, the answer included")
        self.prompt_tokens = prompt_tokens
        self.context_length = context_length


class EngineClosed(Exception):  # noqa: N818 - as above
    """The engine was closed, or died of an error that it reports as its message."""


class Handle(Protocol):
    def cancel(self) -> None:
        """End the job soon, from any thread, as often as wanted.

        Its `on_tokens` still gets one finish (`cancelled`), unless it has had one already.
        """


class Engine(Protocol):
    @property
    def context_length(self) -> int:
        """Most tokens of one sequence, prompt and answer together."""

    @property
    def parallel(self) -> int:
        """Most sequences computed at the same time; further jobs wait in a queue."""

    def submit(self, job: Job) -> Handle:
        """Queue a job, from any thread.

        Raises:
            Overloaded: the queue is full.
            PromptTooLong: the prompt does not fit the context.
            EngineClosed: after `close`.
            ValueError: an empty prompt, or a token id outside the vocabulary.
        """

    def close(self) -> None:
        """Cancel every job, stop the thread, free the model. Safe to call twice."""


class Vocabulary(Protocol):
    """Text to token ids and back. Its methods may be called from any thread."""

    size: int
    bos: int
    """Begin-of-sequence token id, -1 where the model has none; so too `eos`."""
    eos: int
    add_bos: bool
    """Whether the model expects its begin-of-sequence token before every prompt."""

    @property
    def longest_piece(self) -> int:
        """Bytes of the longest token, special ones included; found at the first call, in tenths of a second."""

    def tokenize(self, text: str, *, add_special: bool, parse_special: bool) -> list[int]:
        """Token ids of `text`: with BOS/EOS as the model wants them, with `<|…|>` markers read as such."""

    def piece(self, token: int, *, special: bool = False) -> bytes:
        """The bytes of one token: maybe part of a UTF-8 character. Control tokens are empty unless `special`.

        Raises:
            ValueError: no such token.
        """

    def is_end(self, token: int) -> bool:
        """Whether the token ends a generation (EOS, EOT, …)."""


class WeightsRange(msgspec.Struct, frozen=True, kw_only=True):
    """A GGUF inside an open file. The descriptor stays the caller's."""

    descriptor: int
    offset: int
    """First byte, counted from byte 0 of the file."""
    size: int


class AdapterRange(msgspec.Struct, frozen=True, kw_only=True):
    """A LoRA adapter, and how strongly it is applied."""

    weights: WeightsRange
    scale: float


State = bytes | bytearray | memoryview | mmap.mmap
"""Of a sequence: bytes that llama.cpp wrote, and reads again into a context of the same kind."""


class Warmth(msgspec.Struct, frozen=True, kw_only=True):
    """The state of a model after the tokens that every chat begins with, from an earlier evaluation."""

    tokens: Sequence[int]
    exact: int
    """See `formats.manifest.Warm`."""
    read: Callable[[], State]
    """The state; raises a BundleError where it is damaged."""


CacheType = Literal["f16", "f32", "bf16", "q8_0", "q4_0", "q4_1", "iq4_nl", "q5_0", "q5_1"]
"""How the KV cache holds keys or values."""


class LoadOptions(msgspec.Struct, frozen=True, kw_only=True):
    context_length: int | None = None
    """Tokens per sequence; None: a bounded default fitted to memory."""
    parallel: int | None = None
    """Sequences at a time; None: 4, fewer where memory is tight."""
    queue: int | None = None
    """Most requests that wait for others to end; None: a default."""
    threads: int | None = None
    """None: one per usable physical core."""
    threads_batch: int | None = None
    """For prompts; None: as many as `threads`."""
    batch: int | None = None
    """Most tokens of a step, in whole CHUNKs; None: a default. So too `ubatch`, most tokens computed at once."""
    ubatch: int | None = None
    key_type: CacheType | None = None
    """Of the KV cache; None: f16. So too `value_type`."""
    value_type: CacheType | None = None
    flash_attention: Literal["on", "off", "auto"] | None = None
    saved: int | None = None
    """Most bytes of conversations that had to leave the KV cache; None: some full contexts, as memory allows."""
    load_mode: Literal["mmap", "read"] | None = None
    """None: by the model's share of the file."""
    verbose: bool = False
    """Print llama.cpp's own log on stderr."""
    embeds: bool = False
    """The model makes embeddings and generates no text."""
    adapters: Sequence[AdapterRange] = ()
    """Applied to every sequence, so what is computed once may be shared by all."""
    warmth: Warmth | None = None
    beside: Sequence[LoadFacts] = ()
    """The models that the process has loaded already: what they take counts."""


class Rejected(msgspec.Struct, frozen=True):
    variant: str
    reason: str


class Verdict(msgspec.Struct, frozen=True, kw_only=True):
    """Which CPU variant of llama.cpp is used, and why not the better ones."""

    chosen: str
    """`haswell`, `zen4`, …: the middle of `libggml-cpu-<variant>.so`."""
    reason: str
    """One sentence for people."""
    rejected: list[Rejected] = []


class LoadFacts(msgspec.Struct, frozen=True, kw_only=True):
    """What `info` and the start-up lines show of a loaded model. Sizes in bytes, times in seconds."""

    description: str
    """llama.cpp's own: `llama 1B Q4_K - Medium`."""
    parameters: int
    weights_size: int
    trained_context: int
    context_length: int
    context_reason: str
    context_size: int
    """Memory of the whole KV cache."""
    cells: int = 0
    """Tokens that the cache holds, all sequences together: no fewer than `context_length`."""
    parallel: int
    parallel_reason: str
    threads: int
    threads_reason: str
    load_mode: Literal["mapped", "read"]
    load_reason: str
    repacked_size: int
    """Weights copied into a layout that this CPU is faster with: private memory of the process."""
    warm_tokens: int = 0
    """Tokens that every chat begins with, whose state came with the bundle."""
    seconds: dict[str, float]
    """By stage: `libraries`, `prefetch`, `model`, `context`."""

    @property
    def mapped_size(self) -> int:
        """Bytes of weights that are used where they lie in the file: to the system they look like free memory."""
        return max(0, self.weights_size - self.repacked_size) if self.load_mode == "mapped" else 0


class Constraints(Protocol):
    """Makes constraints of what clients ask for. Its methods may be called from any thread, and take a while.

    Each raises a BundleError where it is given what it cannot follow.
    """

    def schema(self, schema: Any) -> Constraint:
        """JSON that a JSON schema allows; `{}` allows any."""

    def expression(self, pattern: str) -> Constraint:
        """A text that a regular expression matches as a whole."""

    def gbnf(self, text: str) -> Constraint:
        """A text that a grammar in llama.cpp's notation allows."""


Pooling = Literal["none", "mean", "cls", "last", "rank"]
"""How the states of a sequence become one vector: not at all, their mean, the first, the last, or a score."""


class Pairing(msgspec.Struct, frozen=True, kw_only=True):
    """How a reranker takes a query and a document: as a text that has places for both, or else in a row."""

    template: str = ""
    """With `{query}` and `{document}`; empty: there is none."""
    before: Sequence[int] = ()
    """Token ids before the query; so too `between` query and document, and `after` them."""
    between: Sequence[int] = ()
    after: Sequence[int] = ()


class Embedder(Protocol):
    """Makes vectors of token ids. Its methods may be called from any thread, and block while they compute."""

    longest: int
    """Most tokens of one text."""
    dimensions: int
    """Numbers of one vector."""
    pooling: Pooling
    pairing: Pairing | None
    """None: it is no reranker."""

    def embed(self, inputs: Sequence[Sequence[int]]) -> list[list[list[float]]]:
        """For each text its vectors: one, or without pooling one for each token. They are not normalised.

        Raises:
            BundleError: a text is empty or too long, or the computation failed.
        """


class Loaded(msgspec.Struct, frozen=True, kw_only=True):
    engine: Engine
    vocabulary: Vocabulary
    constraints: Constraints | None = None
    embedder: Callable[[], Embedder] | None = None
    """Raises a BundleError where there is not enough memory for one."""
    facts: LoadFacts


Progress = Callable[[float, str], None]
"""Called from the loading thread with a fraction 0..1 and the stage in words."""

BEGUN = 0.001
"""The least fraction that says that loading reads, tests or computes, and no longer only prepares to."""
