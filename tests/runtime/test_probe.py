"""The choice of a CPU variant: with children that misbehave in every way, and with llama.cpp's real libraries."""

from __future__ import annotations

import json
import os
import shutil
import struct
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from bundler.errors import BundleError
from bundler.runtime import probe, probe_model
from bundler.runtime.engine.interface import Rejected, Verdict

CHILD = """
import json, os, signal, sys, time
behaviour = json.load(open({behaviour!r}))
open({journal!r}, "a").write(" ".join(sys.argv[2:]) + "\\n")

def say(line):
    os.write(1, (line + "\\n").encode())

def act(name):
    say(f"testing {{name}}")
    what = behaviour[name][1]
    if what == "trap":
        os.kill(os.getpid(), signal.SIGILL)
    if what == "hang":
        signal.pause()
    if what == "fail":
        sys.exit(3)
    say("logits " + {{"fine": {right!r}, "noise": {near!r}, "wrong": {wrong!r}, "nan": {nan!r}}}[what])
    say("done")

kind, *names = sys.argv[2:]
if kind == "reference":
    act(names[0])
else:
    for name, (score, what) in behaviour.items():
        if name not in names:
            say(f"scoring {{name}}")
            if what == "trap while scoring":
                os.kill(os.getpid(), signal.SIGILL)
            say(f"score {{name}} {{score}}")
    act(max((name for name in behaviour if name not in names), key=lambda name: behaviour[name][0]))
"""


def row(*values: float) -> str:
    return struct.pack(f"<{len(values)}f", *values).hex()


class Machine:
    """Folders, and children that act as told; `choose` is what a launch does."""

    def __init__(self, folder: Path) -> None:
        self.libs = folder / "libs"
        self.libs.mkdir()
        self.cache = folder / "cache"
        self.journal = folder / "journal"
        self._behaviour = folder / "behaviour.json"
        self._child = folder / "child.py"
        self._child.write_text(
            CHILD.format(
                behaviour=str(self._behaviour),
                journal=str(self.journal),
                right=row(1, 2, 3),
                near=row(1.01, 2, 3.02),
                wrong=row(3, 2, 1),
                nan=row(1, 2, float("nan")),
            )
        )

    def choose(self, behaviour: dict[str, tuple[int, str]], environment: dict[str, str] | None = None) -> Verdict:
        self._behaviour.write_text(json.dumps(behaviour))
        for name in behaviour:
            (self.libs / f"libggml-cpu-{name}.so").touch()
            os.utime(self.libs / f"libggml-cpu-{name}.so", (0, 0))
        return probe.choose(
            self.libs,
            self.cache,
            environment or dict(os.environ),
            command=[sys.executable, "-S", str(self._child)],
            time_limit=20 if "hang" not in str(behaviour) else 2,
        )

    @property
    def children(self) -> list[str]:
        """What the children were asked for, in no order: two run at a time."""
        return sorted(self.journal.read_text().splitlines()) if self.journal.exists() else []


