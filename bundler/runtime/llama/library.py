"""Load llama.cpp's shared libraries and exactly the backends that were chosen, each by absolute path.

llama.cpp is process-wide state: one folder of libraries a process. Its log is kept here, for error messages.
"""

from __future__ import annotations

import collections
import ctypes
import functools
import importlib
import importlib.util
import os
import re
import sys
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any

from bundler.errors import BundleError

LIKELIEST = {"win32": "likeliest.dll", "darwin": "liblikeliest.dylib"}.get(sys.platform, "liblikeliest.so")

_LEVEL_DEBUG, _LEVEL_ERROR, _LEVEL_CONTINUED = 1, 4, 5
_LOG_LINES = 200


class Log:
    """The last lines that llama.cpp logged, and the errors among them."""

    def __init__(self) -> None:
        self.verbose = False
        self.listener: Callable[[str], None] = lambda line: None
        """Hears every line."""
        self.lines: collections.deque[str] = collections.deque(maxlen=_LOG_LINES)
        self.errors: collections.deque[str] = collections.deque(maxlen=_LOG_LINES)
        self._part = ""
        self._level = 0

    def add(self, level: int, text: bytes) -> None:
        """Take a piece of text; a line may come in several."""
        if self.verbose:
            os.write(2, text)
        if level == _LEVEL_DEBUG:
            return
        if level != _LEVEL_CONTINUED:
            self._level = level
        self._part += text.decode("utf-8", "replace")
        *whole, self._part = self._part.split("\n")
        for line in whole:
            self.lines.append(line)
            self.listener(line)
            if self._level == _LEVEL_ERROR:
                self.errors.append(line)

    def clear(self) -> None:
        """Forget errors, so that `cause` speaks of what comes next."""
        self.errors.clear()

    def buffer_size(self, kind: str) -> int:
        """Bytes of the model buffers of one kind (`REPACK`, `Mapped`), by what llama.cpp logs while loading."""
        found = re.findall(rf"{kind} model buffer size = +([0-9.]+) MiB", "\n".join(self.lines))
        return round(sum(map(float, found)) * (1 << 20))

    def cause(self) -> str:
        """Why the last operation failed: the first error that llama.cpp logged, without its function's name."""
        if not self.errors:
            return "llama.cpp does not say why"
        line = self.errors[0]
        return line.partition("error loading model: ")[2] or line.partition(": ")[2] or line


class Library:
    """llama.cpp, loaded. Use `load`."""

    def __init__(self, folder: Path) -> None:
        for name in [name for name in os.environ if name.startswith(("GGML_", "LLAMA_"))]:
            del os.environ[name]
        self.folder = folder
        self.log = Log()
        try:
            self.binding: Any = _import_binding(folder)
        except (ImportError, OSError, RuntimeError, AttributeError) as cause:
            raise BundleError(
                f"failed to load llama.cpp from {folder}: {cause}", "get the file again, or remove its cache folder"
            ) from cause
        log = self.log
        self._log_callback = self.binding.llama_log_callback(lambda level, text, _: log.add(level, text or b""))
        self.binding.llama_log_set(self._log_callback, None)
        self.ggml = _ggml(self.binding, folder)
        self.likeliest = _likeliest(folder)
        self._backends: dict[Path, int] = {}
        self.binding.llama_backend_init()

    def load_backend(self, path: Path) -> None:
        """Load one backend library; loading it again does nothing.

        Raises:
            BundleError: it does not load, or this machine lacks what it needs.
        """
        path = path.absolute()
        if path in self._backends:
            return
        self.log.clear()
        registered = self.ggml.ggml_backend_load(os.fsencode(path))
        if not registered:
            raise BundleError(
                f"failed to load the backend {path.name}: {self.log.cause()}",
                "name another CPU variant with BUNDLE_CPU_VARIANT",
            )
        self._backends[path] = registered

    def backend_function(self, name: str) -> int:
        """Address of a function that a loaded backend offers by name; 0 where there is none."""
        for registered in self._backends.values():
            if address := self.ggml.ggml_backend_reg_get_proc_address(registered, name.encode()):
                return int(address)
        return 0


@functools.cache
def load(folder: Path) -> Library:
    """llama.cpp from `folder`, without any backend yet. `GGML_*` and `LLAMA_*` variables are dropped first.

    Raises:
        BundleError: a library is missing or does not load.
    """
    return Library(folder)


def score(backend: Path) -> int:
    """How well a backend library suits this CPU, by its own account; 0: not at all.

    Raises:
        OSError: it does not load.
    """
    try:
        function = ctypes.CDLL(str(backend)).ggml_backend_score
    except AttributeError:
        return 1
    function.argtypes, function.restype = [], ctypes.c_int
    return int(function())


def _import_binding(folder: Path) -> Any:
    found = importlib.util.find_spec("llama_cpp")
    if found is None or found.submodule_search_locations is None:
        raise ImportError("llama-cpp-python is not installed")
    bare = types.ModuleType("llama_cpp")
    bare.__path__ = list(found.submodule_search_locations)
    sys.modules["llama_cpp"] = bare
    os.environ["LLAMA_CPP_LIB_PATH"] = str(folder)
    try:
        return importlib.import_module("llama_cpp.llama_cpp")
    finally:
        del os.environ["LLAMA_CPP_LIB_PATH"]


def _likeliest(folder: Path) -> Callable[..., int]:
    """`bundle_likeliest` of native/likeliest.c, which takes microseconds: other threads do not run meanwhile.

    Raises:
        BundleError: its library is missing or does not load.
    """
    pointer, number = ctypes.c_void_p, ctypes.c_int32
    try:
        function = ctypes.PyDLL(str(folder / LIKELIEST)).bundle_likeliest
    except (OSError, AttributeError) as cause:
        raise BundleError(
            f"failed to load {LIKELIEST} from {folder}: {cause}", "get the file again, or remove its cache folder"
        ) from cause
    function.argtypes, function.restype = [pointer, number, number, pointer, number], number
    return function


def _ggml(binding: Any, folder: Path) -> ctypes.CDLL:
    """ggml's functions. Looked up through libllama, whose dependency it is: opened by path it could be loaded twice."""
    ggml: ctypes.CDLL = ctypes.CDLL(str(folder / "ggml.dll")) if sys.platform == "win32" else binding._lib
    ggml.ggml_backend_load.argtypes = [ctypes.c_char_p]
    ggml.ggml_backend_load.restype = ctypes.c_void_p
    ggml.ggml_backend_reg_get_proc_address.argtypes = [ctypes.c_void_p, ctypes.c_char_p]
    ggml.ggml_backend_reg_get_proc_address.restype = ctypes.c_void_p
    return ggml
