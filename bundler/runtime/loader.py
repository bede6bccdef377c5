"""Loads the models of one bundle, each when it is told to, never two at a time; each counts what the others take."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from functools import partial

from bundler.runtime.bundlefile import BundleFile
from bundler.runtime.defaults import from_manifest
from bundler.runtime.engine.interface import Loaded, Progress
from bundler.runtime.settings import LoadSettings
from bundler.runtime.startup import Startup, load_model


class Loader:
    """The loading of every model of a bundle."""

    def __init__(self, bundle: BundleFile, settings: LoadSettings, environment: Mapping[str, str]) -> None:
        self._bundle = bundle
        self._settings = settings
        self._environment = environment
        self._turn = threading.Lock()
        self._startups: dict[str, Startup] = {}

    def begin(self, name: str, startup: Startup) -> None:
        """Load a model now."""
        self._startups[name] = startup
        startup.begin(partial(self._load, name))

    def later(self, name: str) -> Startup:
        """A model that is loaded when it is first asked for."""
        self._startups[name] = Startup.later(partial(self._load, name))
        return self._startups[name]

    def _load(self, name: str, progress: Progress) -> Loaded:
        own = self._bundle.of(name)
        options = self._settings.options(from_manifest(own.manifest))
        with self._turn:
            beside = [startup.loaded for other, startup in self._startups.items() if other != name]
            return load_model(own, options, self._environment, progress, [each for each in beside if each])
