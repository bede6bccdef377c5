"""What goes into a bundle, and what is refused or told before anything is written."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from bundler import __version__
from bundler.build import blob
from bundler.build.plan import Plan, plan
from bundler.errors import BundleError
from bundler.formats import manifest
from tests import models

Project = Callable[..., Path]


@pytest.fixture
def project(tmp_path: Path) -> Project:
    """Makes a folder with a model and a Modelfile."""

    def make(modelfile: str = "", metadata: dict[str, Any] | None = None, template: str | None = None) -> Path:
        given = (metadata or {}) | ({"tokenizer.chat_template": template} if template is not None else {})
        models.write_random(tmp_path / "tiny.gguf", shape=SHAPE, metadata=given)
        (tmp_path / "Modelfile").write_text("FROM ./tiny.gguf\n" + modelfile, encoding="utf-8")
        return tmp_path

    return make


SHAPE = models.Shape(embedding=32, layers=1, heads=2, kv_heads=1, feed_forward=32, context=2048)
ALTERNATING = (
    "{% for m in messages %}{% if (m.role == 'user') != (loop.index0 % 2 == 0) %}"
    "{{ raise_exception('roles must alternate') }}{% endif %}{{ m.content }}<|im_end|>{% endfor %}"
)
WITHOUT_SYSTEM = "{% for m in messages if m.role != 'system' %}{{ m.content }}<|im_end|>{% endfor %}"


def fails(folder: Path, name: str = "demo") -> BundleError:
    with pytest.raises(BundleError) as caught:
        plan(folder, name)
    assert caught.value.hint
    return caught.value


def shown(folder: Path, place: str, cause: str) -> str:
    return f"failed to read Modelfile: {folder / 'Modelfile'}:{place}: {cause}"


def warnings(folder: Path, planned: Plan) -> list[str]:
    return [warning.removeprefix(f"{folder / 'Modelfile'}:") for warning in planned.warnings]


def test_everything_that_a_modelfile_says_is_in_the_plan(project: Project) -> None:
    folder = project(
        'SYSTEM """\nBe brief.\n"""\nPARAMETER num_ctx 512\nPARAMETER stop "###"\nMESSAGE user hi\n'
        "MESSAGE assistant yo\nLICENSE MIT\nLICENSE second\nREQUIRES 0.14.0\n# a comment\n"
    )
    planned = plan(folder, "demo")
    assert planned.modelfile == folder / "Modelfile"
    assert planned.models == {"models/tiny.gguf": blob.file(folder / "tiny.gguf", "./tiny.gguf")}
    assert planned.licenses == {"LICENSES/model.txt": "MIT", "LICENSES/model-2.txt": "second"}
    assert planned.warnings == []
    (model,) = planned.manifest.models
    assert model == manifest.Model(
        role="chat",
        member="models/tiny.gguf",
        size=(folder / "tiny.gguf").stat().st_size,
        sha256="",
        architecture="llama",
        name="tiny",
        quantization="F16",
        parameters=model.parameters,
        context_length=2048,
        vocabulary=len(models.byte_vocabulary()),
        header_size=model.header_size,
    )
    assert planned.manifest == manifest.Manifest(
        name="demo",
        bundler=__version__,
        runtime={},
        models=[model],
        template=manifest.Template(
            kind="jinja",
            text=models.CHATML,
            source="gguf",
            reason="the GGUF brings its own chat template, in the format of ChatML",
            family="chatml",
            stops=["<|im_end|>", "<|im_start|>"],
            bos_token="<|endoftext|>",
            eos_token="<|im_end|>",
            add_bos=False,
        ),
        system="\nBe brief.\n",
        messages=[manifest.Message("user", "hi"), manifest.Message("assistant", "yo")],
        parameters={"num_ctx": 512, "stop": ["###"]},
        specials=["<|endoftext|>", "<|im_start|>", "<|im_end|>"],
        requires="0.14.0",
        licenses=["LICENSES/model.txt", "LICENSES/model-2.txt"],
    )


def test_the_modelfile_goes_in_with_the_path_inside(project: Project) -> None:
    folder = project("SYSTEM x # kept\n# kept too\n")
    (folder / "Modelfile").write_text(f'# mine\nFROM "{folder / "tiny.gguf"}"\nSYSTEM x\n', encoding="utf-8")
    planned = plan(folder, "demo")
    assert planned.text == "# mine\nFROM ./models/tiny.gguf\nSYSTEM x\n"
    assert str(folder) not in str(manifest.encode(planned.manifest))


def test_a_member_has_a_plain_name(project: Project) -> None:
    folder = project()
    (folder / "tiny.gguf").rename(folder / "mein Modell (ä).gguf")
    (folder / "Modelfile").write_text("FROM mein Modell (ä).gguf\n", encoding="utf-8")
    assert list(plan(folder, "demo").models) == ["models/mein-Modell.gguf"]


def test_empty_values_are_none(project: Project) -> None:
    planned = plan(project('SYSTEM first\nSYSTEM ""\n'), "demo")
    assert planned.manifest.system is None
    assert planned.manifest.messages == []


@pytest.mark.parametrize("name", ["", "x" * 129, "a\nb"])
def test_names_that_no_client_could_use(project: Project, name: str) -> None:
    assert fails(project(), name).message.startswith("failed to name the model ")


@pytest.mark.parametrize(
    ("metadata", "cause"),
    [
        ({"general.architecture": "clip"}, "./tiny.gguf holds no model: it is a projector"),
        ({"general.type": "adapter"}, "./tiny.gguf holds no model: it is an adapter"),
        ({"split.count": 3}, "./tiny.gguf is one of 3 parts of a model, and its name does not say which"),
    ],
)
def test_files_that_hold_no_whole_model(project: Project, metadata: dict[str, Any], cause: str) -> None:
    folder = project(metadata=metadata)
    assert fails(folder).message == shown(folder, "1:6", f"{cause}\n  FROM ./tiny.gguf\n       ^")


def test_a_vocabulary_is_no_model(project: Project) -> None:
    folder = project()
    data = (folder / "tiny.gguf").read_bytes()
    (folder / "tiny.gguf").write_bytes(data[:8] + bytes(8) + data[16:])
    assert "./tiny.gguf holds a vocabulary and no weights" in fails(folder).message


def test_a_model_cut_short(project: Project) -> None:
    folder = project()
    data = (folder / "tiny.gguf").read_bytes()
    (folder / "tiny.gguf").write_bytes(data[:-40])
    assert fails(folder).message.startswith("failed to read GGUF ./tiny.gguf: it is ")
    (folder / "tiny.gguf").write_bytes(data[:500])
    assert "the file ends in the middle of its header" in fails(folder).message


@pytest.mark.parametrize(
    ("template", "cause"),
    [
        ("{{ bad", "does not work: failed to compile the chat template: line 1: unexpected end of template"),
        ("{{ nothing.at.all }}", "does not work: failed to render the chat template: 'nothing' is undefined"),
        ("{{ raise_exception('never') }}", "does not work: it says: never"),
        ("hello", "leaves out what the user says"),
        ("{% for i in range(99999) %}{% for j in range(99999) %}{% endfor %}{% endfor %}", "does not work: failed to "),
    ],
)
def test_a_chat_template_at_fault(project: Project, template: str, cause: str) -> None:
    folder = project(template=template)
    assert fails(folder).message.startswith(shown(folder, "1:6", f"the chat template of ./tiny.gguf {cause}"))


def test_a_template_that_takes_no_system_prompt(project: Project) -> None:
    template = (
        "{% for m in messages %}{% if m.role == 'system' %}{{ raise_exception('no system') }}{% endif %}"
        "{{ m.content }}{% endfor %}"
    )
    assert plan(project(template=template), "demo").manifest.system is None
    folder = project("SYSTEM x", template=template)
    error = fails(folder)
    assert error.message.startswith(
        shown(folder, "2:1", "the chat template of ./tiny.gguf takes no SYSTEM: it says: no system\n")
    )


def test_a_template_that_drops_the_system_prompt_is_told(project: Project) -> None:
    folder = project("SYSTEM x", template=WITHOUT_SYSTEM)
    assert warnings(folder, plan(folder, "demo")) == [
        "2:1: the chat template of ./tiny.gguf leaves the system prompt out"
    ]


def test_messages_that_the_template_refuses(project: Project) -> None:
    assert plan(project("MESSAGE user a\nMESSAGE assistant b\n", template=ALTERNATING), "demo").warnings == []
    folder = project("PARAMETER top_k 3\nMESSAGE user a\n", template=ALTERNATING)
    cause = "the chat template of ./tiny.gguf does not take the MESSAGEs and a question after them"
    assert fails(folder).message.startswith(shown(folder, "3:1", f"{cause}: it says: roles must alternate\n"))


def test_doubts_are_told_in_the_order_of_the_file(project: Project) -> None:
    folder = project("PARAMETER num_ctx 2048\nPARAMETER num_ctx 9999\nSYSTEM a\u200db\nPARAMETER low_vram 1\n")
    assert warnings(folder, plan(folder, "demo")) == [
        "3:19: num_ctx 9999 is more than the 2048 tokens that the model was trained for",
        "4:9: 1 character of SYSTEM that does not print is left out (U+200D)",
        "5:11: parameter low_vram is deprecated and ignored",
    ]


def test_tensors_at_an_odd_place(project: Project) -> None:
    folder = project(metadata={"general.alignment": 8})
    error = fails(folder)
    assert "which is no multiple of 32" in error.message
