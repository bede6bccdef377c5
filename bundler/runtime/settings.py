"""What can be set when a bundle starts: the options of `serve` and `run`, their environment variables, their values.

Plain values. Parses single values and environment variables; whole command lines are `cli.py`'s.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import msgspec

from bundler.runtime.defaults import Defaults
from bundler.runtime.engine.interface import LoadOptions


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
    threads: int | None = None
    verbose: bool = False

    def options(self, defaults: Defaults) -> LoadOptions:
        """For the engine: what was asked for here, else by the Modelfile."""
        return LoadOptions(
            context_length=self.ctx_size or defaults.context_length,
            parallel=self.parallel,
            threads=self.threads or defaults.threads,
            verbose=self.verbose,
        )


class ServeSettings(msgspec.Struct, frozen=True, kw_only=True):
    load: LoadSettings = LoadSettings()
    host: str | None = None
    """None: 127.0.0.1."""
    port: int | None = None
    """None: 11434, or the next one that is free."""
    browser: bool = True
    """Open the page where there is a desktop."""
    api_key: str | None = None
    """None: the API asks for no key."""


@dataclass(frozen=True)
class Option:
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


def api_key(text: str) -> str:
    """A key that fits into a header; raises ValueError with a reason that does not tell it."""
    if not text or not all("!" <= character <= "~" for character in text):
        raise ValueError("a key is made of ASCII letters, digits and punctuation, without spaces")
    return text


LOADING = (
    Option("ctx-size", "tokens of one conversation, prompt and answer together", whole_number(16, 1 << 24), "N"),
    Option("parallel", "requests answered at the same time", whole_number(1, 256), "N"),
    Option("threads", "threads that compute", whole_number(1, 1024), "N"),
    Option("verbose", "tell more on stderr: requests, and llama.cpp's own log", switch),
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
    return LoadSettings(
        ctx_size=values.get("ctx_size"),
        parallel=values.get("parallel"),
        threads=values.get("threads"),
        verbose=values.get("verbose", False),
    )


def serve_settings(values: Mapping[str, Any]) -> ServeSettings:
    """Settings from parsed values by option key."""
    return ServeSettings(
        load=load_settings(values),
        host=values.get("host"),
        port=values.get("port"),
        browser=not values.get("no_browser", False),
        api_key=values.get("api_key"),
    )
