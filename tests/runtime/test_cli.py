"""The commands of a bundle, without its weights being loaded."""

from __future__ import annotations

import json
import re
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from bundler.runtime import arguments
from bundler.runtime.defaults import Defaults
from bundler.runtime.engine.interface import LoadOptions
from bundler.runtime.settings import SERVING, from_environment, serve_settings
from tests.runtime.bundles import run, write_alphabet

PROGRAM = "python -m bundler.runtime"


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_alphabet(tmp_path_factory.mktemp("alphabet"))


@pytest.mark.parametrize("arguments", [["--help"], ["-h"], ["help"]])
def test_help_names_the_bundle_its_model_and_every_command(bundle: Path, arguments: list[str]) -> None:
    result = run(bundle, *arguments)
    assert (result.returncode, result.stderr) == (0, "")
    first, *_ = result.stdout.splitlines()
    assert first.startswith("alphabet: llama, 564,160 weights, F16, ")
    for command in ("serve", "run", "info", "verify", "licenses"):
        assert f"\n  {command}" in result.stdout


@pytest.mark.parametrize(
    ("command", "expected"),
    [
        ("serve", "--no-browser"),
        ("serve", "BUNDLE_API_KEY"),
        ("run", "--temperature"),
        ("info", "--json"),
        ("verify", "--json"),
        ("licenses", "-h"),
    ],
)
def test_each_command_explains_itself(bundle: Path, command: str, expected: str) -> None:
    result = run(bundle, command, "--help")
    assert (result.returncode, result.stderr) == (0, "")
    assert expected in result.stdout
    assert run(bundle, "help", command).stdout == result.stdout


def test_version_names_the_bundle(bundle: Path) -> None:
    digest = json.loads(run(bundle, "verify", "--json").stdout)["manifest_sha256"]
    assert run(bundle, "--version").stdout == f"alphabet (manifest {digest[:12]}, made with bundle 0.1.0)\n"


def test_version_of_a_runtime_alone() -> None:
    assert run(None, "--version").stdout.startswith("bundle-runtime ")


def test_help_and_version_load_neither_web_stack_nor_engine(bundle: Path) -> None:
    """A budget of imports keeps them quick."""
    for argument in ("--help", "--version"):
        code = (
            "import sys; from bundler.runtime import cli; "
            f"cli.main(['{argument}']); print(*sys.modules, file=sys.stderr)"
        )
        modules = subprocess.run(
            [sys.executable, "-c", code],
            capture_output=True,
            text=True,
            env={"BUNDLE_FILE": str(bundle), "PATH": ""},
            check=True,
        ).stderr.split()
        heavy = {"starlette", "uvicorn", "asyncio", "jinja2", "llama_cpp", "numpy", "ctypes", "socket", "subprocess"}
        assert heavy.isdisjoint(modules)


USAGE = [
    (["sreve"], "there is no command 'sreve'", "did you mean serve?"),
    (
        ["Why?"],
        "there is no command 'Why?'",
        f'--help lists the commands; a question goes with {PROGRAM} run "…"',
    ),
    (["serve", "--port", "x"], "argument --port: 'x' is no whole number", f"{PROGRAM} serve --help explains it"),
    (["--port", "70000"], "argument --port: 70000 is not between 0 and 65535", f"{PROGRAM} serve --help explains it"),
    (["serve", "--prot", "1"], "unrecognized arguments: --prot 1", f"{PROGRAM} serve --help explains it"),
    (
        ["run", "--temperature", "hot", "x"],
        "argument --temperature: 'hot' is no number",
        f"{PROGRAM} run --help explains it",
    ),
    (["run"], "there is no question", f'ask one: {PROGRAM} run "Why is the sky blue?"'),
    (["verify", "file"], "unrecognized arguments: file", f"{PROGRAM} verify --help explains it"),
]


@pytest.mark.parametrize(("arguments", "error", "hint"), USAGE)
def test_wrong_usage_is_exit_code_2_with_the_way_out(bundle: Path, arguments: list[str], error: str, hint: str) -> None:
    result = run(bundle, *arguments)
    assert result.stderr == f"error: {error}\nhint: {hint}\n"
    assert (result.returncode, result.stdout) == (2, "")


@pytest.mark.parametrize(
    ("variable", "value", "cause"),
    [
        ("BUNDLE_CTX_SIZE", "lots", "'lots' is no whole number"),
        ("BUNDLE_PORT", "-1", "-1 is not between 0 and 65535"),
        ("BUNDLE_NO_BROWSER", "maybe", "'maybe' is neither 1 nor 0"),
    ],
)
def test_a_wrong_environment_variable_is_named(bundle: Path, variable: str, value: str, cause: str) -> None:
    result = run(bundle, "serve", **{variable: value})
    assert result.returncode == 2
    assert result.stderr == f"error: the environment variable {variable}: {cause}\n"


