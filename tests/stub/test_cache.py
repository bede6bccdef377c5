"""Where runtimes are unpacked, how often, and what interrupted starts leave behind."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import time
from pathlib import Path

import pytest

from bundler.formats import targets

from .composing import Composed, Item, base_name, compress, tar, tree
from .conftest import Start


@pytest.fixture(scope="session")
def heavy(launcher_bytes: bytes, told: bytes) -> Composed:
    """A bundle whose runtime takes a while to unpack: many files, and some megabytes that do not shrink."""
    blob = random.Random(3).randbytes(1 << 20)
    part = compress(tar(tree(told, extra=[Item(f"file-{i}", blob[i:]) for i in range(24)])))
    return Composed(launcher_bytes, {base_name(part, targets.host()): part})


def _runtimes(place: Path) -> list[str]:
    return sorted(path.name for path in (place / "runtime").iterdir() if path.name != ".lock")


def _digest(composed: Composed) -> str:
    return next(name for name in composed.members if name.startswith("runtime/")).partition("base-")[2][:64]


def test_the_second_start_unpacks_nothing(bundle: Path, start: Start) -> None:
    first = Path(start(bundle).variables["BUNDLE_ROOT"])
    before = first.stat().st_ino
    assert Path(start(bundle).variables["BUNDLE_ROOT"]) == first
    assert first.stat().st_ino == before


def test_fifty_first_starts_at_once_share_one_runtime(heavy: Composed, tmp_path: Path, home: Path) -> None:
    path = heavy.write(tmp_path / "bundle")
    processes = [
        subprocess.Popen([path, "exit", "7"], env={"HOME": str(home)}, stdout=subprocess.PIPE) for _ in range(50)
    ]
    outputs = [process.communicate(timeout=300)[0] for process in processes]
    assert [process.returncode for process in processes] == [7] * 50
    assert all(output.count(b"argument") == 3 for output in outputs)
    assert _runtimes(home / ".cache" / "bundle") == [_digest(heavy)]


def test_a_start_killed_at_any_moment_harms_no_later_one(
    heavy: Composed, tmp_path: Path, home: Path, start: Start
) -> None:
    path = heavy.write(tmp_path / "bundle")
    began = time.monotonic()
    start(path, environment={"BUNDLE_CACHE": str(tmp_path / "measured")})
    usual = time.monotonic() - began
    chance = random.Random(4)
    for round_ in range(40):
        place = tmp_path / f"place-{round_ % 4}"
        with subprocess.Popen([path, "wait"], env={"BUNDLE_CACHE": str(place)}, stdout=subprocess.DEVNULL) as process:
            time.sleep(chance.uniform(0, usual))  # the moment of the kill is what varies; nothing waits for it
            process.kill()
        if round_ >= 36:
            assert start(path, environment={"BUNDLE_CACHE": str(place)}).code == 0
            assert _runtimes(place) == [_digest(heavy)]


def test_what_dead_processes_left_is_cleaned_up(bundle: Path, composed: Composed, home: Path, start: Start) -> None:
    place = home / ".cache" / "bundle"
    left = place / "runtime" / ".work-12345" / "app"
    left.mkdir(parents=True)
    (left / "half").write_bytes(b"x")
    (left / "link").symlink_to("/")
    left.parent.parent.chmod(0o700)
    assert start(bundle).code == 0
    assert _runtimes(place) == [_digest(composed)]


@pytest.mark.parametrize("lost", ["app/told", "launch.txt", ".stamp", "app"])
def test_a_runtime_with_parts_missing_is_unpacked_again(bundle: Path, start: Start, lost: str) -> None:
    root = Path(start(bundle).variables["BUNDLE_ROOT"])
    (root / lost).rename(root.parent.parent / "elsewhere")
    assert start(bundle).code == 0
    assert (root / lost).exists()


def test_a_runtime_with_a_shortened_file_is_unpacked_again(bundle: Path, told: bytes, start: Start) -> None:
    root = Path(start(bundle).variables["BUNDLE_ROOT"])
    os.truncate(root / "app/told", 100)
    assert start(bundle).code == 0
    assert (root / "app/told").read_bytes() == told


def test_the_places_are_tried_in_order(bundle: Path, tmp_path: Path, start: Start) -> None:
    names = {"BUNDLE_CACHE": "chosen", "XDG_CACHE_HOME": "xdg", "HOME": "home2"}
    environment = {name: str(tmp_path / folder) for name, folder in names.items()}
    expected = [tmp_path / "chosen", tmp_path / "xdg" / "bundle", tmp_path / "home2" / ".cache" / "bundle"]
    for place, name in zip(expected, names, strict=True):
        root = Path(start(bundle, environment=environment).variables["BUNDLE_ROOT"])
        assert root.parent.parent == place
        del environment[name]


def test_a_relative_place_counts_from_the_current_folder(bundle: Path, tmp_path: Path, start: Start) -> None:
    told = start(bundle, environment={"BUNDLE_CACHE": "here"}, cwd=tmp_path)
    assert Path(told.variables["BUNDLE_ROOT"]).parent.parent == tmp_path / "here"


@pytest.mark.parametrize("obstacle", ["file", "everyone", "foreign runtime folder", "colon", "link to nowhere"])
def test_unfit_places_are_passed_over(bundle: Path, tmp_path: Path, home: Path, start: Start, obstacle: str) -> None:
    place = tmp_path / ("a:b" if obstacle == "colon" else "place")
    if obstacle == "file":
        place.write_bytes(b"")
    elif obstacle == "link to nowhere":
        place.symlink_to(tmp_path / "nowhere" / "at" / "all")
    else:
        place.mkdir()
        if obstacle == "everyone":
            place.chmod(0o777)
        if obstacle == "foreign runtime folder":
            (place / "runtime").mkdir()
            (place / "runtime").chmod(0o770)
    told = start(bundle, environment={"BUNDLE_CACHE": str(place), "HOME": str(home)})
    assert (told.code, told.errors) == (0, "")
    assert Path(told.variables["BUNDLE_ROOT"]).parent.parent == home / ".cache" / "bundle"


def test_a_shared_folder_with_the_sticky_bit_will_do(bundle: Path, tmp_path: Path, start: Start) -> None:
    shared = tmp_path / "shared"
    shared.mkdir()
    shared.chmod(0o1777)
    told = start(bundle, environment={"BUNDLE_CACHE": str(shared)})
    assert Path(told.variables["BUNDLE_ROOT"]).parent.parent == shared


def test_a_folder_of_another_user_is_passed_over(bundle: Path, tmp_path: Path, home: Path, start: Start) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root can give a folder to another user")
    place = tmp_path / "place"
    place.mkdir()
    os.chown(place, 12345, 12345)
    told = start(bundle, environment={"BUNDLE_CACHE": str(place), "HOME": str(home)})
    assert Path(told.variables["BUNDLE_ROOT"]).parent.parent == home / ".cache" / "bundle"


def test_it_unpacks_below_a_write_protected_umask(bundle: Path, home: Path) -> None:
    result = subprocess.run(
        ["/bin/sh", "-c", 'umask 0777; exec "$0"', bundle], env={"HOME": str(home)}, capture_output=True, check=False
    )
    assert (result.returncode, result.stderr) == (0, b"")


def test_a_start_waits_for_the_one_that_unpacks(bundle: Path, home: Path, start: Start) -> None:
    import fcntl

    runtimes = home / ".cache" / "bundle" / "runtime"
    runtimes.mkdir(parents=True)
    runtimes.chmod(0o700)
    with (runtimes / ".lock").open("wb") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with subprocess.Popen([bundle], env={"HOME": str(home)}, stdout=subprocess.PIPE) as process:
            with pytest.raises(subprocess.TimeoutExpired):
                process.wait(0.2)
            assert _runtimes(runtimes.parent) == []
            fcntl.flock(lock, fcntl.LOCK_UN)
            assert process.wait(60) == 0


def test_a_kill_during_writing_is_harmless(heavy: Composed, tmp_path: Path, home: Path, start: Start) -> None:
    """A limit on file size kills the launcher in the middle of a write, at the same byte every time."""
    path = heavy.write(tmp_path / "bundle")
    for limit in (0, 1, 100, 70_000, 1_000_000):
        script = f'ulimit -f {limit // 512}; exec "$0"'
        result = subprocess.run(["/bin/sh", "-c", script, path], env={"HOME": str(home)}, capture_output=True)
        assert result.returncode in (-signal.SIGXFSZ, 128 + signal.SIGXFSZ)
    assert start(path).code == 0
    assert _runtimes(home / ".cache" / "bundle") == [_digest(heavy)]


def test_a_home_that_the_user_may_not_write_is_passed_over(
    composed: Composed, nobody: tuple[Path, int], start: Start
) -> None:
    folder, user = nobody
    path = composed.write(folder / "bundle")
    home = folder / "home"
    home.mkdir()
    home.chmod(0o555)
    told = start(path, environment={"HOME": str(home)}, user=user)
    assert (told.code, told.errors) == (0, "")
    assert Path(told.variables["BUNDLE_ROOT"]).parent.parent == folder / ".bundle-cache"
