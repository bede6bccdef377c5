"""Folders that cannot hold a runtime because of how they are mounted, in an empty root of the tests' own."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from .composing import Composed
from .conftest import Told

PLACES = ("home", "tmp", "var/tmp", "dev/shm")


@pytest.fixture(scope="session")
def unshare() -> list[str]:
    """A command that runs another in mounts of its own."""
    command = ["unshare", "--mount", "--propagation", "private"]
    if os.geteuid() != 0:
        command = ["unshare", "--user", "--map-root-user", *command[1:]]
    if shutil.which("unshare") is None or subprocess.run([*command, "true"], capture_output=True).returncode != 0:
        pytest.skip("this machine gives out no mount namespaces")
    return command


@pytest.fixture
def root(tmp_path: Path, composed: Composed) -> Path:
    """A root that holds the file and empty folders."""
    root = tmp_path / "root"
    for name in ("app", *PLACES):
        (root / name).mkdir(parents=True)
    composed.write(root / "app" / "model")
    return root


def _enter(unshare: list[str], root: Path, mounts: list[str], **environment: str) -> Told:
    """Start the file in `root` after mounting; each mount is `<options> <folder>`, a tmpfs unless it is a bind."""
    lines = ["set -e", 'cd "$1"']
    for mount in mounts:
        options, folder = mount.split()
        if options == "bind,ro":
            lines += [f"mount --bind {folder} {folder}", f"mount -o remount,bind,ro {folder}"]
        else:
            lines.append(f"mount -t tmpfs -o mode=755,{options} tmpfs {folder}")
    lines.append('exec "$2" . /app/model')
    chroot = shutil.which("chroot", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin")
    if chroot is None:
        pytest.skip("this machine has no chroot program")
    path = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin"}
    result = subprocess.run(
        [*unshare, "sh", "-c", "\n".join(lines), "sh", root, chroot],
        env={**path, **environment},
        capture_output=True,
        timeout=120,
    )
    return Told(result.returncode, result.stdout.decode(), result.stderr.decode())


def test_it_starts_in_an_empty_root_without_proc_or_home(unshare: list[str], root: Path) -> None:
    told = _enter(unshare, root, [])
    assert (told.code, told.errors) == (0, "")
    assert told.variables["BUNDLE_EXE"] == "/app/model"
    assert told.variables["BUNDLE_ROOT"].startswith("/app/.bundle-cache/runtime/")


@pytest.mark.parametrize("options", ["noexec", "ro", "size=16k"])
def test_a_mount_that_cannot_hold_a_runtime_is_passed_over(unshare: list[str], root: Path, options: str) -> None:
    told = _enter(unshare, root, [f"{options} home"], HOME="/home")
    assert (told.code, told.errors) == (0, "")
    assert told.variables["BUNDLE_ROOT"].startswith("/app/.bundle-cache/runtime/")


def test_temporary_folders_come_after_the_files_own(unshare: list[str], root: Path) -> None:
    told = _enter(unshare, root, ["bind,ro app", "noexec tmp"])
    assert told.variables["BUNDLE_ROOT"].startswith("/var/tmp/bundle-0/runtime/")


def test_when_no_place_is_left_each_is_listed_with_its_reason(unshare: list[str], root: Path) -> None:
    mounts = ["noexec home", "bind,ro app", "ro tmp", "size=16k var/tmp", "noexec dev/shm"]
    told = _enter(unshare, root, mounts, HOME="/home", BUNDLE_CACHE="/app/model")
    assert told.code == 1
    line, hint = told.errors.splitlines()
    head, _, rest = line.partition(" /app/model: ")
    assert head == "error: failed to unpack the runtime of"
    assert rest.split("; ") == [
        "/app/model: /app/model is no folder",
        "/home/.cache/bundle: it is mounted noexec",
        "/app/.bundle-cache: Read-only file system",
        "/tmp/bundle-0: Read-only file system",
        "/var/tmp/bundle-0: 1 MB are needed, 0 MB are free",
        "/dev/shm/bundle-0: it is mounted noexec",
    ]
    assert hint == ("hint: set BUNDLE_CACHE to a folder of your own, with space, on a disk that programs may run from")


def test_a_runtime_that_is_already_there_starts_from_a_read_only_place(unshare: list[str], root: Path) -> None:
    assert _enter(unshare, root, [], BUNDLE_CACHE="/app/cache").code == 0
    told = _enter(unshare, root, ["bind,ro app"], BUNDLE_CACHE="/app/cache")
    assert told.variables["BUNDLE_ROOT"].startswith("/app/cache/runtime/")
