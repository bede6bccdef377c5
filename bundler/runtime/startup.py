"""Loads the model in a thread while the rest of the program starts, and again later; tells how far it is.

Knows nothing of HTTP or terminals. What is loaded, and how, is the caller's function.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future

import msgspec

from bundler.errors import BundleError
from bundler.runtime.bundlefile import BundleFile
from bundler.runtime.cachefolder import cache_folder
from bundler.runtime.engine.interface import BEGUN, Loaded, LoadOptions, Progress, Verdict

_TURN_SECONDS = 0.0005


class Startup:
    """The loading of one model: a fraction and a stage while it lasts, a `Loaded` or a `BundleError` at its end."""

    def __init__(self, listener: Progress = lambda fraction, stage: None) -> None:
        self._listener = listener
        self.fraction = 0.0
        """0 to 1."""
        self.stage = "starting"
        self.outcome: Future[Loaded] = Future()
        """Of the latest loading."""
        self.unloaded = False
        """Whether the model is not to be had until somebody asks for it: not loaded yet, or taken out."""
        self.under_way = threading.Event()
        """Set once loading reads, tests or computes, and so leaves the interpreter to others, or has ended."""
        self._load: Callable[[Progress], Loaded] | None = None

    @classmethod
    def done(cls, loaded: Loaded) -> Startup:
        """A model that is loaded already."""
        startup = cls()
        startup.outcome.set_result(loaded)
        return startup

    @classmethod
    def later(cls, load: Callable[[Progress], Loaded]) -> Startup:
        """A model that is loaded when it is first asked for."""
        startup = cls()
        startup._load, startup.unloaded = load, True
        return startup

    @property
    def loaded(self) -> Loaded | None:
        """The model, once it is there."""
        outcome = self.outcome  # another thread may put a new one in its place
        return outcome.result() if outcome.done() and outcome.exception() is None else None

    @property
    def running(self) -> bool:
        return not self.unloaded and not self.outcome.done()

    @property
    def failed(self) -> bool:
        return self.outcome.done() and self.outcome.exception() is not None

    def begin(self, load: Callable[[Progress], Loaded]) -> None:
        """Start `load` in a daemon thread, and let threads take turns at the interpreter often from now on.

        llama.cpp calls back while it loads, and the engine hands out tokens: neither shall wait five milliseconds each
        time for a thread that is busy importing or answering.
        """
        sys.setswitchinterval(_TURN_SECONDS)
        self._load = load
        threading.Thread(target=self._run, args=(load,), name="load", daemon=True).start()

    def unload(self) -> Loaded | None:
        """Take the model out, for the caller to close; None where it is not there, or was not loaded by `begin`."""
        loaded = self.loaded if self._load else None
        if loaded is not None:
            self.outcome, self.unloaded = Future(), True
        return loaded

    def again(self) -> None:
        """Load as at first, after `unload` or a failure."""
        assert self._load is not None
        self.fraction, self.stage = 0.0, "starting"
        self.outcome, self.unloaded = Future(), False
        self.begin(self._load)

    async def wait(self) -> Loaded:
        """The model, when it is loaded.

        Raises:
            BundleError: it could not be loaded.
        """
        if self.loaded is not None:
            return self.loaded
        import asyncio  # loading begins before this is worth its import

        return await asyncio.shield(asyncio.wrap_future(self.outcome))

    def _run(self, load: Callable[[Progress], Loaded]) -> None:
        try:
            loaded = load(self._tell)
        except BundleError as error:
            self.outcome.set_exception(error)
        except MemoryError:
            self.outcome.set_exception(
                BundleError(
                    "failed to load the model: there is not enough memory",
                    "close other programs, or give a smaller --ctx-size",
                )
            )
        except Exception as error:
            failure = BundleError(f"failed to load the model: {type(error).__name__}: {error}")
            failure.__cause__ = error
            self.outcome.set_exception(failure)
        else:
            self.fraction = 1.0
            self.outcome.set_result(loaded)
        finally:
            self.under_way.set()

    def _tell(self, fraction: float, stage: str) -> None:
        self.fraction, self.stage = max(fraction, self.fraction), stage
        if fraction > 0:
            self.under_way.set()
        self._listener(self.fraction, stage)


def choose_variant(environment: Mapping[str, str], testing: Callable[[], None] = lambda: None) -> Verdict:
    """The CPU variant for this machine: known from an earlier start, or found out now in a child process.

    `testing` is called before the latter.

    Raises:
        BundleError: llama.cpp's libraries are not there, or not one variant works.
    """
    from bundler.runtime import libraries, probe  # llama.cpp's side, for those commands alone that need it

    return probe.choose(libraries.folder(environment), cache_folder(environment), environment, testing=testing)


def load_model(
    bundle: BundleFile,
    options: LoadOptions,
    environment: Mapping[str, str],
    progress: Progress,
    beside: Sequence[Loaded] = (),
) -> Loaded:
    """Check the weights, choose the CPU variant, load; `beside` are the models that this process has loaded already.

    Raises:
        BundleError: one of them failed.
    """
    from bundler.runtime import libraries, loading
    from bundler.runtime.llama import lostfile

    lostfile.watch()
    progress(0.0, "checking the weights")
    weights = bundle.weights()
    verdict = choose_variant(environment, lambda: progress(BEGUN, "choosing the CPU variant"))
    options = msgspec.structs.replace(options, embeds=bundle.model.role == "embedding")
    options = msgspec.structs.replace(options, adapters=bundle.adapters(), beside=[each.facts for each in beside])
    if bundle.manifest.warm is not None:
        from bundler.runtime import warm

        warmth = warm.warmth(bundle, environment.get("BUNDLE_TARGET", ""), options)
        options = msgspec.structs.replace(options, warmth=warmth)
    return loading.load(weights, libraries.folder(environment), verdict, options, progress)
