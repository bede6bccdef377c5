"""The runtime from the checkout at work on a real model through llama.cpp."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from bundler.runtime.bundlefile import open_own
from bundler.runtime.info import info
from bundler.runtime.settings import LifeSettings, LoadSettings
from tests.formats import ggufs
from tests.runtime.bundles import ALPHABET, run, start, write_alphabet


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_alphabet(tmp_path_factory.mktemp("alphabet"))


@contextmanager
def serving(bundle: Path, *arguments: str, **environment: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """A server that is ready, and its address."""
    process = start(bundle, "serve", "--no-browser", *arguments, **environment)
    try:
        assert process.stdout
        url = ""
        for line in process.stdout:
            url = url or "".join(re.findall(r"http://[\d.]+:\d+", line))
            if line.startswith("ready"):
                break
        else:
            raise AssertionError(process.stderr.read() if process.stderr else "")
        yield process, url
    finally:
        process.kill()
        process.communicate()


def test_run_prints_the_answer_and_nothing_else(bundle: Path, libs: Path) -> None:
    result = run(bundle, "run", "Say", "it", BUNDLE_LIBS=str(libs))
    assert (result.returncode, result.stdout, result.stderr) == (0, ALPHABET + "\n", "")


def test_run_takes_its_question_from_a_pipe(bundle: Path, libs: Path) -> None:
    result = run(bundle, "run", stdin="Say it\n", BUNDLE_LIBS=str(libs))
    assert (result.returncode, result.stdout) == (0, ALPHABET + "\n")


@pytest.mark.parametrize(("option", "value", "answer"), [("--max-tokens", "5", "abcde"), ("--stop", "hij", "abcdefg")])
def test_run_ends_where_it_is_told(bundle: Path, libs: Path, option: str, value: str, answer: str) -> None:
    result = run(bundle, "run", "Say it", option, value, BUNDLE_LIBS=str(libs))
    assert (result.returncode, result.stdout) == (0, answer + "\n")


def test_run_without_libraries_says_so(bundle: Path) -> None:
    result = run(bundle, "run", "Say it")
    assert (result.returncode, result.stdout) == (1, "")
    assert result.stderr.startswith("error: failed to find llama.cpp's libraries")


def test_damage_in_the_header_of_the_weights_is_one_clear_error(bundle: Path, libs: Path, tmp_path: Path) -> None:
    data = bytearray(bundle.read_bytes())
    at = data.index(b"GGUF") + 200
    data[at] ^= 1
    damaged = tmp_path / "damaged.exe"
    damaged.write_bytes(data)
    for arguments in (["run", "x"], ["serve", "--port", "0", "--no-browser"]):
        result = run(damaged, *arguments, BUNDLE_LIBS=str(libs))
        assert result.returncode == 1
        assert result.stderr == (
            "error: failed to load the model: the header of its weights is damaged\n"
            "hint: the file is damaged; get it again from its source\n"
        )


def test_info_tells_of_a_projector_that_is_not_used(tmp_path: Path, libs: Path) -> None:
    bundle = write_alphabet(tmp_path, projector=b"GGUF of a projector")
    facts = json.loads(run(bundle, "info", "--json", BUNDLE_LIBS=str(libs)).stdout)
    assert [(other["role"], other["member"]) for other in facts["unused"]] == [("projector", "projectors/eyes.gguf")]
    page = run(bundle, "info", BUNDLE_LIBS=str(libs)).stdout
    assert "  projector  projectors/eyes.gguf: in the file, and not used by this version\n" in page


def test_info_tells_what_is_decided_and_why(bundle: Path, libs: Path) -> None:
    facts = json.loads(run(bundle, "info", "--json", BUNDLE_LIBS=str(libs)).stdout)
    assert facts["name"] == "alphabet"
    assert facts["cpu"]["chosen"]
    assert facts["context"]["tokens"] == 256
    assert facts["sampling"]["temperature"] == {"value": 0, "origin": "modelfile"}
    assert facts["sampling"]["top_k"] == {"value": 40, "origin": "default"}
    assert facts["stop"] == [{"text": "<|im_end|>", "origin": "template"}]
    assert facts["batch"] == {"tokens": 1024, "reason": "the model is small; up to 128 more where they end a prompt"}
    assert facts["cache_types"]["key"] == "f16"
    assert facts["life"]["keep_alive"]["seconds"] is None
    page = run(bundle, "info", "--threads", "1", BUNDLE_LIBS=str(libs)).stdout
    assert "threads    1 (as asked)" in page
    assert "\n  sampling   Modelfile: temperature 0.0\n             default: top_k 40, top_p 0.9, " in page
    assert "\n  stops      '<|im_end|>' (template)\n" in page
    assert f"cpu        {facts['cpu']['chosen']}: " in page


def test_info_tells_what_was_asked_for(bundle: Path, libs: Path) -> None:
    given = ["--keep-alive", "5m", "--cache-type-k", "q8_0", "--load-mode", "read", "--batch-size", "128"]
    given += ["--cache-ram", "16"]
    page = run(bundle, "info", *given, BUNDLE_LIBS=str(libs), BUNDLE_UBATCH_SIZE="64").stdout
    for row in (
        "keep alive 5m without requests (as asked)",
        "kv cache   keys q8_0, values f16 (as asked)",
        "           up to 16 MiB of memory for conversations beside it (as asked)",
        "weights    read: as asked",
        "batch      128 tokens a step (as asked)",
        "           64 of them at once (as asked)",
        "flash att. auto (llama.cpp uses it where all backends can, as CPUs do)",
    ):
        assert f"\n  {row}\n" in page


@pytest.mark.parametrize(("architecture", "keeps"), [("llama", True), ("bert", False), ("t5", False)])
def test_info_tells_of_memory_for_conversations_where_the_model_keeps_any(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], architecture: str, keeps: bool
) -> None:
    path = tmp_path / "model.gguf"
    path.write_bytes(ggufs.build({"general.architecture": architecture, f"{architecture}.block_count": 2}))
    environment = {"BUNDLE_FILE": str(path)}
    info(open_own(environment), LoadSettings(), LifeSettings(), environment, as_json=False)
    assert (" of memory for conversations " in capsys.readouterr().out) == keeps


def test_info_tells_of_one_request_at_a_time_where_an_encoder_reads_prompts(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "model.gguf"
    path.write_bytes(ggufs.build({"general.architecture": "t5", "t5.block_count": 2, "t5.context_length": 512}))
    environment = {"BUNDLE_FILE": str(path)}
    info(open_own(environment), LoadSettings(parallel=4), LifeSettings(), environment, as_json=False)
    page = capsys.readouterr().out
    for row in (
        "parallel   1 (an encoder reads one prompt at a time)",
        "batch      512 tokens a step (an encoder reads a prompt at once)",
        "           512 of them at once (a whole batch)",
    ):
        assert f"\n  {row}\n" in page


def test_a_server_unloads_its_model_and_loads_it_again(bundle: Path, libs: Path) -> None:
    given = ["--port", "0", "--keep-alive", "0", "--batch-size", "64", "--cache-type-v", "bf16", "--load-mode", "read"]
    body = {"messages": [{"role": "user", "content": "Say it"}]}
    with serving(bundle, *given, BUNDLE_LIBS=str(libs)) as (process, url):
        for _ in range(2):
            answer = httpx.post(f"{url}/v1/chat/completions", json=body, timeout=60).json()
            assert answer["choices"][0]["message"]["content"] == ALPHABET
            assert httpx.get(f"{url}/health").json() == {"status": "ok", "model": "unloaded"}
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 0
        assert process.stderr
        assert process.stderr.read() == ""


def test_serve_answers_and_stops_cleanly(bundle: Path, libs: Path) -> None:
    for number in (signal.SIGINT, signal.SIGTERM):
        with serving(bundle, "--port", "0", BUNDLE_LIBS=str(libs)) as (process, url):
            assert httpx.get(f"{url}/health").json() == {"status": "ok"}
            body = {"messages": [{"role": "user", "content": "Say it"}]}
            answer = httpx.post(f"{url}/v1/chat/completions", json=body, timeout=60).json()
            assert answer["choices"][0]["message"]["content"] == ALPHABET
            process.send_signal(number)
            assert process.wait(30) == 0
            assert process.stderr
            assert process.stderr.read() == ""


def test_serve_stops_in_the_middle_of_an_answer(bundle: Path, libs: Path) -> None:
    with serving(bundle, "--port", "0", BUNDLE_LIBS=str(libs)) as (process, url):
        body = {"prompt": "a", "stream": True, "stop": ["never"], "max_tokens": 200, "temperature": 100}
        with httpx.stream("POST", f"{url}/v1/completions", json=body, timeout=60) as response:
            lines = response.iter_lines()
            next(lines)
            process.send_signal(signal.SIGTERM)
            assert list(lines)
        assert process.wait(30) == 0


def test_a_file_that_is_lost_under_the_program_is_one_clear_end(bundle: Path, libs: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy.exe"
    shutil.copyfile(bundle, copy)
    with serving(copy, "--port", "0", BUNDLE_LIBS=str(libs)) as (process, url):
        os.truncate(copy, 0)
        with pytest.raises(httpx.TransportError):
            httpx.post(f"{url}/v1/completions", json={"prompt": "a"}, timeout=60)
        assert process.wait(30) == 1
        assert process.stderr
        assert process.stderr.read().startswith(
            "error: failed to read the model's file: it was changed, damaged or taken"
        )


def test_a_variable_sets_the_port(bundle: Path, libs: Path) -> None:
    with serving(bundle, BUNDLE_PORT="0", BUNDLE_LIBS=str(libs)) as (_, url):
        assert httpx.get(f"{url}/v1/models").json()["data"][0]["id"] == "alphabet"


def test_many_requests_at_once(bundle: Path, libs: Path) -> None:
    with serving(bundle, "--port", "0", BUNDLE_LIBS=str(libs)) as (_, url):
        answers: list[str] = []

        def ask() -> None:
            body = {"messages": [{"role": "user", "content": "Say it"}]}
            reply = httpx.post(f"{url}/v1/chat/completions", json=body, timeout=120).json()
            answers.append(reply["choices"][0]["message"]["content"])

        threads = [threading.Thread(target=ask) for _ in range(12)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert answers == [ALPHABET] * 12
