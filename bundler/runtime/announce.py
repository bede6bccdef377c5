"""What a starting bundle tells people: where it listens, how far it is, what it decided."""

from __future__ import annotations

import sys
import threading
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Self, TextIO

if TYPE_CHECKING:
    from bundler.formats.manifest import Model
    from bundler.runtime.address import Listening
    from bundler.runtime.bundlefile import BundleFile
    from bundler.runtime.engine.interface import LoadFacts

_REDRAW_SECONDS = 0.1


def size(count: int) -> str:
    """Bytes for people, in binary units: 532 B, 14.2 MiB, 3.91 GiB."""
    value, units = float(count), ["B", "KiB", "MiB", "GiB", "TiB"]
    while value >= 999.5 and len(units) > 1:
        value /= 1024
        units.pop(0)
    return f"{value:.3g} {units[0]}"


def amount(count: int) -> str:
    """A number of weights: 5.12 million, 1.24 billion."""
    for unit, name in ((10**9, "billion"), (10**6, "million")):
        if count >= unit:
            return f"{count / unit:.3g} {name}"
    return f"{count:,}"


def model_line(model: Model) -> str:
    """The facts of a model in one line; what is not known is left out."""
    facts = [
        model.architecture,
        f"{amount(model.parameters)} weights" if model.parameters else "",
        model.quantization,
        size(model.size),
        f"trained on {model.context_length:,} tokens of context" if model.context_length else "",
    ]
    return ", ".join(fact for fact in facts if fact)


def listening(bundle: BundleFile, place: Listening, page_url: str) -> None:
    """The first lines of a server, printed as soon as it has its port. Only `page_url` may have the API key in it."""
    _tell(f"{bundle.manifest.name}  {model_line(bundle.model)}")
    _tell(f"listening on {place.url}")
    if place.moved:
        _tell(f"  ({place.moved}; {place.port} is the next one that was free)")
    if page_url == place.url:
        use = "open it in a browser to chat; " if bundle.model.role == "chat" else ""
        _tell(f"  {use}OpenAI clients use it with /v1")
    else:
        _tell(f"  open {page_url} in a browser to chat; OpenAI clients use it with /v1 and the key")
    _also_here(bundle)


def _also_here(bundle: BundleFile) -> None:
    if others := bundle.manifest.names[1:]:
        _tell(f"  also here, loaded when a request names it: {', '.join(others)}")


def open_to_network(place: Listening, *, with_key: bool) -> None:
    """A warning that goes with an address beyond this machine."""
    where = f"{place.host}:{place.port}"
    danger = (
        f"the key and all that is said goes to {where} unencrypted"
        if with_key
        else f"everybody who can reach {where} over the network can use this model"
    )
    print(f"warning: {danger}", file=sys.stderr)


def ready(facts: LoadFacts) -> None:
    """What was decided while loading, with what it costs."""
    conversations = f" in up to {facts.parallel} conversations at once" if facts.parallel > 1 else ""
    if facts.cells:
        context = f"{facts.context_length:,} tokens of context{conversations} ({size(facts.context_size)} in all)"
    else:
        context = f"embeddings of texts of up to {facts.context_length:,} tokens"
    threads = f"{facts.threads} thread{'s' if facts.threads != 1 else ''}"
    _tell(f"ready, loaded in {sum(facts.seconds.values()):.2f} s: {context}, {threads}; Ctrl-C stops it")


def running(name: str, url: str) -> None:
    """This bundle runs already, so this start only points at it."""
    _tell(f"{name} is running already: {url}")


def say(line: str) -> None:
    """A line on stdout, at once, also into a pipe."""
    print(line, flush=True)


def _tell(line: str) -> None:
    """A line that a server goes on without, where nobody reads its output any more."""
    with suppress(BrokenPipeError):
        say(line)


class ProgressLine:
    """One line on a terminal, drawn over and over; nothing where `stream` is no terminal. Any thread may tell."""

    def __init__(self, stream: TextIO | None = None) -> None:
        self._stream = stream or sys.stderr
        self._shown = bool(self._stream and self._stream.isatty())
        self._lock = threading.Lock()
        self._drawn_at = 0.0
        self._drawn = False

    def tell(self, fraction: float, stage: str) -> None:
        """Draw how far it is (0 to 1), at most ten times a second."""
        now = time.monotonic()
        if not self._shown or now - self._drawn_at < _REDRAW_SECONDS:
            return
        with self._lock:
            if not self._shown:  # cleared by another thread meanwhile
                return
            self._drawn_at, self._drawn = now, True
            self._stream.write(f"\r{stage} … {fraction:4.0%}\x1b[K")
            self._stream.flush()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.clear()

    def clear(self) -> None:
        """Take the line away; later calls of `tell` are ignored."""
        self._shown = False
        with self._lock:
            if self._drawn:
                self._stream.write("\r\x1b[K")
                self._stream.flush()
                self._drawn = False
