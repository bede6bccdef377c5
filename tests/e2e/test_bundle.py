"""The produced file, moved elsewhere and used as its receivers use it."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import openai
import pytest

from bundler.build.bundles import open_bundle, verify_bundle
from bundler.build.progress import Silent
from tests.e2e.running import Running, serving

QUESTION = "What is a bundle?"


@pytest.fixture(scope="session")
def moved(guide: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The bundle under another name, in another folder with a space and an umlaut."""
    path = tmp_path_factory.mktemp("a stick für dich") / "renamed model"
    shutil.copyfile(guide, path)
    path.chmod(0o755)
    return path


@pytest.fixture(scope="module")
def served(moved: Path) -> Iterator[Running]:
    with serving([moved]) as running:
        yield running


def run(path: Path, *arguments: str, **options: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(  # type: ignore[call-overload,no-any-return]
        [path, *arguments], capture_output=True, text=True, timeout=300, check=False, **options
    )


def test_it_answers_on_the_command_line(moved: Path) -> None:
    result = run(moved, "run", QUESTION)
    assert result.returncode == 0, result.stderr
    assert "file" in result.stdout.lower()


def test_it_answers_with_no_environment_and_no_network(moved: Path, tmp_path: Path) -> None:
    unshare = ["unshare", "--net"] if os.geteuid() == 0 else ["unshare", "--user", "--map-root-user", "--net"]
    if subprocess.run([*unshare, "true"], capture_output=True, check=False).returncode:
        pytest.skip("this machine allows no network namespaces")
    result = subprocess.run(
        [*unshare, moved, "run", QUESTION],
        env={},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    assert result.stdout.strip()


def test_it_starts_in_an_empty_root(moved: Path, tmp_path: Path) -> None:
    """Only the file, /proc, /dev and /tmp: no libc, no shell, no Python."""
    root = tmp_path / "root"
    for name in ("proc", "dev", "tmp"):
        (root / name).mkdir(parents=True)
    shutil.copy(moved, root / "model")
    unshare = ["unshare", "--mount", "--pid", "--net", "--fork"]
    if os.geteuid() != 0:
        unshare += ["--user", "--map-root-user"]
    script = 'mount -t proc proc "$0/proc" && mount --rbind /dev "$0/dev" && exec chroot "$0" /model run "$1"'
    if subprocess.run([*unshare, "true"], capture_output=True, check=False).returncode:
        pytest.skip("this machine allows no mount namespaces")
    result = subprocess.run(
        [*unshare, "sh", "-c", script, root, QUESTION],
        env={"PATH": f"{os.environ['PATH']}:/usr/sbin:/sbin"},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    assert result.stdout.strip()


def test_question_from_standard_input(moved: Path) -> None:
    result = run(moved, "run", input=QUESTION)
    assert result.returncode == 0, result.stderr
    assert result.stdout.strip()


def test_its_name_does_not_follow_the_file(moved: Path) -> None:
    assert json.loads(run(moved, "info", "--json").stdout)["name"] == "guide"


def test_it_verifies_itself_and_from_outside(moved: Path) -> None:
    assert run(moved, "verify").returncode == 0
    verify_bundle(moved, Silent())


def test_it_shows_its_licences(moved: Path) -> None:
    text = run(moved, "licenses").stdout
    assert "llama.cpp" in text
    assert "Python" in text


def test_help_and_version(moved: Path) -> None:
    assert "serve" in run(moved, "--help").stdout
    assert run(moved, "--version").stdout.strip()


def test_wrong_usage_is_exit_code_two(moved: Path) -> None:
    result = run(moved, "sing")
    assert result.returncode == 2
    assert "Traceback" not in result.stderr


def test_the_openai_client_chats(served: Running) -> None:
    client = openai.OpenAI(base_url=f"{served.url}/v1", api_key="none")
    answer = client.chat.completions.create(
        model="guide", messages=[{"role": "user", "content": QUESTION}], temperature=0, max_tokens=200
    )
    assert answer.choices[0].message.content
    assert answer.usage
    assert answer.usage.completion_tokens > 0
    stream = client.chat.completions.create(
        model="default", messages=[{"role": "user", "content": QUESTION}], temperature=0, max_tokens=200, stream=True
    )
    streamed = "".join(chunk.choices[0].delta.content or "" for chunk in stream if chunk.choices)
    assert streamed == answer.choices[0].message.content


def test_many_at_once_are_answered_as_one_alone(served: Running) -> None:
    from concurrent.futures import ThreadPoolExecutor

    questions = [QUESTION, "How do I choose a port?", "Hello!", "What is a Modelfile?"] * 3

    def ask(question: str) -> str:
        body = {"messages": [{"role": "user", "content": question}], "temperature": 0, "max_tokens": 120}
        reply = httpx.post(f"{served.url}/v1/chat/completions", json=body, timeout=120)
        return str(reply.json()["choices"][0]["message"]["content"])

    alone = {question: ask(question) for question in set(questions)}
    with ThreadPoolExecutor(len(questions)) as pool:
        together = list(pool.map(ask, questions))
    for question, answer in zip(questions, together, strict=True):
        assert answer.split()[:5] == alone[question].split()[:5]


def test_a_website_must_not_reach_it(served: Running) -> None:
    body = {"messages": [{"role": "user", "content": "x"}], "max_tokens": 1}
    url = f"{served.url}/v1/chat/completions"
    assert httpx.post(url, json=body, headers={"Origin": "https://evil.example"}).status_code == 403
    assert httpx.post(url, json=body, headers={"Host": "evil.example"}).status_code == 403


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_stops_it_cleanly(moved: Path, number: signal.Signals) -> None:
    with serving([moved]) as running:
        running.process.send_signal(number)
        assert running.process.wait(30) == 0, "".join(running.lines)
    assert "Traceback" not in "".join(running.lines)


def test_a_flipped_bit_anywhere_is_found(moved: Path, tmp_path: Path) -> None:
    with open_bundle(moved) as bundle:
        entries = [entry for entry in bundle.archive.entries.values() if not entry.name.startswith("LICENSES/")]
        places = [100, *(entry.offset + entry.size // 2 for entry in entries), entries[-1].header_offset + 14]
    damaged = tmp_path / "damaged"
    shutil.copy(moved, damaged)
    for place in places:
        with damaged.open("r+b") as file:
            file.seek(place)
            (byte,) = file.read(1)
            file.seek(place)
            file.write(bytes([byte ^ 4]))
        result = subprocess.run(
            [Path(sys.executable).with_name("bundle"), "verify", damaged], capture_output=True, text=True, check=False
        )
        assert result.returncode == 1, f"byte {place}"
        assert re.match(r"error: .*\nhint: .*\n$", result.stderr), result.stderr
        with damaged.open("r+b") as file:
            file.seek(place)
            file.write(bytes([byte]))


def test_a_bundle_cut_short_says_so(moved: Path, tmp_path: Path) -> None:
    size = moved.stat().st_size
    cut = tmp_path / "cut"
    for length in (size - 1, size - 500, size // 2, size - size // 10):
        shutil.copy(moved, cut)
        os.truncate(cut, length)
        result = run(cut, "run", "hello")
        assert result.returncode == 1, result
        assert "error: " in result.stderr
        assert "hint: " in result.stderr
        assert "Traceback" not in result.stderr


def test_damage_in_the_header_of_the_weights_is_an_error_not_a_crash(moved: Path, tmp_path: Path) -> None:
    with open_bundle(moved) as bundle:
        (model,) = bundle.manifest.models
        offset = bundle.archive.entries[model.member].offset
    damaged = tmp_path / "damaged"
    for position in (0, 4, 8, 16, 200, model.header_size - 100):
        shutil.copy(moved, damaged)
        with damaged.open("r+b") as file:
            file.seek(offset + position)
            (byte,) = file.read(1)
            file.seek(offset + position)
            file.write(bytes([byte ^ 0x80]))
        result = run(damaged, "run", "hello")
        assert result.returncode == 1, result
        assert "error: " in result.stderr
        assert "Traceback" not in result.stderr
