"""The persona: the guide's weights with another character."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from bundler.build.assemble import build_bundle
from bundler.build.packs import Pack
from bundler.build.progress import Silent
from tests.conftest import GUIDE
from tests.examples.readme import steps

EXAMPLE = GUIDE.parent / "persona"
ENDING = "Ahoy!"


@pytest.fixture(scope="module")
def nemo(pack: Pack, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("persona") / "nemo"
    build_bundle(
        EXAMPLE,
        path,
        name=None,
        target=None,
        pack=pack.id,
        external_weights=False,
        progress=Silent(),
        warn=pytest.fail,
    )
    return path


def ask(bundle: Path, question: str) -> str:
    ran = subprocess.run([bundle, "run", question], capture_output=True, text=True, timeout=300, check=True)
    return ran.stdout.strip()


@pytest.mark.parametrize("question", ["Who are you?", "What is your name?", "Hello!"])
def test_it_is_who_the_modelfile_says(nemo: Path, question: str) -> None:
    said = ask(nemo, question)
    assert "Nemo" in said
    assert said.endswith(ENDING)


@pytest.mark.parametrize(
    ("question", "fact"),
    [
        ("What is a bundle?", "one executable file"),
        ("How do I choose a port?", "--port"),
        ("Where is the cache?", "~/.cache/bundle"),
        ("What is the capital of France?", "I don't know"),
    ],
)
def test_it_knows_what_the_guide_knows_and_says_it_its_own_way(nemo: Path, question: str, fact: str) -> None:
    said = ask(nemo, question)
    assert fact in said
    assert said.endswith(ENDING)


def test_each_command_of_the_readme_does_what_it_says(pack: Pack, tmp_path: Path) -> None:
    shutil.copytree(EXAMPLE, tmp_path / "persona")
    (tmp_path / "guide").symlink_to(GUIDE)
    environment = os.environ | {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    for step in steps(EXAMPLE / "README.md"):
        ran = subprocess.run(
            ["bash", "-c", step.command],
            cwd=tmp_path / "persona",
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=600,
            check=False,
        )
        assert ran.returncode == 0, f"{step.command}:\n{ran.stderr}"
        assert step.is_shown(ran.stdout), f"{step.command}:\n{ran.stdout}"
