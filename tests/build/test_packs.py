"""The store of runtime packs: what comes in is checked to the last byte, and nothing half-done is ever seen."""

from __future__ import annotations

import hashlib
import io
import json
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from bundler.build import packs
from bundler.build.packs import Pack
from bundler.build.progress import Silent
from bundler.errors import BundleError
from bundler.formats import packfile, targets

FOREIGN = next(target for target in targets.TARGETS if target != targets.host())


@pytest.fixture(autouse=True)
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("BUNDLE_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "packs"


def make_pack(label: str = "a", target: str = FOREIGN) -> dict[str, bytes]:
    """The files of a small pack."""
    files = {
        "launcher": b"launcher of " + label.encode(),
        "base": b"base of " + label.encode(),
        "sbom.cdx.json": b"{}",
        "LICENSES/llama.cpp.txt": b"MIT",
    }
    base = f"base-{hashlib.sha256(files['base']).hexdigest()}.tar.zst"
    files[base] = files.pop("base")
    inputs = {"target": target, "label": label}
    description: dict[str, Any] = {
        "format": 1,
        "id": packfile.identify(inputs),
        "target": target,
        "llama_cpp": "0.3.36",
        "bundler": "0.1.0",
        "parts": {"base": {**entry(base, files[base]), "unpacked_size": 512}},
        "launcher": entry("launcher", files["launcher"]),
        "notices": [entry(name, files[name]) for name in ("sbom.cdx.json", "LICENSES/llama.cpp.txt")],
        "inputs": inputs,
    }
    return {**files, "pack.json": json.dumps(description).encode()}


def entry(name: str, content: bytes) -> dict[str, Any]:
    return {"file": name, "sha256": hashlib.sha256(content).hexdigest(), "size": len(content)}


def edited(files: dict[str, bytes], change: Callable[[dict[str, Any]], object]) -> dict[str, bytes]:
    description = json.loads(files["pack.json"])
    change(description)
    return {**files, "pack.json": json.dumps(description).encode()}


def archived(path: Path, files: dict[str, bytes], extra: list[tarfile.TarInfo] | None = None) -> Path:
    with tarfile.open(path, "w") as tar:
        for name, content in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
        for info in extra or []:
            tar.addfile(info)
    return path


def bring(tmp_path: Path, files: dict[str, bytes]) -> Pack:
    return packs.bring(archived(tmp_path / "pack.tar", files), Silent())


def everything_below(store: Path) -> list[str]:
    return [path.name for path in store.rglob("*") if not path.name.endswith(".lock")] if store.exists() else []


def test_imported_pack_is_listed_and_complete(tmp_path: Path) -> None:
    files = make_pack()
    found = bring(tmp_path, files)
    assert packs.every() == [found]
    assert {
        path.relative_to(found.root).as_posix(): path.read_bytes() for path in found.root.rglob("*") if path.is_file()
    } == files
    assert found.launcher.stat().st_mode & 0o111
    assert [path.name for path in found.licenses] == ["llama.cpp.txt"]
    assert found.size == sum(map(len, files.values())) - len(files["pack.json"])


def test_export_comes_back_as_the_same_pack(tmp_path: Path) -> None:
    found = bring(tmp_path, make_pack())
    packs.export(found, tmp_path / "first", Silent())
    packs.remove(found)
    assert packs.every() == []
    again = packs.bring(tmp_path / "first", Silent())
    packs.export(again, tmp_path / "second", Silent())
    assert again.file == found.file
    assert (tmp_path / "first").read_bytes() == (tmp_path / "second").read_bytes()


def test_import_repairs_a_pack_that_is_there(tmp_path: Path) -> None:
    found = bring(tmp_path, make_pack())
    found.launcher.write_bytes(b"broken")
    assert bring(tmp_path, make_pack()).launcher.read_bytes() == b"launcher of a"


def test_remove_leaves_nothing(tmp_path: Path, store: Path) -> None:
    packs.remove(bring(tmp_path, make_pack()))
    assert list(store.iterdir()) == []


@pytest.mark.parametrize(
    ("change", "cause"),
    [
        (lambda files: {**files, "launcher": b"LAUNCHER OF A"}, "launcher is not what pack.json says"),
        (lambda files: {**files, "launcher": b"longer than it was"}, "launcher is not what pack.json says"),
        (lambda files: {name: files[name] for name in files if name != "launcher"}, "launcher is missing from it"),
        (lambda files: {**files, "../escaped": b"x"}, "../escaped does not belong into it"),
        (lambda files: {**files, "/etc/escaped": b"x"}, "/etc/escaped does not belong into it"),
        (lambda files: {**files, "LICENSES/more.txt": b"x"}, "LICENSES/more.txt does not belong into it"),
        (lambda files: {name: files[name] for name in files if name != "pack.json"}, "it has no pack.json"),
    ],
)
def test_archives_that_are_not_what_they_say(
    tmp_path: Path, store: Path, change: Callable[[dict[str, bytes]], dict[str, bytes]], cause: str
) -> None:
    with pytest.raises(BundleError) as caught:
        bring(tmp_path, change(make_pack()))
    assert caught.value.message == f"failed to import {tmp_path / 'pack.tar'}: {cause}"
    assert caught.value.hint == "export the pack again (`bundle runtime export`) and copy it whole"
    assert everything_below(store) == []
    assert sorted(path.name for path in tmp_path.iterdir() if path.name != "cache") == ["pack.tar"]


@pytest.mark.parametrize(
    ("change", "cause"),
    [
        (lambda pack: pack.update(id="0" * 64), "its id does not belong to its inputs"),
        (
            lambda pack: pack.update(target="amiga-68000"),
            f"its target amiga-68000 is not one of {', '.join(targets.TARGETS)}",
        ),
        (lambda pack: pack.update(parts={}), "it has no base part"),
        (lambda pack: pack["parts"]["base"].update(file="../base"), "its part base is called ../base"),
        (lambda pack: pack["launcher"].update(file="/bin/sh"), "its launcher is called /bin/sh"),
        (lambda pack: pack["notices"][1].update(file="LICENSES/../../x"), "it names the file LICENSES/../../x"),
        (lambda pack: pack["notices"][1].update(file="sbom.cdx.json"), "it names a file twice"),
        (lambda pack: pack["launcher"].update(sha256="A"), "it has a digest or size that is none"),
        (lambda pack: pack.pop("parts"), "Object missing required field `parts`"),
    ],
)
def test_descriptions_that_cannot_be_trusted(
    tmp_path: Path, store: Path, change: Callable[[dict[str, Any]], object], cause: str
) -> None:
    with pytest.raises(BundleError) as caught:
        bring(tmp_path, edited(make_pack(), change))
    assert caught.value.message == f"failed to read pack.json: {cause}"
    assert everything_below(store) == []


def test_pack_of_a_newer_format(tmp_path: Path) -> None:
    with pytest.raises(BundleError) as caught:
        bring(tmp_path, edited(make_pack(), lambda pack: pack.update(format=2)))
    assert caught.value.message == ("failed to read pack.json: its format is 2, and this program knows formats up to 1")
    assert caught.value.hint == "use the version of bundle that made the pack, or a newer one"


def test_links_never_stand_for_files(tmp_path: Path, store: Path) -> None:
    files = make_pack()
    link = tarfile.TarInfo("launcher")
    link.type, link.linkname = tarfile.SYMTYPE, "/bin/sh"
    archive = archived(tmp_path / "pack.tar", {name: files[name] for name in files if name != "launcher"}, [link])
    with pytest.raises(BundleError, match="launcher is missing from it"):
        packs.bring(archive, Silent())
    assert everything_below(store) == []


@pytest.mark.parametrize("content", [b"", b"no tar at all", b"\0" * 4096])
def test_files_that_are_no_archive(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "pack.tar").write_bytes(content)
    with pytest.raises(BundleError, match="failed to import"):
        packs.bring(tmp_path / "pack.tar", Silent())


def test_archive_cut_short(tmp_path: Path, store: Path) -> None:
    whole = archived(tmp_path / "pack.tar", make_pack()).read_bytes()
    for length in range(512, len(whole.rstrip(b"\0")), 512):
        (tmp_path / "pack.tar").write_bytes(whole[:length])
        with pytest.raises(BundleError, match="failed to"):
            packs.bring(tmp_path / "pack.tar", Silent())
    assert everything_below(store) == []


def test_missing_archive(tmp_path: Path) -> None:
    with pytest.raises(BundleError) as caught:
        packs.bring(tmp_path / "none", Silent())
    assert caught.value.message == f"failed to import {tmp_path / 'none'}: there is no such file"


def test_selecting_by_the_start_of_the_id(tmp_path: Path) -> None:
    found = [bring(tmp_path, make_pack(str(number))) for number in range(17)]
    assert packs.select(found[0].id) == found[0]
    with pytest.raises(BundleError) as nothing:
        packs.select("not-hex")
    assert nothing.value.message == "failed to find the runtime pack not-hex: there is none"
    with pytest.raises(BundleError) as several:
        packs.select("")
    assert several.value.message == "failed to find the runtime pack : 17 packs begin with it"


def test_find_looks_at_one_target_only(tmp_path: Path) -> None:
    found = bring(tmp_path, make_pack())
    assert packs.find(FOREIGN, None) == found
    assert packs.find(targets.host(), None) is None
    assert packs.find(targets.host(), found.id) is None
    assert packs.find(FOREIGN, found.id[:8]) == found


def test_pack_of_this_machine_with_another_application_is_not_taken_unasked(tmp_path: Path) -> None:
    found = bring(tmp_path, make_pack(target=targets.host()))
    assert packs.find(targets.host(), None) is None
    assert packs.find(targets.host(), found.id) == found


def test_work_in_progress_and_damage_are_not_listed(tmp_path: Path, store: Path) -> None:
    found = bring(tmp_path, make_pack())
    (store / f".{'0' * 64}.work").mkdir()
    (store / ("1" * 64)).mkdir()
    assert packs.every() == [found]