@pytest.fixture
def here(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


def test_the_best_that_passes_is_taken(here: Machine) -> None:
    verdict = here.choose(
        {"x64": (1, "fine"), "haswell": (64, "noise"), "zen4": (512, "noise"), "icelake": (0, "trap")}
    )
    assert verdict == Verdict(
        chosen="zen4",
        reason="the fastest that passed the test on this machine",
        rejected=[
            Rejected("haswell", "slower on this CPU"),
            Rejected("x64", "slower on this CPU"),
            Rejected("icelake", "this CPU lacks instructions that it needs"),
        ],
    )
    assert here.children == ["best", "reference x64"]


@pytest.mark.parametrize(
    ("flaw", "reason"),
    [
        ("trap", "died of SIGILL (an instruction that traps)"),
        ("trap while scoring", "died of SIGILL (an instruction that traps)"),
        ("hang", "did not come to an end in time"),
        ("fail", "failed with exit code 3"),
        ("wrong", "computed wrong numbers (relative error 0.76)"),
        ("nan", "computed wrong numbers (relative error inf)"),
    ],
)
def test_a_variant_that_misbehaves_gives_way_to_the_next(here: Machine, flaw: str, reason: str) -> None:
    verdict = here.choose({"x64": (1, "fine"), "sapphirerapids": (900, flaw), "zen4": (512, "fine")})
    assert verdict.chosen == "zen4"
    assert verdict.rejected[0] == Rejected("sapphirerapids", reason)
    assert here.children == ["best", "best sapphirerapids", "reference x64"]


def test_when_all_others_fail_the_plainest_is_left(here: Machine) -> None:
    verdict = here.choose({"x64": (1, "fine"), "haswell": (64, "trap"), "zen4": (512, "wrong")})
    assert verdict.chosen == "x64"
    assert [entry.variant for entry in verdict.rejected] == ["zen4", "haswell"]


def test_when_the_plainest_fails_the_others_are_taken_uncompared(here: Machine) -> None:
    verdict = here.choose({"x64": (1, "fail"), "haswell": (64, "wrong")})
    assert verdict.chosen == "haswell"
    assert verdict.reason == (
        "the fastest that passed the test on this machine; "
        "its numbers could not be compared: the plainest variant failed with exit code 3"
    )


def test_when_nothing_works_the_error_says_what_was_tried(here: Machine) -> None:
    with pytest.raises(BundleError) as caught:
        here.choose({"x64": (1, "trap"), "haswell": (64, "fail")})
    assert caught.value.message == (
        "failed to find a CPU backend that works here: haswell: failed with exit code 3; "
        "x64: died of SIGILL (an instruction that traps)"
    )
    assert caught.value.hint == "name one to use it untested: BUNDLE_CPU_VARIANT=x64"


def test_without_a_test_the_plainest_is_taken_this_time(here: Machine) -> None:
    for name in ("x64", "haswell"):
        (here.libs / f"libggml-cpu-{name}.so").write_bytes(b"")
    verdict = probe.choose(here.libs, here.cache, os.environ, command=["/nonexistent"])
    assert verdict == Verdict(
        chosen="x64",
        reason="the others are untested, as the test could not be started: No such file or directory",
    )
    assert not here.cache.exists()


def test_a_verdict_is_remembered(here: Machine) -> None:
    behaviour = {"x64": (1, "fine"), "haswell": (64, "fine")}
    first = here.choose(behaviour)
    assert here.choose(behaviour) == first
    assert here.children == ["best", "reference x64"]


def test_other_libraries_are_probed_anew(here: Machine) -> None:
    here.choose({"x64": (1, "fine"), "haswell": (64, "fine")})
    assert here.choose({"x64": (1, "fine"), "haswell": (64, "fine"), "zen4": (512, "fine")}).chosen == "zen4"


@pytest.mark.parametrize("damage", [b"", b"{", b"[]", b'{"chosen": "gone", "reason": ""}'])
def test_a_damaged_verdict_is_found_out_again(here: Machine, damage: bytes) -> None:
    behaviour = {"x64": (1, "fine"), "haswell": (64, "fine")}
    first = here.choose(behaviour)
    (file,) = (here.cache / "probe").iterdir()
    file.write_bytes(damage)
    assert here.choose(behaviour) == first
    assert len(here.children) == 4


def test_an_unwritable_cache_is_no_obstacle(here: Machine) -> None:
    here.cache.write_text("a file where the folder should be")
    assert here.choose({"x64": (1, "fine"), "haswell": (64, "fine")}).chosen == "haswell"


def test_the_user_has_the_last_word(here: Machine) -> None:
    behaviour = {"x64": (1, "fine"), "haswell": (64, "trap")}
    verdict = here.choose(behaviour, {"BUNDLE_CPU_VARIANT": "haswell"})
    assert verdict == Verdict(chosen="haswell", reason="asked for by BUNDLE_CPU_VARIANT")
    assert here.children == []
    with pytest.raises(BundleError) as caught:
        here.choose(behaviour, {"BUNDLE_CPU_VARIANT": "i386"})
    assert caught.value.render() == (
        "error: failed to choose the CPU variant: there is none called i386\n"
        "hint: BUNDLE_CPU_VARIANT may be one of haswell, x64"
    )


def test_the_probe_model_is_the_same_everywhere() -> None:
    data = probe_model.build()
    assert data == probe_model.build()
    assert data[:4] == b"GGUF"
    assert len(data) < 2 << 20


@pytest.fixture
def real(libs: Path, tmp_path: Path) -> Path:
    """A copy of llama.cpp's libraries to which a test may add its own."""
    folder = tmp_path / "lib"
    folder.mkdir()
    for file in libs.glob("*.so*"):
        (folder / file.name).symlink_to(file)
    return folder


def launch(folder: Path, cache: Path) -> Verdict:
    environment = {**os.environ, "BUNDLE_LIBS": str(folder)}
    return probe.choose(folder, cache, environment)


@pytest.fixture
def compiled(real: Path) -> Callable[[str], None]:
    """Adds a variant that claims to be the best and does what the given C code does when it is loaded as a backend."""
    compiler = shutil.which("cc") or shutil.which("gcc")
    if compiler is None:
        pytest.skip("no C compiler")

    def add(body: str) -> None:
        source = real / "fake.c"
        source.write_text(
            "#include <signal.h>\n#include <unistd.h>\n"
            "int ggml_backend_score(void) { return 1000000; }\n"
            f"void *ggml_backend_init(void) {{ {body} return 0; }}\n"
        )
        subprocess.run([compiler, "-shared", "-fPIC", "-o", real / "libggml-cpu-fake.so", source], check=True)

    return add


def test_a_real_variant_passes(real: Path, tmp_path: Path) -> None:
    verdict = launch(real, tmp_path / "cache")
    assert verdict.reason == "the fastest that passed the test on this machine"
    assert launch(real, tmp_path / "cache") == verdict


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ("raise(SIGILL);", "died of SIGILL (an instruction that traps)"),
        ("raise(SIGSEGV);", "died of SIGSEGV"),
        ("_exit(7);", "failed with exit code 7"),
        ("", "failed with exit code 1"),
    ],
)
def test_a_library_that_misbehaves_is_survived(
    real: Path, compiled: Callable[[str], None], tmp_path: Path, body: str, reason: str
) -> None:
    compiled(body)
    verdict = launch(real, tmp_path / "cache")
    assert verdict.chosen != "fake"
    assert verdict.rejected[0] == Rejected("fake", reason)
