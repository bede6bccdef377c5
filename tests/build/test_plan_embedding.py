"""Plans of models that make embeddings and generate no text."""

from __future__ import annotations

from pathlib import Path

from bundler.build.plan import plan
from tests import models, sources


def test_an_embedding_model_needs_no_template(tmp_path: Path) -> None:
    vocabulary = models.real_vocabulary(sources.models() / "ggml-vocab-bert-bge.gguf")
    models.write_encoder(tmp_path / "encoder.gguf", vocabulary)
    file = tmp_path / "Modelfile"
    file.write_text("FROM ./encoder.gguf\nSYSTEM Be brief.\nLICENSE MIT\n")
    planned = plan(file, "encoder")
    assert [model.role for model in planned.manifest.models] == ["embedding"]
    assert planned.manifest.template is None
    assert planned.warnings == [
        f"{file}:2:1: SYSTEM has no effect: the model makes embeddings and generates no text",
    ]
