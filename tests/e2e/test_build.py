"""`bundle build` with good and bad input: one clear error each, exit code 1, nothing half-written, nothing lost."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest
import zstandard

from bundler.build import cache
from bundler.build.packs import Pack
from tests.conftest import GUIDE

WEIGHTS = GUIDE / "guide.gguf"
Bundle = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A folder with a model and a Modelfile that works."""
    folder = tmp_path / "project"
    folder.mkdir()
    shutil.copy(WEIGHTS, folder / "model.gguf")
    (folder / "Modelfile").write_text("FROM ./model.gguf\nSYSTEM You are brief.\nPARAMETER temperature 0\n")
    return folder


@pytest.fixture
def bundle(project: Path, pack: Pack) -> Bundle:
    """Run `bundle` in the project's folder."""

    def call(*arguments: str | Path, cwd: Path = project) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [Path(sys.executable).with_name("bundle"), *arguments],
            cwd=cwd,
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )

    return call


def fails(result: subprocess.CompletedProcess[str], message: str) -> None:
    """It ended with exactly one error and one hint, and no trace of the program's insides."""
    assert result.returncode == 1, result
    assert re.search(message, result.stderr), result.stderr
    assert result.stderr.count("error: ") == 1
    assert result.stderr.count("hint: ") == 1
    assert "Traceback" not in result.stderr
    assert result.stdout == ""


def test_build_says_what_it_made_and_how_to_run_it(bundle: Bundle, project: Path) -> None:
    result = bundle("build", "-o", "my.exe")
    assert result.returncode == 0, result.stderr
    assert "my.exe" in result.stdout
    assert "./my.exe" in result.stdout
    answer = subprocess.run([project / "my.exe", "run", "Hello"], capture_output=True, text=True, check=False)
    assert answer.returncode == 0, answer.stderr
    assert answer.stdout.strip()


def test_a_folder_or_a_file_or_nothing_names_the_modelfile(bundle: Bundle, project: Path, tmp_path: Path) -> None:
    digests = set()
    for arguments, cwd in (
        (("Modelfile",), project),
        ((project,), tmp_path),
        ((), project),
    ):
        result = bundle("build", *arguments, "-o", tmp_path / "same", "--json", cwd=cwd)
        assert result.returncode == 0, result.stderr
        digests.add(json.loads(result.stdout)["manifest_sha256"])
    assert len(digests) == 1


def test_same_inputs_same_bytes(bundle: Bundle, tmp_path: Path) -> None:
    for folder in ("one", "two"):
        (tmp_path / folder).mkdir()
        assert bundle("build", "-o", tmp_path / folder / "m").returncode == 0
    assert (tmp_path / "one" / "m").read_bytes() == (tmp_path / "two" / "m").read_bytes()


def test_no_path_of_this_machine_is_in_it(bundle: Bundle, project: Path, tmp_path: Path, pack: Pack) -> None:
    assert bundle("build", "-o", tmp_path / "m").returncode == 0
    paths = [str(project), str(cache.root()), sys.prefix]
    contents = {"m": (tmp_path / "m").read_bytes()}
    base = pack.root / pack.parts["base"].file
    with zstandard.open(base) as unpacked, tarfile.open(fileobj=unpacked, mode="r|") as tar:
        contents |= {entry.name: _read(tar, entry) for entry in tar if entry.isfile()}
    found = [(name, path) for name, data in contents.items() for path in paths if path.encode() in data]
    assert found == []


def _read(tar: tarfile.TarFile, entry: tarfile.TarInfo) -> bytes:
    file = tar.extractfile(entry)
    assert file
    return file.read()


def test_the_bundle_can_be_inspected_and_extracted(bundle: Bundle, project: Path, tmp_path: Path) -> None:
    bundle("build", "-o", "m")
    facts = json.loads(bundle("inspect", "m", "--json").stdout)
    assert facts["name"] == "m"
    assert facts["system"] == "You are brief."
    assert facts["parameters"] == {"temperature": 0.0}
    assert "You are brief." in bundle("inspect", "m").stdout
    assert bundle("extract", "m", "-o", tmp_path / "out").returncode == 0
    assert (tmp_path / "out" / "models" / "model.gguf").read_bytes() == (project / "model.gguf").read_bytes()
    rebuilt = bundle("build", tmp_path / "out", "-o", tmp_path / "again", "--name", "m")
    assert rebuilt.returncode == 0, rebuilt.stderr
    assert (tmp_path / "again").read_bytes() == (project / "m").read_bytes()