def test_settings_come_from_options_then_variables() -> None:
    environment = {"BUNDLE_PORT": "1", "BUNDLE_CTX_SIZE": "512", "BUNDLE_NO_BROWSER": "1", "BUNDLE_HOST": ""}
    given = arguments.parse(PROGRAM, "serve", ["--port", "2"], SERVING)
    settings = serve_settings({**from_environment(SERVING, environment), **given})
    assert (settings.port, settings.host, settings.browser) == (2, None, False)
    assert settings.load.options(Defaults(context_length=100, threads=3)) == LoadOptions(context_length=512, threads=3)


def test_the_key_is_told_in_the_address_of_the_page_alone(bundle: Path) -> None:
    result = run(bundle, "serve", "--port", "0", "--no-browser", BUNDLE_API_KEY="s3cret#")
    address = re.findall(r"http://127\.0\.0\.1:\d+/#key=s3cret%23", result.stdout)
    assert len(address) == 1
    assert "s3cret" not in result.stdout.replace(address[0], "") + result.stderr


@pytest.mark.parametrize("key", ["two words", "schl\u00fcssel", ""])
def test_a_key_that_no_header_can_hold(bundle: Path, key: str) -> None:
    result = run(bundle, "serve", "--api-key", key)
    assert result.returncode == 2
    assert result.stderr.startswith("error: argument --api-key: a key is made of ASCII letters")
    assert not key or key not in result.stderr


@pytest.mark.parametrize("way", ["option", "variable"])
def test_a_taken_port_that_was_asked_for(bundle: Path, way: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = str(listener.getsockname()[1])
        result = run(bundle, "serve", "--port", port) if way == "option" else run(bundle, "serve", BUNDLE_PORT=port)
    assert result.returncode == 1
    assert result.stderr.startswith(f"error: failed to listen on 127.0.0.1:{port}: the port is taken")
    assert len(result.stderr.splitlines()) == 2


def test_verify(bundle: Path) -> None:
    result = run(bundle, "verify")
    assert (result.returncode, result.stderr) == (0, "")
    assert result.stdout.startswith(f"{bundle}: whole; 4 members, ")


def test_verify_finds_a_flipped_bit(bundle: Path, tmp_path: Path) -> None:
    data = bytearray(bundle.read_bytes())
    data[len(data) // 2] ^= 1
    damaged = tmp_path / "damaged.exe"
    damaged.write_bytes(data)
    result = run(damaged, "verify")
    assert (result.returncode, result.stdout) == (1, "")
    assert result.stderr.startswith("error: failed to verify the bundle: models/alphabet.gguf (bytes ")


def test_a_bundle_that_was_cut_short(bundle: Path, tmp_path: Path) -> None:
    cut = tmp_path / "cut.exe"
    cut.write_bytes(bundle.read_bytes()[:-100])
    for command in ("serve", "run", "info", "verify", "licenses"):
        result = run(cut, command, stdin="x")
        assert result.returncode == 1, command
        assert result.stderr.startswith("error: failed to find a bundle in the file"), command


def test_licenses_come_with_the_models_first(bundle: Path) -> None:
    result = run(bundle, "licenses")
    assert (result.returncode, result.stderr) == (0, "")
    assert result.stdout.index("Do what you want.") < result.stdout.index("MIT License")


def test_an_output_that_nobody_reads_is_no_traceback(bundle: Path) -> None:
    command = f'"{sys.executable}" -m bundler.runtime licenses | true'
    result = subprocess.run(
        ["sh", "-c", command], capture_output=True, text=True, env={"BUNDLE_FILE": str(bundle)}, check=True
    )
    assert result.stderr == ""


def test_a_question_that_is_no_text(bundle: Path) -> None:
    result = subprocess.run(
        [sys.executable, "-m", "bundler.runtime", "run"],
        input=b"\xff\xfe",
        capture_output=True,
        env={"BUNDLE_FILE": str(bundle)},
        check=False,
    )
    assert result.returncode == 1
    assert result.stderr == b"error: failed to read stdin: it is no UTF-8 text\n"


def test_weights_that_should_lie_beside(tmp_path: Path) -> None:
    bundle = write_alphabet(tmp_path, external=True)
    assert run(bundle, "verify").returncode == 0
    [sidecar] = tmp_path.glob("alphabet*.gguf")
    sidecar.rename(tmp_path / "elsewhere")
    result = run(bundle, "info")
    assert result.returncode == 1
    assert result.stderr == (
        f"error: failed to open the weights {sidecar}: No such file or directory\n"
        f"hint: this bundle comes as two files; put {sidecar.name} beside alphabet.exe\n"
    )
