"""The launcher under test, the tiny runtime that tells what it was given, and a way to start bundles made of them."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

from bundler.build import cache, launcher, locks, toolchain
from bundler.formats import targets

from .composing import Composed, base_name, compress, tar, tree

HERE = Path(__file__).parent


@pytest.fixture(scope="session")
def launcher_bytes() -> bytes:
    if not sys.platform.startswith("linux"):
        pytest.skip("the launcher's tests run bundles of Linux")
    return launcher.build_launcher(targets.host(), cache.root()).read_bytes()


@pytest.fixture(scope="session")
def told(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """The tiny runtime, a static program."""
    program = tmp_path_factory.mktemp("told") / "told"
    machine = targets.host().partition("-")[2]
    python = toolchain.program(toolchain.environment(locks.path("launcher")), "python")
    subprocess.run(
        [
            *(python, "-m", "ziglang", "cc", "-target", f"{machine}-linux-musl", "-static", "-s", "-O1"),
            *("-o", program, HERE / "told.c"),
        ],
        check=True,
        env={**os.environ, "ZIG_GLOBAL_CACHE_DIR": str(cache.folder("zig"))},
    )
    return program.read_bytes()


@pytest.fixture(scope="session")
def part(told: bytes) -> bytes:
    """A base part around the tiny runtime."""
    return compress(tar(tree(told)))


@pytest.fixture(scope="session")
def composed(launcher_bytes: bytes, part: bytes) -> Composed:
    members = {"Modelfile": b"FROM x\n", base_name(part, targets.host()): part, "models/m.gguf": b"GGUF" * 64}
    return Composed(launcher_bytes, {**members, "bundle.json": b"{}\n"})


@dataclass(frozen=True)
class Told:
    """What a start ended with, and what the runtime told."""

    code: int
    output: str
    errors: str

    def _all(self, kind: str) -> list[str]:
        lines = [line.split(" ") for line in self.output.splitlines()]
        return [bytes.fromhex(line[1]).decode() for line in lines if line[0] == kind]

    @property
    def program(self) -> str:
        return self._all("self")[-1]

    @property
    def arguments(self) -> list[str]:
        """What follows the program's own name."""
        return self._all("argument")[1:]

    @property
    def variables(self) -> dict[str, str]:
        return dict(variable.split("=", 1) for variable in self._all("variable"))

    @property
    def facts(self) -> list[str]:
        return self._all("fact")


Start = Callable[..., Told]


@pytest.fixture
def home(tmp_path: Path) -> Path:
    folder = tmp_path / "home"
    folder.mkdir()
    return folder


@pytest.fixture
def start(home: Path) -> Start:
    """Start a bundle with a home of its own and no other environment."""

    def run(
        path: Path | str,
        *arguments: str,
        environment: Mapping[str, str] | None = None,
        cwd: Path | None = None,
        user: int | None = None,
    ) -> Told:
        result = subprocess.run(
            [path, *arguments],
            env={"HOME": str(home)} if environment is None else dict(environment),
            cwd=cwd,
            user=user,
            capture_output=True,
            timeout=120,
        )
        return Told(result.returncode, result.stdout.decode(), result.stderr.decode())

    return run


@pytest.fixture
def nobody() -> Iterator[tuple[Path, int]]:
    """A folder that everyone can reach, and the id of a user without privileges who owns it."""
    user = 65534 if os.geteuid() == 0 else os.geteuid()
    with tempfile.TemporaryDirectory(prefix="bundle-test-") as name:
        folder = Path(name)
        os.chown(folder, user, -1)
        folder.chmod(0o755)
        yield folder, user


@pytest.fixture
def bundle(tmp_path: Path, composed: Composed) -> Path:
    return composed.write(tmp_path / "bundle")
