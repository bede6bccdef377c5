"""What can be set when a bundle starts: the options of `serve` and `run`, their environment variables, their values.

Plain values. Parses single values and environment variables; whole command lines are `cli.py`'s.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Literal

import msgspec

from bundler.runtime.defaults import Defaults
from bundler.runtime.durations import seconds
from bundler.runtime.engine.interface import CacheType, LoadOptions
from bundler.runtime.engine.sequence import CHUNK
from bundler.runtime.tuning import CACHE_TYPES, LARGEST_BATCH, whole_chunks


class UsageError(Exception):
    """The command line or an environment variable is wrong: exit code 2."""

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def render(self) -> str:
        """The lines printed on stderr, without a trailing newline."""
        return f"error: {self.message}" + (f"\nhint: {self.hint}" if self.hint else "")


class LoadSettings(msgspec.Struct, frozen=True, kw_only=True):
    """How the model is loaded; None: as the Modelfile says, else decided at start."""

    ctx_size: int | None = None
    """Tokens of one conversation, prompt and answer together."""
    parallel: int | None = None
    """Requests answered at the same time."""
    max_queue: int | None = None
    """Requests that wait beside these; more are refused."""
    threads: int | None = None
    threads_batch: int | None = None
    batch_size: int | None = None
    ubatch_size: int | None = None
    cache_type_k: CacheType | None = None
    cache_type_v: CacheType | None = None
    flash_attn: Literal["on", "off", "auto"] | None = None
    cache_ram: int | None = None
    """MiB."""
    load_mode: Literal["auto", "mmap", "read"] | None = None
    verbose: bool = False

    def options(self, defaults: Defaults) -> LoadOptions:
        """For the engine: what was asked for here, else by the Modelfile."""
        return LoadOptions(
            context_length=self.ctx_size or defaults.context_length,
            parallel=self.parallel,
            queue=self.max_queue,
            threads=self.threads or defaults.threads,
            threads_batch=self.threads_batch,
            batch=self.batch_size or (whole_chunks(defaults.batch) if defaults.batch else None),
            ubatch=self.ubatch_size,
            key_type=self.cache_type_k,
            value_type=self.cache_type_v,
            flash_attention=self.flash_attn,
            saved=None if self.cache_ram is None else self.cache_ram << 20,
            load_mode=None if self.load_mode == "auto" else self.load_mode or defaults.load_mode,
            verbose=self.verbose,
        )


class LifeSettings(msgspec.Struct, frozen=True, kw_only=True):
    """What holds for requests, where they do not say otherwise themselves. Lengths of time in seconds."""

    keep_alive: float | None = None
    """How long the model stays in memory without requests; None, or infinity: for ever."""
    request_timeout: float | None = None
    """Longest that a request may take, waiting included; None: no limit."""
    context_shift: bool = False
    """Where the context is full, drop older tokens and go on, rather than end the answer."""


class ServeSettings(msgspec.Struct, frozen=True, kw_only=True):
    load: LoadSettings = LoadSettings()
    life: LifeSettings = LifeSettings()
    host: str | None = None
    """None: 127.0.0.1."""
    port: int | None = None
    """None: 11434, or the next one that is free."""
    browser: bool = True
    """Open the page where there is a desktop."""
    api_key: str | None = None
    """None: the API asks for no key."""


class Option(msgspec.Struct, frozen=True):
    """One option: `--ctx-size N` and the variable BUNDLE_CTX_SIZE. A switch has no value and so no `metavar`."""

    name: str
    help: str
    parse: Callable[[str], Any]
    metavar: str = ""

    @property
    def key(self) -> str:
        return self.name.replace("-", "_")

    @property
    def variable(self) -> str:
        return f"BUNDLE_{self.key.upper()}"


def whole_number(lowest: int, highest: int) -> Callable[[str], int]:
    """A parser of numbers from `lowest` to `highest`; raises ValueError with the reason."""

    def parse(text: str) -> int:
        try:
            number = int(text)
        except ValueError:
            raise ValueError(f"{text!r} is no whole number") from None
        if not lowest <= number <= highest:
            raise ValueError(f"{number} is not between {lowest} and {highest}")
        return number

    return parse


def number(lowest: float, highest: float) -> Callable[[str], float]:
    """Like `whole_number`, with fractions."""

    def parse(text: str) -> float:
        try:
            value = float(text)
        except ValueError:
            raise ValueError(f"{text!r} is no number") from None
        if not lowest <= value <= highest:
            raise ValueError(f"{text} is not between {lowest:g} and {highest:g}")
        return value

    return parse


def switch(text: str) -> bool:
    """Yes or no, as people write it in environment variables."""
    word = text.strip().lower()
    if word not in ("1", "true", "yes", "on", "0", "false", "no", "off"):
        raise ValueError(f"{text!r} is neither 1 nor 0")
    return word in ("1", "true", "yes", "on")


def one_of(*words: str) -> Callable[[str], str]:
    """A parser of one of these words."""

    def parse(text: str) -> str:
        word = text.strip().lower()
        if word not in words:
            raise ValueError(f"{text!r} is none of {', '.join(words)}")
        return word

    return parse


def batch_size(text: str) -> int:
    """A number of tokens that batches can have."""
    size = whole_number(CHUNK, LARGEST_BATCH)(text)
    if size % CHUNK:
        raise ValueError(f"{size} is no multiple of {CHUNK}")
    return size


def time_limit(text: str) -> float:
    """A length of time above nothing, in seconds."""
    length = seconds(text)
    if not length:
        raise ValueError("no request can be answered in no time at all; leave it out for no limit")
    return length


def api_key(text: str) -> str:
    """A key that fits into a header; raises ValueError with a reason that does not tell it."""
    if not text or not all("!" <= character <= "~" for character in text):
        raise ValueError("a key is made of ASCII letters, digits and punctuation, without spaces")
    return text


LOADING = (
    Option("ctx-size", "tokens of one conversation, prompt and answer together", whole_number(16, 1 << 24), "N"),
    Option("parallel", "requests answered at the same time", whole_number(1, 256), "N"),
    Option("max-queue", "requests that wait beside these; more get 503 (default: 64)", whole_number(0, 1 << 16), "N"),
    Option("threads", "threads that compute", whole_number(1, 512), "N"),
    Option("threads-batch", "threads that compute prompts (default: as many)", whole_number(1, 512), "N"),
    Option("batch-size", "most tokens computed in one step", batch_size, "N"),
    Option("ubatch-size", "of these, most computed at once; fewer take less memory", batch_size, "N"),
    Option(
        "cache-type-k", f"how keys are held in the KV cache: {', '.join(CACHE_TYPES)}", one_of(*CACHE_TYPES), "TYPE"
    ),
    Option("cache-type-v", "how values are held; smaller ones than f16 cost accuracy", one_of(*CACHE_TYPES), "TYPE"),
    Option("flash-attn", "flash attention: on, off or auto", one_of("on", "off", "auto"), "WORD"),
    Option("cache-ram", "most MiB of conversations that had to leave the KV cache", whole_number(0, 1 << 24), "MIB"),
    Option(
        "load-mode",
        "mmap: use the weights where they lie in the file; read: read them into memory; or auto",
        one_of("auto", "mmap", "read"),
        "MODE",
    ),
    Option("verbose", "tell more on stderr: requests, and llama.cpp's own log", switch),
)
LIFE = (
    Option(
        "keep-alive",
        "unload the model after so long without requests (5m, 1h30m, seconds; below 0: never, the default)",
        seconds,
        "TIME",
    ),
    Option(
        "request-timeout", "longest that a request may take, waiting included (default: no limit)", time_limit, "TIME"
    ),
    Option("context-shift", "go on where the context is full: drop older tokens, rather than end the answer", switch),
)
SERVING = (
    Option("host", "address to listen on (default: 127.0.0.1, for this machine alone)", str, "ADDRESS"),
    Option("port", "port to listen on (default: 11434, or the next one that is free)", whole_number(0, 65535), "PORT"),
    Option(
        "api-key",
        "key that the API asks for; BUNDLE_API_KEY is the better place, as others on the machine can see arguments",
        api_key,
        "KEY",
    ),
    Option("no-browser", "do not open the page in a browser", switch),
    *LOADING,
    *LIFE,
)


def from_environment(options: tuple[Option, ...], environment: Mapping[str, str]) -> dict[str, Any]:
    """The values that environment variables give; empty ones count as absent.

    Raises:
        UsageError: a value is wrong.
    """
    values: dict[str, Any] = {}
    for option in options:
        text = environment.get(option.variable, "")
        if text:
            try:
                values[option.key] = option.parse(text)
            except ValueError as cause:
                raise UsageError(f"the environment variable {option.variable}: {cause}") from cause
    return values


def load_settings(values: Mapping[str, Any]) -> LoadSettings:
    """Settings from parsed values by option key; absent ones stay undecided."""
    return LoadSettings(**{name: values[name] for name in LoadSettings.__struct_fields__ if name in values})


def life_settings(values: Mapping[str, Any]) -> LifeSettings:
    """Settings from parsed values by option key; absent ones have their defaults."""
    return LifeSettings(**{name: values[name] for name in LifeSettings.__struct_fields__ if name in values})


def serve_settings(values: Mapping[str, Any]) -> ServeSettings:
    """Settings from parsed values by option key."""
    return ServeSettings(
        load=load_settings(values),
        life=life_settings(values),
        host=values.get("host"),
        port=values.get("port"),
        browser=not values.get("no_browser", False),
        api_key=values.get("api_key"),
    )
