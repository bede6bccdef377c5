"""llama.cpp's own programs, from the same source and build, which our answers are compared with.

They run with the plainest CPU variant and one thread, as the engine does in tests: others add in another order.
"""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from bundler.build import llamacpp
from bundler.build.progress import Silent
from bundler.runtime import libraries

_ONE_THREAD = """
#include "llama.h"
static inline llama_context_params one_thread() {
    llama_context_params parameters = llama_context_default_params();
    parameters.n_threads = parameters.n_threads_batch = 1;
    return parameters;
}
#define llama_context_default_params one_thread
"""


@dataclass(frozen=True)
class Step:
    """One generated token, and the natural logarithms of the likeliest ones' probabilities at its place.

    llama-server tells of none where its token leaves a character unfinished.
    """

    token: int
    likeliest: dict[int, float]


class LlamaServer:
    """Asks a running llama-server."""

    def __init__(self, client: httpx.Client) -> None:
        self._client = client

    def post(self, path: str, body: dict[str, Any]) -> Any:
        response = self._client.post(path, json=body)
        assert response.status_code == 200, response.text
        return response.json()

    def generate(self, prompt: Sequence[int], most: int) -> list[Step]:
        """The greedy answer to a prompt that is computed anew."""
        body = {"prompt": list(prompt), "n_predict": most, "temperature": 0, "n_probs": 20}
        answer = self.post("/completion", {**body, "cache_prompt": False, "return_tokens": True})
        told = answer["completion_probabilities"]
        steps = []
        for token in answer["tokens"]:
            likeliest = told.pop(0)["top_logprobs"] if told and told[0]["id"] == token else []
            steps.append(Step(token, {each["id"]: each["logprob"] for each in likeliest}))
        return steps


def install(libs: Path, folder: Path) -> Path:
    """Put llama-server and llama-simple into a folder with the plainest CPU variant alone: they load what lies there.

    Returns llama-server's path.
    """
    built = llamacpp.build_tools(Silent())
    plainest = libraries.cpu_variants(libs)[libraries.plainest(libraries.cpu_variants(libs))].name
    for path in [built / "llama-server", *built.iterdir()]:
        if path.name == plainest or (path.name.startswith(("llama-server", "lib")) and "ggml-cpu" not in path.name):
            shutil.copy(path, folder / path.name)
    _compile_simple(folder)
    return folder / "llama-server"


def simply(program: Path, model: Path, prompt: str, most: int) -> bytes:
    """What llama-simple, which lies beside `program`, says: the prompt and its greedy answer of `most` tokens or more.

    (It counts a prompt that an encoder reads as tokens that the decoder may still write.)
    """
    command = [str(program.with_name("llama-simple")), "-m", str(model), "-n", str(most), prompt]
    return subprocess.run(command, capture_output=True, check=True).stdout


def _compile_simple(folder: Path) -> None:
    """llama.cpp's smallest example, which is in no build of ours. It has no option for the number of threads."""
    sources = llamacpp.source(Silent()) / "vendor" / "llama.cpp"
    (folder / "one_thread.h").write_text(_ONE_THREAD)
    linked = [f"-l:{path.name}" for path in sorted(folder.glob("lib*.so.0")) if "common" not in path.name]
    command: list[str | Path] = [
        *shlex.split(os.environ.get("CXX") or "c++"),
        "-std=c++17",
        "-include",
        folder / "one_thread.h",
    ]
    command += [f"-I{sources}/include", f"-I{sources}/ggml/include", sources / "examples" / "simple" / "simple.cpp"]
    command += ["-o", folder / "llama-simple", f"-L{folder}", *linked, "-Wl,-rpath,$ORIGIN"]
    subprocess.run([str(word) for word in command], check=True)


@contextmanager
def serving(program: Path, model: Path, *options: str) -> Iterator[LlamaServer]:
    """A llama-server over a model, with one thread and one sequence, while the block runs."""
    command = [
        str(program),
        "-m",
        str(model),
        "--host",
        "127.0.0.1",
        "--port",
        "0",
        "-t",
        "1",
        "-np",
        "1",
        "-c",
        "2048",
    ]
    process = subprocess.Popen(
        [*command, "-t", "1", "-np", "1", "-c", "2048", "--no-warmup", "--no-ui", *options],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
    )
    assert process.stdout is not None
    said = []
    try:
        for line in process.stdout:
            said.append(line)
            if found := re.search(r"listening on (http://[\d.:]+)", line):
                break
        else:
            raise AssertionError("llama-server does not start:\n" + "".join(said))
        with httpx.Client(base_url=found[1], timeout=60) as client:
            yield LlamaServer(client)
    finally:
        process.terminate()
        process.communicate()
