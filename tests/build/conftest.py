"""Bundles of small models with a pack that never runs, for another system than this one."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from bundler.build import bundles, runtimes
from bundler.build.archive import Content
from bundler.build.assemble import Built, build_bundle
from bundler.build.packs import Pack
from bundler.build.progress import Silent
from bundler.build.write import write_bundle
from bundler.formats.manifest import Manifest
from bundler.formats.source import FileSource
from bundler.formats.verification import verify
from tests import models
from tests.build.test_packs import FOREIGN, bring, edited, entry, make_pack

SHAPE = models.Shape(embedding=32, layers=1, heads=2, kv_heads=1, feed_forward=32, context=2048)
NOT_TRIED = "was not tried with llama.cpp: there is no runtime pack for this machine"


class Site:
    """A folder with a model and Modelfiles, and a cache with one runtime pack."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        (folder / "imported").mkdir()
        self.pack = self.bring("a")
        models.write_random(folder / "tiny.gguf", shape=SHAPE)

    def bring(self, label: str) -> Pack:
        """A pack whose launcher begins as one does."""
        launcher = b"\x7fELF launcher of " + label.encode()
        files = {**make_pack(label), "launcher": launcher}
        changed = entry("launcher", launcher)
        return bring(self.folder / "imported", edited(files, lambda described: described["launcher"].update(changed)))

    def build(self, modelfile: str, output: str, **options: Any) -> Built:
        """Build, and check that nothing but the missing trial is told."""
        built, warnings = self.told(modelfile, output, **options)
        assert [line for line in warnings if NOT_TRIED not in line] == []
        return built

    def told(self, modelfile: str, output: str, **options: Any) -> tuple[Built, list[str]]:
        """Build, and what is told."""
        path = self.folder / "Modelfile"
        path.write_text(modelfile, encoding="utf-8")
        warnings: list[str] = []
        given: dict[str, Any] = {"name": "demo", "target": FOREIGN, "pack": None, "external_weights": False, **options}
        built = build_bundle(path, self.folder / output, **given, progress=Silent(), warn=warnings.append)
        check(built.written.path)
        return built, warnings

    def modelfile(self, output: str) -> str:
        """The Modelfile inside a bundle."""
        return self.member(output, "Modelfile").decode()

    def member(self, output: str, name: str) -> bytes:
        with bundles.open_bundle(self.folder / output) as bundle:
            entry = bundle.archive.entries[name]
            return bundle.source.read_at(entry.offset, entry.size)

    def manifest(self, output: str) -> Manifest:
        with bundles.open_bundle(self.folder / output) as bundle:
            return bundle.manifest

    def rewrite(self, output: str, change: Callable[[dict[str, Any]], None], **extra: bytes) -> None:
        """Write a bundle again with another manifest and more members, as another version would have."""
        path = self.folder / output
        with bundles.open_bundle(path) as bundle:
            facts = json.loads(bundles.manifest_bytes(bundle))
            change(facts)
            manifest = msgspec.convert(facts, Manifest)
            weights = {model.member for model in manifest.models}
            names = [name for name in bundle.archive.entries if name not in (*weights, "bundle.json")]
            contents = [Content(name, bundles.member_blob(bundle, name)) for name in names]
            contents += [Content(name, data) for name, data in extra.items()]
            runtime = runtimes.of_bundle(bundle)
            blobs = {member: bundles.member_blob(bundle, member) for member in weights}
            write_bundle(path, runtime.launcher, contents, blobs, manifest, Silent(), base=json.dumps(facts).encode())


def check(path: Path) -> None:
    with path.open("rb") as file:
        verify(FileSource(file.fileno()))


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Site:
    monkeypatch.setenv("BUNDLE_CACHE", str(tmp_path / "cache"))
    return Site(tmp_path)
