"""What the tests share: the runtime pack of this machine, bundles built from it, and bundles at work.

Whatever is expensive is made once and kept in the user's cache by content, so a second run is quick.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings

from bundler.build import libraries, packs
from bundler.build.assemble import build_bundle
from bundler.build.packs import Pack
from bundler.build.progress import Silent

ROOT = Path(__file__).parent.parent
GUIDE = ROOT / "examples" / "guide"

settings.register_profile("bundle", deadline=None)  # how long an example takes says how busy the machine is
settings.load_profile("bundle")


@pytest.fixture(autouse=True)
def _no_settings_from_outside(monkeypatch: pytest.MonkeyPatch) -> None:
    """A developer's own settings must not change what a test sees."""
    for name in list(os.environ):
        if name.startswith("BUNDLE_") and name != "BUNDLE_CACHE":
            monkeypatch.delenv(name)


@pytest.fixture(scope="session")
def pack() -> Pack:
    """The runtime pack for this machine, built where there is none yet."""
    return packs.ensure_host(Silent())


@pytest.fixture(scope="session")
def libs() -> Path:
    """The folder of the runtime's libraries, for the runtime run from the checkout."""
    return libraries.build(Silent())


@pytest.fixture(scope="session")
def guide(pack: Pack, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A bundle of examples/guide. Tests copy it before they change it."""
    path = tmp_path_factory.mktemp("guide") / "guide"
    build_bundle(
        GUIDE,
        path,
        name=None,
        target=None,
        pack=None,
        external_weights=False,
        progress=Silent(),
        warn=lambda message: None,
    )
    yield path
    path.unlink()
