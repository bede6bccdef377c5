"""A folder of safetensors as FROM, with a converter that is a script of a few lines."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from bundler.build import llamacpp
from bundler.errors import BundleError
from tests.build.sources.making import content, fails, find, gguf

CONVERTER = """
import pathlib, sys
folder, _, output = sys.argv[1:]
print("INFO: converting", file=sys.stderr)
fault = pathlib.Path(folder, "fault.txt")
if fault.exists():
    sys.exit("ValueError: " + fault.read_text())
data = pathlib.Path(folder, "model.safetensors").read_bytes()
pathlib.Path(output).write_bytes(data)
with open(pathlib.Path(__file__).parent / "runs", "a") as file:
    file.write("x")
"""


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder `model`; the converter copies its weights, which are a GGUF in truth."""
    monkeypatch.setenv("BUNDLE_CACHE", str(tmp_path / "cache"))
    script = tmp_path / "source" / "vendor" / "llama.cpp" / "convert_hf_to_gguf.py"
    script.parent.mkdir(parents=True)
    script.write_text(CONVERTER)
    monkeypatch.setattr(llamacpp, "source", lambda progress: tmp_path / "source")
    for package in ("torch", "transformers", "numpy", "sentencepiece", "google/protobuf"):
        (tmp_path / "packages" / package).mkdir(parents=True)
        (tmp_path / "packages" / package / "__init__.py").touch()
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "model.safetensors").write_bytes(gguf())
    (tmp_path / "model" / "config.json").write_text("{}")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "packages"))
    return tmp_path


def runs(project: Path) -> int:
    return len((project / "source" / "vendor" / "llama.cpp" / "runs").read_text())


def test_a_folder_is_converted_once(project: Path) -> None:
    for _ in range(2):
        found = find("./model", project)
        assert (found.weights[0].kind, found.weights[0].name) == ("model", "model")
        assert content(found.weights[0].blob) == gguf()
    assert runs(project) == 1
    (project / "model" / "config.json").write_text('{"changed": 1}')
    find("./model", project)
    assert runs(project) == 2
    assert found.remarks[0].startswith("./model: converted by llama.cpp's convert_hf_to_gguf.py, and kept as ")


def test_packages_that_are_missing(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for package in ("torch", "sentencepiece"):
        (project / "packages" / package / "__init__.py").unlink()
        (project / "packages" / package).rmdir()
    monkeypatch.setenv("BUNDLE_CONVERT_PYTHON", sys.base_prefix + "/bin/python3")
    assert fails("./model", project) == (
        "./model holds safetensors, and the Python that would convert them lacks torch, sentencepiece",
        f"{sys.base_prefix}/bin/python3 -m pip install torch transformers numpy sentencepiece protobuf; "
        "or set BUNDLE_CONVERT_PYTHON to a Python that has them, or name a GGUF of the model",
    )


def test_a_python_that_is_none(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BUNDLE_CONVERT_PYTHON", "/bin/false")
    assert fails("./model", project) == (
        "/bin/false is no Python that can convert ./model",
        "set BUNDLE_CONVERT_PYTHON to one",
    )


def test_a_conversion_that_fails_leaves_nothing(project: Path) -> None:
    (project / "model" / "fault.txt").write_text("odd model")
    with pytest.raises(BundleError) as caught:
        find("./model", project)
    assert caught.value.message == "failed to convert ./model: ValueError: odd model"
    assert caught.value.hint.startswith("try it by hand: ")
    assert not list((project / "cache").rglob("*.gguf"))


def test_code_that_comes_with_a_model_is_not_run(project: Path) -> None:
    (project / "model" / "modeling_odd.py").write_text("print(1)")
    assert fails("./model", project) == (
        "./model brings Python code, modeling_odd.py, which the converter might run",
        "look at it, and take it out of the folder; most models convert without",
    )


def test_a_link_out_of_the_folder(project: Path) -> None:
    (project / "elsewhere").write_text("{}")
    (project / "model" / "tokenizer.json").symlink_to(project / "elsewhere")
    assert fails("./model", project) == (
        "tokenizer.json in ./model is a link that leads out of the folder",
        f"name the file itself: FROM {project / 'elsewhere'}",
    )
