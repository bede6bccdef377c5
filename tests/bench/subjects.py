"""What is measured: our bundle and llama-server over the same model and the same libraries.

llama-server comes from the same build, without the CPU variant that our probe would reject here: its own loader picks
by CPU flags and crashes on machines whose flags lie. Models are random weights in the shapes that the design names,
made once and kept.
"""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import gguf

from bundler.build import cache, llamacpp
from bundler.build.assemble import build_bundle
from bundler.build.progress import Silent
from tests import models
from tests.bench.table import OURS, THEIRS

TRAPPING = "sapphirerapids"
SHAPES = {"80mb": models.SMALL_128K, "1b": models.LLAMA_1B}
CONTEXT = 4096


@dataclass(frozen=True)
class Subject:
    """A server program: how to start it on a port, with a cold or a warm cache of its own."""

    name: str
    command: Sequence[str]
    environment: dict[str, str]
    files: Sequence[Path]
    """What it reads at start; dropped from the page cache for a cold launch."""
    options: Callable[[int, int, bool], Sequence[str]]
    """Of its command line, for so many clients, so many tokens of context in all, and prompts that begin alike."""
    cache: Path | None = None
    """Its cache folder, removed for a cold launch."""
    ready: str = "/health"
    """The path that answers 200 as soon as the model is loaded."""

    def serving(self, clients: int, context: int, *, shares: bool) -> Subject:
        """The same server for so many clients; `shares`: their prompts begin alike."""
        return replace(self, options=lambda *_: self.options(clients, context, shares))

    def start(self, port: int) -> subprocess.Popen[bytes]:
        """Start serving on 127.0.0.1:`port`."""
        return subprocess.Popen(
            [*self.command, *self.options(1, CONTEXT, False), "--port", str(port)],
            env=self.environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )

    def chill(self) -> None:
        """Forget everything that an earlier launch left: the unpacked runtime, verdicts, cached pages."""
        if self.cache:
            shutil.rmtree(self.cache, ignore_errors=True)
        os.sync()
        for path in self.files:
            with path.open("rb") as file:
                os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def model(name: str) -> Path:
    """The random-weight model of a shape, quantized to Q4_K_M (1b) or Q8_0 (80mb)."""
    path = cache.folder("bench") / f"{name}.gguf"
    if path.exists():
        return path
    vocabulary = models.real_vocabulary(
        llamacpp.source(Silent()) / "vendor" / "llama.cpp" / "models" / "ggml-vocab-llama-bpe.gguf"
    )
    template = {"tokenizer.chat_template": models.CHATML}
    work = path.with_suffix(".tmp")
    if name == "1b":
        full = path.with_suffix(".f16")
        models.write_random(full, shape=SHAPES[name], vocabulary=vocabulary, tied=True, metadata=template)
        quantize = llamacpp.build_tools(Silent()) / "llama-quantize"
        subprocess.run([quantize, full, work, "Q4_K_M"], check=True, capture_output=True)
        full.unlink()
    else:
        models.write_random(
            work,
            shape=SHAPES[name],
            vocabulary=vocabulary,
            metadata=template,
            quantization=gguf.GGMLQuantizationType.Q8_0,
        )
    work.rename(path)
    return path


def bundle(
    name: str, folder: Path, *, system: str = "", warm: bool = False, weights: Path | None = None
) -> tuple[Subject, Path]:
    """Our bundle of a shape, or of other weights under this name, built into `folder`; with a SYSTEM line, and its
    state baked in, where asked for."""
    weights = weights or model(name)
    modelfile = folder / f"Modelfile-{name}"
    text = f"FROM {weights}\nPARAMETER num_ctx {CONTEXT}\n" + (f"SYSTEM {system}\n" if system else "")
    modelfile.write_text(text, encoding="utf-8")
    path = folder / f"{name}{'-system' if system else ''}{'-warm' if warm else ''}.exe"
    build_bundle(
        modelfile,
        path,
        name=name,
        target=None,
        pack=None,
        external_weights=False,
        warm=warm,
        progress=Silent(),
        warn=lambda message: None,
    )
    own = folder / f"cache-{path.stem}"
    environment = {"PATH": os.environ["PATH"], "HOME": str(folder), "BUNDLE_CACHE": str(own)}
    command = [str(path), "serve", "--no-browser"]
    return Subject(OURS, command, environment, [path], _our_options, own), path


def _our_options(clients: int, context: int, _: bool) -> list[str]:
    return ["--parallel", str(clients), "--ctx-size", str(context)]


def _their_options(clients: int, context: int, shares: bool) -> list[str]:
    """Beginnings can only be shared in one cache for all; without that, a cache for each client is the faster way."""
    return ["-np", str(clients), "-c", str(context), *(["--kv-unified"] if shares else [])]


def llama_server(name: str, folder: Path, *, weights: Path | None = None) -> Subject:
    """llama-server over the same weights, or over others; from a folder with the same libraries less the trapping
    variant."""
    programs = folder / "llama-server"
    if not programs.exists():
        programs.mkdir()
        built = llamacpp.build_tools(Silent())
        for path in [built / "llama-server", *built.glob("*.so*")]:
            if TRAPPING not in path.name:
                shutil.copy2(path, programs / path.name, follow_symlinks=True)
    weights = weights or model(name)
    command = [str(programs / "llama-server"), "-m", str(weights), "--host", "127.0.0.1"]
    environment = {"PATH": os.environ["PATH"], "HOME": str(folder)}
    return Subject(THEIRS, command, environment, [weights, *programs.iterdir()], _their_options)
