"""A bundle around a small model, without launcher and runtime inside, and the runtime from the checkout to run it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from bundler.build.archive import Content
from bundler.build.blob import Blob
from bundler.build.progress import Silent
from bundler.build.write import write_bundle
from bundler.formats import gguf
from bundler.formats.manifest import Manifest, Model, Template
from bundler.formats.source import FileSource
from tests.models import CHATML, write_chain

ALPHABET = "abcdefghijklmnopqrstuvwxyz"
"""What the model answers to any chat."""

EYES = Model(role="projector", member="projectors/eyes.gguf", size=0, sha256="", architecture="clip")


def write_alphabet(folder: Path, *, external: bool = False, projector: bytes = b"") -> Path:
    """A bundle named `alphabet` whose model recites the alphabet, where asked for with a projector beside it."""
    weights = write_chain(folder / "chain.gguf", ALPHABET)
    launcher = folder / "launcher"
    launcher.write_bytes(b"\x7fELF no launcher")
    with open(weights, "rb") as file:
        header = gguf.read_header(FileSource(file.fileno()), "chain.gguf")
    manifest = Manifest(
        name="alphabet",
        bundler="0.1.0",
        runtime={},
        models=[
            Model(
                role="chat",
                member="models/alphabet.gguf",
                size=0,
                sha256="",
                architecture="llama",
                quantization="F16",
                parameters=564160,
                context_length=2048,
                header_size=header.data_offset,
            ),
            *([EYES] if projector else []),
        ],
        template=Template(
            kind="jinja", text=CHATML, source="gguf", reason="the model brings its own", stops=["<|im_end|>"]
        ),
        system="Recite.",
        parameters={"temperature": 0.0, "num_ctx": 256},
        licenses=["LICENSES/model.txt"],
    )
    return write_bundle(
        folder / "alphabet.exe",
        launcher,
        [Content("LICENSES/model.txt", b"Do what you want.\n"), Content("LICENSES/llama.cpp.txt", b"MIT License\n")],
        {"models/alphabet.gguf": weights, **({EYES.member: Blob((projector,), EYES.member)} if projector else {})},
        manifest,
        Silent(),
        external_weights=external,
    ).path


def environment(bundle: Path | None, **more: str) -> dict[str, str]:
    """This process's environment with the variables of a checkout."""
    given = {"BUNDLE_FILE": str(bundle)} if bundle else {}
    return {**os.environ, **given, **more}


def start(bundle: Path | None, *arguments: str, **more: str) -> subprocess.Popen[str]:
    """The runtime at work on `bundle`, with pipes to its output; keyword arguments are environment variables."""
    return subprocess.Popen(
        [sys.executable, "-m", "bundler.runtime", *arguments],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        encoding="utf-8",
        env=environment(bundle, **more),
    )


def run(bundle: Path | None, *arguments: str, stdin: str = "", **more: str) -> subprocess.CompletedProcess[str]:
    """The runtime run to its end."""
    return subprocess.run(
        [sys.executable, "-m", "bundler.runtime", *arguments],
        input=stdin,
        capture_output=True,
        text=True,
        encoding="utf-8",
        env=environment(bundle, **more),
        timeout=120,
        check=False,
    )
