"""The order of `bundle build`: what is cheap to find out is found out first."""

from __future__ import annotations

from pathlib import Path

import pytest

from bundler.build import assemble, packs
from bundler.build.progress import Silent
from bundler.errors import BundleError
from tests import models


def build(folder: Path, output: Path) -> None:
    assemble.build_bundle(
        folder / "Modelfile",
        output,
        name=None,
        target=None,
        pack=None,
        external_weights=False,
        progress=Silent(),
        warn=lambda line: None,
    )


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A model and its Modelfile, on a machine where no runtime pack can be had."""

    def fail(*arguments: object) -> None:
        raise AssertionError("it began to look for a runtime pack")

    monkeypatch.setattr(packs, "find", fail)
    models.write_chain(tmp_path / "chain.gguf", "abc")
    (tmp_path / "Modelfile").write_text("FROM ./chain.gguf\n")
    return tmp_path


@pytest.mark.parametrize(("output", "cause"), [("no/m", "No such file"), (".", "Is a directory")])
def test_an_output_that_cannot_be_written_is_told_before_minutes_of_work(
    project: Path, output: str, cause: str
) -> None:
    before = sorted(project.iterdir())
    with pytest.raises(BundleError, match=cause):
        build(project, project / output)
    assert sorted(project.iterdir()) == before


def test_the_output_is_not_touched_by_trying(project: Path) -> None:
    (project / "m").write_text("before")
    with pytest.raises(AssertionError, match="runtime pack"):
        build(project, project / "m")
    assert (project / "m").read_text() == "before"
