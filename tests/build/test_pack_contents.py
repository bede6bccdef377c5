"""What lies in the runtime pack of this machine: complete, portable, licensed, and free of this machine's paths."""

from __future__ import annotations

import json
import re
import sys
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest
import zstandard

from bundler.build import cache, closure, elf, freeze, llamacpp, packs, tarball
from bundler.build.packs import Pack
from bundler.build.progress import Silent
from bundler.formats import targets

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="reads ELF files and a pack made for Linux")

MIB = 1 << 20
X86_VARIANTS = (
    *("alderlake", "cannonlake", "cascadelake", "cooperlake", "haswell", "icelake", "ivybridge", "piledriver"),
    *("sandybridge", "sapphirerapids", "skylakex", "sse42", "x64", "zen4"),
)


@pytest.fixture(scope="module")
def base(pack: Pack, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The base part, unpacked as any tar of any origin."""
    root = tmp_path_factory.mktemp("base")
    with (
        (pack.root / pack.parts["base"].file).open("rb") as file,
        zstandard.ZstdDecompressor(max_window_size=8 * MIB).stream_reader(file) as stream,
        tarfile.open(fileobj=stream, mode="r|") as tar,
    ):
        tar.extractall(root, filter="tar")
    return root


def programs(root: Path) -> Iterator[Path]:
    for path in sorted(root.rglob("*")):
        if path.is_file() and not path.is_symlink() and elf.is_elf(path):
            yield path


def test_base_part_is_small(pack: Pack) -> None:
    assert pack.parts["base"].size <= 20 * MIB


def test_nothing_in_it_needs_a_library_from_outside(base: Path) -> None:
    assert closure.missing(base) == {}


def test_no_library_is_searched_for_in_a_folder_of_the_build_machine(base: Path) -> None:
    found = {elf.read(path).runpath for path in programs(base)}
    assert {entry for runpath in found for entry in runpath.split(":") if not entry.startswith("$ORIGIN")} == {""}


def test_nothing_names_the_cache_or_the_sources_of_the_build(base: Path) -> None:
    places = [str(path).encode() for path in (Path(llamacpp.__file__).parents[2], cache.root())]
    named = [
        path.relative_to(base).as_posix()
        for path in base.rglob("*")
        if path.is_file() and any(place in path.read_bytes() for place in places)
    ]
    assert named == []


def test_top_of_the_tree(base: Path) -> None:
    assert sorted(path.name for path in base.iterdir()) == ["app", "cxx", "launch.txt", "lib", "libc"]
    assert sorted(path.name for path in (base / "app").iterdir()) == ["_internal", "bundle-runtime"]
    assert sorted(path.name for path in (base / "cxx").iterdir()) == ["libgcc_s.so.1", "libstdc++.so.6"]


def test_launch_settings_name_files_that_exist(base: Path) -> None:
    lines = (base / "launch.txt").read_text(encoding="utf-8").splitlines()
    settings = dict(line.split(" ", 1) for line in lines)
    assert settings["format"] == "1"
    assert re.fullmatch(r"\d+\.\d+", settings["glibc"])
    assert (base / settings["exe"]).stat().st_mode & 0o111
    assert (base / settings["loader"]).stat().st_mode & 0o111
    assert (base / settings["libc"] / "libc.so.6").is_file()
    assert all((base / folder).is_dir() for folder in settings["libs"].split(":"))


@pytest.mark.skipif(not targets.host().endswith("x86_64"), reason="names the CPU variants of x86")
def test_llama_cpp_with_every_cpu_variant_and_a_library_of_our_own(base: Path) -> None:
    assert sorted(path.name for path in (base / "lib").iterdir()) == sorted(
        [
            *("libggml-base.so", "libggml-base.so.0", "libggml.so", "libggml.so.0", "libllama.so", "libllama.so.0"),
            *(f"libggml-cpu-{variant}.so" for variant in X86_VARIANTS),
            "liblikeliest.so",
        ]
    )


def test_one_copy_of_each_library(base: Path) -> None:
    names = [path.name for path in programs(base)]
    assert sorted(names) == sorted(set(names))


def test_chat_page_is_inside_and_numpy_is_not(base: Path) -> None:
    internal = base / "app" / "_internal"
    assert (internal / "bundler" / "_data" / "templates" / "chat" / "index.html").is_file()
    assert [path.name for path in internal.iterdir() if "numpy" in path.name or "readline" in path.name] == []


def test_bill_of_materials_and_licences_belong_together(pack: Pack) -> None:
    document = json.loads(pack.sbom.read_text(encoding="utf-8"))
    assert (document["bomFormat"], document["specVersion"]) == ("CycloneDX", "1.6")
    components = {component["name"]: component for component in document["components"]}
    assert {
        "CPython",
        "llama.cpp",
        "llama-cpp-python",
        "starlette",
        "uvicorn",
        "httptools",
        "msgspec",
        "jinja2",
        "zstd",
        "zig",
    } <= set(components)
    assert all(component["version"] and component["purl"].startswith("pkg:") for component in components.values())
    texts = {path.stem for path in pack.licenses}
    assert texts <= set(components)
    assert {name for name, component in components.items() if not component.get("licenses")} <= texts
    assert "Copyright" in (pack.root / "LICENSES" / "llama.cpp.txt").read_text(encoding="utf-8")


def test_second_build_finds_the_first(pack: Pack) -> None:
    before = (pack.root / "pack.json").stat()
    again = packs.ensure_host(Silent())
    after = (again.root / "pack.json").stat()
    assert (again.id, before.st_ino, before.st_mtime_ns) == (pack.id, after.st_ino, after.st_mtime_ns)
    found = packs.find(pack.target, None)
    assert found is not None
    assert found.id == pack.id


def test_freezing_twice_in_different_places_gives_the_same_bytes(tmp_path: Path) -> None:
    digests = []
    for name in ("a", "another-folder"):
        work = tmp_path / name
        work.mkdir()
        frozen = freeze.freeze(llamacpp.source(Silent()), work, Silent())
        with (tmp_path / f"{name}.tar").open("wb") as output:
            tarball.write(frozen.folder, output)
        digests.append((tmp_path / f"{name}.tar").read_bytes())
    assert digests[0] == digests[1]
