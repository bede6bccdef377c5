"""Whose dynamic loader and C library a runtime gets: the host's or the brought ones."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest

from bundler.formats import targets

from .composing import Composed, Item, base_name, compress, tar, tree
from .conftest import HERE, Start, Told

BundleFor = Callable[[str], Path]
"""Makes a bundle whose runtime brings a glibc that calls itself this version."""

LAUNCH = """format 1
exe app/told
libs app:lib
loader libc/{loader}
libc libc
glibc {version}
a-newer-key is ignored
"""


@pytest.fixture(scope="session")
def dynamic(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """The tiny runtime, linked to this machine's glibc."""
    if shutil.which("cc") is None:
        pytest.skip("this machine has no C compiler")
    program = tmp_path_factory.mktemp("dynamic") / "told"
    subprocess.run(["cc", "-O1", "-o", program, HERE / "told.c"], check=True)
    return program.read_bytes()


@pytest.fixture(scope="session")
def loader(dynamic: bytes) -> Path:
    """This machine's dynamic loader, as the program names it."""
    found = re.search(rb"/lib[\w./-]*/ld-linux[\w.-]*\.so\.\d", dynamic)
    if found is None:
        pytest.skip("this machine's C library is not glibc")
    return Path(os.fsdecode(found[0]))


@pytest.fixture
def bundle_for(launcher_bytes: bytes, dynamic: bytes, loader: Path, tmp_path: Path) -> BundleFor:
    def make(version: str) -> Path:
        libc = loader.resolve().parent / "libc.so.6"
        launch = LAUNCH.format(loader=loader.name, version=version)
        brought = [Item("libc", kind=tarfile.DIRTYPE, mode=0o755)]
        brought += [Item(f"libc/{file.name}", file.read_bytes(), mode=0o755) for file in (loader, libc)]
        part = compress(tar(tree(dynamic, launch, brought)))
        return Composed(launcher_bytes, {base_name(part, targets.host()): part}).write(tmp_path / "bundle")

    return make


def test_a_host_with_a_newer_glibc_starts_the_program_itself(bundle_for: BundleFor, start: Start) -> None:
    told = start(bundle_for("2.17"), "a b")
    root = told.variables["BUNDLE_ROOT"]
    assert told.program == f"{root}/app/told"
    assert told.variables["LD_LIBRARY_PATH"] == f"{root}/app:{root}/lib"
    assert told.arguments == ["a b"]


def test_an_older_host_gets_the_brought_loader(bundle_for: BundleFor, loader: Path, start: Start) -> None:
    told = start(bundle_for("2.999"), "a b")
    root = told.variables["BUNDLE_ROOT"]
    assert told.program == f"{root}/libc/{loader.name}"
    assert told.variables["LD_LIBRARY_PATH"] == f"{root}/libc:{root}/app:{root}/lib"
    assert told.variables["_PYI_ARCHIVE_FILE"] == f"{root}/app/told"
    assert told.arguments == ["a b"]


def test_the_version_of_this_host_counts_as_new_enough(bundle_for: BundleFor, start: Start) -> None:
    version = os.confstr("CS_GNU_LIBC_VERSION")
    assert version
    told = start(bundle_for(version.split()[1]))
    assert told.program.endswith("/app/told")


def test_a_root_without_any_c_library_gets_the_brought_loader(
    bundle_for: BundleFor, loader: Path, tmp_path: Path
) -> None:
    chroot = shutil.which("chroot", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin")
    if os.geteuid() != 0 or chroot is None:
        pytest.skip("only root can change the root")
    root = tmp_path / "root"
    (root / "tmp").mkdir(parents=True)
    bundle_for("2.17").rename(root / "model")
    result = subprocess.run([chroot, root, "/model", "x"], env={}, capture_output=True)
    told = Told(result.returncode, result.stdout.decode(), result.stderr.decode())
    assert (told.code, told.errors) == (0, "")
    assert told.variables["LD_LIBRARY_PATH"].split(":")[0].endswith("/libc")
    assert told.arguments == ["x"]
