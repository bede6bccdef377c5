"""`bundle patch` and `bundle apply`: the very bytes of the new bundle, from the old one and a small file."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from bundler.build import apply as applying
from bundler.build import bundles
from bundler.build import patch as patching
from bundler.build.gather import Adapter
from bundler.build.progress import Silent
from bundler.cli import command
from bundler.errors import BundleError
from bundler.formats import patch as patches
from tests import models
from tests.adapters import write_adapter
from tests.build.conftest import Site, check

BASE = "FROM ./big.gguf\nTEMPLATE {{ .System }}{{ .Prompt }}{{ .Response }}\nSYSTEM Old.\n"
NEW = BASE.replace("Old.", "New.") + "PARAMETER top_k 3\n"
BIG = models.Shape(embedding=256, layers=1, heads=2, kv_heads=1, feed_forward=256)


@pytest.fixture
def shop(site: Site) -> Site:
    """A site whose weights are larger than all else; `old` is built."""
    models.write_random(site.folder / "big.gguf", shape=BIG)
    site.told(BASE, "old")
    (site.folder / "there").mkdir()
    return site


def make(site: Site) -> patching.Patched:
    return patching.make(site.folder / "old", site.folder / "new", site.folder / "p", Silent())


def apply(site: Site, old: str = "old", output: str = "there/made") -> applying.Applied:
    return applying.apply(site.folder / "p", site.folder / old, site.folder / output, Silent())


def fails(site: Site, old: str = "old") -> tuple[str, str]:
    """What an apply that cannot be done says; it leaves nothing behind."""
    with pytest.raises(BundleError) as caught:
        apply(site, old)
    assert list((site.folder / "there").iterdir()) == []
    return caught.value.message, caught.value.hint


@pytest.mark.parametrize("change", ["prompt", "adapter", "weights", "licence", "nothing", "name"])
def test_the_result_is_the_fresh_build(shop: Site, change: str) -> None:
    options: dict[str, Any] = {}
    modelfile = BASE
    if change == "prompt":
        modelfile = NEW
    elif change == "adapter":
        write_adapter(shop.folder / "lora.gguf", shop.folder / "big.gguf")
        options["adapters"] = [Adapter(str(shop.folder / "lora.gguf"), 0.5)]
    elif change == "weights":
        models.write_random(shop.folder / "big.gguf", shape=BIG, seed=1)
    elif change == "licence":
        modelfile = BASE + "LICENSE MIT\n"
    elif change == "name":
        options["name"] = "other"
    shop.told(modelfile, "new", **options)
    made = make(shop)
    weights = (shop.folder / "big.gguf").stat().st_size
    assert (made.size > weights) == (change == "weights")
    applied = apply(shop)
    assert (shop.folder / "there/made").read_bytes() == (shop.folder / "new").read_bytes()
    assert applied.size == (shop.folder / "new").stat().st_size
    assert os.access(shop.folder / "there/made", os.X_OK)
    check(shop.folder / "there/made")


def test_a_new_runtime_is_carried_with_its_launcher(shop: Site) -> None:
    new = shop.bring("b")
    shop.told(BASE, "new", pack=new.id)
    made = make(shop)
    apply(shop)
    assert (shop.folder / "there/made").read_bytes() == (shop.folder / "new").read_bytes()
    carried = [member.name for member in made.patch.members]
    assert carried == [f"new/{name}" for name in new_runtime(shop)] + ["new/bundle.json", "rest"]


def new_runtime(site: Site) -> list[str]:
    (parts,) = site.manifest("new").runtime.values()
    return list(parts.parts.values())


def test_a_patch_is_an_archive_and_says_what_it_is(shop: Site) -> None:
    shop.told(NEW, "new")
    make(shop)
    with zipfile.ZipFile(shop.folder / "p") as archive:
        assert archive.testzip() is None
        assert archive.namelist() == ["new/Modelfile", "new/bundle.json", "rest", "patch.json"]
        facts = json.loads(archive.read("patch.json"))
    assert str(shop.folder) not in json.dumps(facts)
    with pytest.raises(BundleError) as caught, bundles.open_bundle(shop.folder / "p"):
        pass
    assert caught.value.message.endswith("failed to read the bundle: it is a patch")


def test_the_same_two_bundles_make_the_same_patch(shop: Site) -> None:
    shop.told(NEW, "new")
    first = make(shop)
    before = (shop.folder / "p").read_bytes()
    assert first.sha256 == hashlib.sha256(before).hexdigest()
    assert make(shop).sha256 == first.sha256
    assert (shop.folder / "p").read_bytes() == before


def test_weights_beside_the_executable(shop: Site) -> None:
    shop.told(BASE, "old", external_weights=True)
    shop.told(NEW, "new", external_weights=True)
    made = make(shop)
    assert made.size < (shop.folder / "big.gguf").stat().st_size
    applied = apply(shop)
    (sidecar,) = applied.sidecars
    assert (sidecar.parent, sidecar.name) == (shop.folder / "there", shop.manifest("new").models[0].sidecar)
    assert sidecar.read_bytes() == (shop.folder / "big.gguf").read_bytes()
    assert (shop.folder / "there/made").read_bytes() == (shop.folder / "new").read_bytes()
    stamp = sidecar.stat().st_mtime_ns
    apply(shop)
    assert sidecar.stat().st_mtime_ns == stamp


def test_weights_move_out_of_the_executable_and_into_it(shop: Site) -> None:
    shop.told(BASE, "new", external_weights=True)
    make(shop)
    apply(shop)
    assert (shop.folder / "there/made").read_bytes() == (shop.folder / "new").read_bytes()
    (shop.folder / "old").rename(shop.folder / "inside")
    (shop.folder / "new").rename(shop.folder / "old")
    (shop.folder / "inside").rename(shop.folder / "new")
    assert make(shop).size < (shop.folder / "big.gguf").stat().st_size
    apply(shop)
    assert (shop.folder / "there/made").read_bytes() == (shop.folder / "new").read_bytes()


def test_another_bundle_is_refused(shop: Site) -> None:
    shop.told(NEW, "new")
    make(shop)
    shop.told(BASE + "PARAMETER top_k 9\n", "other")
    message, hint = fails(shop, "other")
    assert f"failed to apply {shop.folder / 'p'}: it was made from demo with the manifest sha256:" in message
    assert f"and {shop.folder / 'other'} is another bundle" in message
    assert hint.startswith("bundle inspect shows a bundle's manifest digest")
    assert fails(shop, "new") == (
        f"failed to apply {shop.folder / 'p'}: {shop.folder / 'new'} is the new bundle already",
        "there is nothing to do",
    )
    assert "failed to find a bundle in the file" in fails(shop, "big.gguf")[0]


def test_an_old_bundle_that_is_damaged_is_found_before_the_new_one_is_there(shop: Site) -> None:
    shop.told(NEW, "new")
    make(shop)
    with (shop.folder / "old").open("r+b") as file:
        file.seek(shop.manifest("old").members[-1].offset + 5000)
        file.write(b"damage")
    message, hint = fails(shop)
    assert message == (f"failed to write {shop.folder / 'there/made'}: it would not be the bundle that the patch makes")
    assert hint == f"{shop.folder / 'old'} is damaged; check it with `bundle verify`"
    with pytest.raises(BundleError, match="is damaged near byte"):
        make(shop)


def test_a_patch_damaged_or_cut_anywhere_is_found(shop: Site) -> None:
    shop.told(NEW, "new")
    make(shop)
    path = shop.folder / "p"
    whole = path.read_bytes()
    for at in range(0, len(whole), 97):
        path.write_bytes(whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :])
        message, _ = fails(shop)
        assert "failed to read" in message, at
    for end in range(0, len(whole), 211):
        path.write_bytes(whole[:end])
        assert "failed to read the patch" in fails(shop)[0]


def test_what_is_no_patch(shop: Site) -> None:
    (shop.folder / "p").write_bytes(b"hello")
    assert fails(shop) == (
        f"{shop.folder / 'p'}: failed to read the patch: it is none, or was cut short",
        "the patch is damaged; get it again from its source",
    )
    (shop.folder / "p").write_bytes((shop.folder / "old").read_bytes())
    assert fails(shop) == (
        f"{shop.folder / 'p'}: failed to read the patch: it is a bundle",
        "give the patch first, and then the old bundle",
    )


@pytest.mark.parametrize(
    ("change", "cause"),
    [
        ({"format": 2}, "its format is 2, and this program knows formats up to 1"),
        ({"files": []}, "it makes files that no bundle has"),
        ({"name": "../x"}, "it makes files that no bundle has"),
        ({"piece": ["old", "../x", 0, 10]}, "a piece comes from '../x'"),
        ({"piece": ["old", "", -1, 10]}, "a piece lies before its file, or is empty"),
        ({"piece": ["old", "", 0, 0]}, "a piece lies before its file, or is empty"),
        ({"piece": ["patch", "rest", 1, 10]}, "a piece lies outside of 'rest'"),
        ({"piece": ["zeros", "", 0, 1 << 40]}, f"a piece is {1 << 40} zeros"),
        ({"piece": ["old", "", 0, 11]}, "the pieces of a file are not as long as the file"),
        ({"piece": ["net", "", 0, 10]}, "Invalid enum value 'net' - at `$.files[0].pieces[0][0]`"),
    ],
)
def test_a_patch_that_somebody_means_ill(change: dict[str, Any], cause: str) -> None:
    version = {"name": "m", "manifest_sha256": "0", "outside_sha256": "0"}
    file = {"name": "", "size": 10, "sha256": "0", "pieces": [change.get("piece", ["old", "", 0, 10])]}
    files = [file, {**file, "name": change["name"]}] if "name" in change else [file]
    rest = {"name": "rest", "offset": 0, "size": 10, "sha256": "0"}
    facts = {"format": 1, "bundler": "0", "old": version, "new": version, "files": files, "members": [rest]}
    data = json.dumps({**facts, **{key: change[key] for key in change if key in facts}}).encode()
    with pytest.raises(BundleError) as caught:
        patches.decode(data)
    assert caught.value.message == f"failed to read the patch: {cause}"


def test_no_space_leaves_nothing(shop: Site) -> None:
    """RLIMIT_FSIZE makes the kernel answer as a filesystem does that holds no larger file."""
    shop.told(NEW, "new")
    make(shop)
    script = (
        "import resource, sys\n"
        "from pathlib import Path\n"
        "from bundler.build.apply import apply\n"
        "from bundler.build.progress import Silent\n"
        "from bundler.errors import BundleError\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 17, 1 << 17))\n"
        "try:\n"
        "    apply(*map(Path, sys.argv[1:4]), Silent())\n"
        "except BundleError as error:\n"
        "    print(error.render())\n"
    )
    paths = [shop.folder / name for name in ("p", "old", "there/made")]
    result = subprocess.run([sys.executable, "-c", script, *paths], capture_output=True, text=True, check=False)
    assert "there/made: File too large\nhint: the filesystem holds no file of this size" in result.stdout, result.stderr
    assert list((shop.folder / "there").iterdir()) == []


def test_a_full_disk_is_told_before(shop: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    shop.told(NEW, "new")
    make(shop)
    usage = (1000, 990, 10)
    monkeypatch.setattr("shutil.disk_usage", lambda path: type("usage", (), {"free": usage[2]})())
    message, hint = fails(shop)
    assert "bytes, and the disk has 10 free" in message
    assert hint == "free some space, or give another place with -o"


def test_inputs_are_not_overwritten(shop: Site) -> None:
    shop.told(NEW, "new")
    make(shop)
    for name in ("p", "old"):
        with pytest.raises(BundleError, match="it is one of the inputs"):
            apply(shop, output=name)
    with pytest.raises(BundleError, match="it is one of the inputs"):
        patching.make(shop.folder / "old", shop.folder / "new", shop.folder / "new", Silent())


def test_the_commands(shop: Site) -> None:
    shop.told(NEW, "new")
    paths = {name: str(shop.folder / name) for name in ("old", "new", "p", "there/made")}
    result = CliRunner().invoke(command, ["patch", paths["old"], paths["new"], "-o", paths["p"]])
    assert result.exit_code == 0
    assert [line.split("  ")[1] for line in result.stdout.splitlines()[1:4]] == [
        "new/Modelfile",
        "new/bundle.json",
        "rest",
    ]
    result = CliRunner().invoke(command, ["apply", paths["p"], paths["old"], "-o", paths["there/made"], "--json"])
    facts = json.loads(result.stdout)
    with bundles.open_bundle(Path(paths["new"])) as bundle:
        assert facts["manifest_sha256"] == bundle.archive.manifest_sha256
    assert CliRunner().invoke(command, ["diff", paths["new"], paths["there/made"]]).exit_code == 0