def test_external_weights_work_and_are_verified(bundle: Bundle, tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    result = bundle("build", "-o", out / "m", "--external-weights", "--json")
    (sidecar,) = json.loads(result.stdout)["sidecars"]
    answer = subprocess.run([out / "m", "run", "Hello"], capture_output=True, text=True, check=False)
    assert answer.returncode == 0, answer.stderr
    with open(sidecar, "r+b") as file:
        file.seek(-100, os.SEEK_END)
        file.write(b"damage")
    fails(bundle("verify", out / "m"), "SHA-256 differs")
    Path(sidecar).unlink()
    answer = subprocess.run([out / "m", "run", "Hello"], capture_output=True, text=True, check=False)
    fails(answer, Path(sidecar).name)


@pytest.mark.parametrize(
    ("modelfile", "message"),
    [
        ("", "no FROM"),
        ("SYSTEM hello\n", "no FROM"),
        ("FORM ./model.gguf\n", r"Modelfile:1:1: .*\n.*FORM ./model.gguf\n.*\^"),
        ("FROM ./model.gguf\nPARAMETER temperature hot\n", r"Modelfile:2:\d+: .*hot"),
        ("FROM ./model.gguf\nPARAMETER temperature warm\n", r"Modelfile:2:\d+: "),
        ("FROM ./modle.gguf\n", r"Modelfile:1:\d+: .*modle\.gguf"),
        ("FROM llama3.2\n", r"Modelfile:1:\d+: "),
    ],
)
def test_a_bad_modelfile(bundle: Bundle, project: Path, modelfile: str, message: str) -> None:
    (project / "Modelfile").write_text(modelfile)
    fails(bundle("build", "-o", "m"), message)
    assert not (project / "m").exists()


def test_a_missing_modelfile(bundle: Bundle) -> None:
    fails(bundle("build", "Nomodelfile", "-o", "m"), "Nomodelfile")


def test_weights_that_are_no_gguf(bundle: Bundle, project: Path) -> None:
    (project / "model.gguf").write_bytes(b"PK\3\4" + bytes(100))
    fails(bundle("build", "-o", "m"), "model.gguf")


@pytest.mark.parametrize("part", [0.001, 0.3, 0.99])
def test_weights_cut_short(bundle: Bundle, project: Path, part: float) -> None:
    os.truncate(project / "model.gguf", int(WEIGHTS.stat().st_size * part))
    fails(bundle("build", "-o", "m"), "model.gguf")


def test_an_architecture_that_llama_cpp_does_not_know(bundle: Bundle, project: Path) -> None:
    data = WEIGHTS.read_bytes()
    (project / "model.gguf").write_bytes(data.replace(b"llama", b"lamba"))
    fails(bundle("build", "-o", "m"), "lamba")


def test_an_output_that_cannot_be_written(bundle: Bundle, project: Path) -> None:
    fails(bundle("build", "-o", "nowhere/m"), "nowhere")
    (project / "folder").mkdir()
    fails(bundle("build", "-o", "folder"), "folder")
    fails(bundle("build", "-o", "/proc/m"), "/proc/m")


def test_the_output_must_not_be_an_input(bundle: Bundle, project: Path) -> None:
    before = (project / "model.gguf").read_bytes()
    fails(bundle("build", "-o", "model.gguf"), "one of the inputs")
    assert (project / "model.gguf").read_bytes() == before


def test_a_failed_build_keeps_what_was_there(bundle: Bundle, project: Path) -> None:
    assert bundle("build", "-o", "m").returncode == 0
    before = (project / "m").read_bytes()
    os.truncate(project / "model.gguf", 100_000)
    names = {path.name for path in project.iterdir()}
    fails(bundle("build", "-o", "m"), "model.gguf")
    assert (project / "m").read_bytes() == before
    assert {path.name for path in project.iterdir()} == names


def test_no_pack_for_another_system(bundle: Bundle) -> None:
    fails(bundle("build", "-o", "m", "--target", "macos-arm64"), "no runtime pack")


def mounted(tmp_path: Path, kind: list[str], command: list[str]) -> subprocess.CompletedProcess[str]:
    """Run a command in a mount namespace where `$0` is a fresh filesystem; skips where the machine allows none."""
    place = tmp_path / "mounted"
    place.mkdir()
    unshare = ["unshare", "--mount"] + ([] if os.geteuid() == 0 else ["--user", "--map-root-user"])
    mount = f"mount {' '.join(kind)} {place}"
    if subprocess.run([*unshare, "sh", "-c", mount], capture_output=True, check=False).returncode:
        pytest.skip(f"this machine cannot mount {' '.join(kind)}")
    script = f'{mount} && "$@"; code=$?; echo "left: $(ls -A {place})" >&3; exit $code'
    return subprocess.run(
        ["sh", "-c", 'exec 3>"$0"; exec "$@"', tmp_path / "left", *unshare, "sh", "-c", script, "sh", *command],
        capture_output=True,
        text=True,
        check=False,
    )


def test_disk_full(project: Path, pack: Pack, tmp_path: Path) -> None:
    command = [
        str(Path(sys.executable).with_name("bundle")),
        "build",
        str(project),
        "-o",
        str(tmp_path / "mounted" / "m"),
    ]
    result = mounted(tmp_path, ["-t", "tmpfs", "-o", "size=4m", "none"], command)
    fails(result, "free|No space left")
    assert (tmp_path / "left").read_text() == "left: \n"


def test_fat32_holds_no_large_bundle(project: Path, pack: Pack, tmp_path: Path) -> None:
    if shutil.which("mkfs.vfat") is None:
        pytest.skip("mkfs.vfat is not installed")
    image = tmp_path / "stick.img"
    with image.open("wb") as file:
        file.truncate(6 << 30)
    subprocess.run(["mkfs.vfat", "-F", "32", image], check=True, capture_output=True)
    with (project / "model.gguf").open("r+b") as file:
        file.truncate((4 << 30) + 100)
    command = [
        str(Path(sys.executable).with_name("bundle")),
        "build",
        str(project),
        "-o",
        str(tmp_path / "mounted" / "m"),
    ]
    result = mounted(tmp_path, ["-o", "loop", str(image)], command)
    fails(result, "FAT32")
    assert (tmp_path / "left").read_text() == "left: \n"
