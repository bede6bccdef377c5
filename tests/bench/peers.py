"""A bundle beside llama-cpp-python's own servers: the stock one, and its `examples/server`.

For the record: same weights, same libraries, same number of threads. The stock server answers one request at a time.
It takes no tokens as a prompt, and neither tells in a stream how many tokens it generated, so the clients here send
text and await whole answers.
"""

from __future__ import annotations

import http.client
import json
import os
import random
import re
import subprocess
import sys
import time
import tomllib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from statistics import median

from bundler.build import cache, llamacpp, sdists, toolchain
from bundler.build.progress import Silent
from bundler.runtime import machine
from tests.bench import subjects
from tests.bench.launches import LIMIT, launch, started
from tests.bench.subjects import Subject

STOCK, EXAMPLE = "llama_cpp.server", "examples/server"
CLIENTS, REQUESTS = 4, 12
"""REQUESTS of all clients together."""
_WORDS = ("river", "stone", "winter", "garden", "engine", "letter", "window", "copper", "meadow", "signal")
_PROMPT, _ANSWER = 100, 48
"""In words, in tokens."""


def bench(model: str, folder: Path, rounds: int) -> dict[str, object]:
    """Measure the bundle and both peers, interleaved; prints medians."""
    compared = [subjects.bundle(model, folder)[0], *_peers(model, folder)]
    rows = ("launch -> first token, s", "one stream, tok/s", f"{CLIENTS} clients, tok/s")
    taken: dict[str, dict[str, list[float]]] = {subject.name: {row: [] for row in rows} for subject in compared}
    for number in range(rounds + 1):
        for subject in compared:
            launched = launch(subject)
            found = (launched.first_token, launched.tokens_per_second, _clients(subject, seed=number))
            if number:  # the first launch unpacks, and compiles Python
                for row, value in zip(rows, found, strict=True):
                    taken[subject.name][row].append(value)
    print(f"{'beside llama-cpp-python':30}" + "".join(f"{name:>20}" for name in taken))
    for row in rows:
        print(f"{row:30}" + "".join(f"{median(figures[row]):20.3f}" for figures in taken.values()))
    return {**taken}


def _peers(model: str, folder: Path) -> list[Subject]:
    """Both servers, over the libraries that llama-server is measured with."""
    libraries = Path(subjects.llama_server(model, folder).command[0]).parent
    weights = subjects.model(model)
    threads = machine.threads(None, weights.stat().st_size).count
    script = llamacpp.source(Silent()) / "examples" / "server" / "server.py"
    python = toolchain.program(_environment(script), "python")
    start = [str(python), "-P", str(Path(__file__).with_name("peer.py")), str(libraries)]
    environment = {"PATH": os.environ["PATH"], "HOME": str(folder)}

    def stock(_clients: int, context: int, _shares: bool) -> list[str]:
        each = ("--n_threads", str(threads), "--n_threads_batch", str(threads))
        return ["--model", str(weights), "--n_ctx", str(context), *each]

    def example(clients: int, context: int, _shares: bool) -> list[str]:
        settings = {"n_ctx": context, "n_seq_max": clients, "threads": threads, "threads_batch": threads}
        return [json.dumps({"model": {"path": str(weights), **settings}})]

    files = [weights, *libraries.iterdir()]
    return [
        Subject(STOCK, [*start, STOCK], environment, files, stock, ready="/v1/models"),
        Subject(EXAMPLE, [*start, str(script)], environment, files, example, ready="/v1/models"),
    ]


def _environment(script: Path) -> Path:
    """An environment with llama-cpp-python, without libraries of its own, and what both servers import.

    Made once and kept; that needs a package index.
    """
    path = cache.folder("bench") / f"peers-{llamacpp.version()}"
    ready = path / "ready"
    with cache.locked(path):
        if not ready.exists():
            archive = sdists.archive("llamacpp", "cmake", Silent())
            named = tomllib.loads(_metadata(script.read_text(encoding="utf-8")))["dependencies"]
            stock = f"llama-cpp-python[server] @ {archive.as_uri()}"
            subprocess.run([sys.executable, "-m", "venv", "--clear", path], check=True)
            subprocess.run(
                [toolchain.program(path, "python"), "-m", "pip", "install", "-qq", stock, *named],
                env={**os.environ, "CMAKE_ARGS": "-DLLAMA_BUILD=OFF"},
                check=True,
            )
            ready.touch()
    return path


def _metadata(script: str) -> str:
    """The TOML in the comment that PEP 723 puts into a script."""
    block = re.search(r"^# /// script\n(.*?)^# ///$", script, re.DOTALL | re.MULTILINE)
    assert block
    return re.sub(r"^# ?", "", block[1], flags=re.MULTILINE)


def _clients(subject: Subject, seed: int) -> float:
    """Generated tokens a second over all clients of a fresh server that has answered each of them once."""
    rng = random.Random(seed)
    prompts = [" ".join(rng.choices(_WORDS, k=_PROMPT)) for _ in range(CLIENTS + REQUESTS)]
    serving = subject.serving(CLIENTS, subjects.CONTEXT, shares=False)
    with started(serving) as (_, port), ThreadPoolExecutor(CLIENTS) as pool:
        list(pool.map(lambda prompt: _ask(port, prompt), prompts[:CLIENTS]))
        begin = time.perf_counter()
        generated = sum(pool.map(lambda prompt: _ask(port, prompt), prompts[CLIENTS:]))
        return generated / (time.perf_counter() - begin)


def _ask(port: int, prompt: str) -> int:
    """The number of tokens in the answer, as the server counts them."""
    asked = {"prompt": prompt, "max_tokens": _ANSWER, "temperature": 0, "ignore_eos": True}
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=LIMIT)
    try:
        connection.request("POST", "/v1/completions", json.dumps(asked), {"Content-Type": "application/json"})
        response = connection.getresponse()
        text = response.read()
        if response.status != 200:
            raise RuntimeError(f"status {response.status}: {text[:300]!r}")
        return int(json.loads(text)["usage"]["completion_tokens"])
    finally:
        connection.close()
