"""Which setting holds where a request says nothing, and who it comes from."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from bundler.errors import BundleError
from bundler.formats.manifest import Model, ParameterValue
from bundler.runtime.defaults import from_manifest
from tests.runtime import serving


def manifest_of(parameters: dict[str, ParameterValue], sampling: dict[str, Any], stops: list[str]) -> Any:
    model = Model(role="chat", size=1, sha256="", architecture="llama", sampling=sampling)
    template = msgspec.structs.replace(serving.TEMPLATE, stops=stops)
    return serving.manifest(parameters=parameters, models=[model], template=template)


def test_the_modelfile_goes_before_the_gguf_and_both_before_the_defaults() -> None:
    defaults = from_manifest(
        manifest_of(
            {"temperature": 0.1, "num_ctx": 77, "num_predict": -1, "num_thread": 2},
            {"temperature": 0.6, "top_k": 20, "repeat_last_n": 32},
            [],
        )
    )
    sampling = defaults.sampling
    assert (sampling.temperature, sampling.top_k, sampling.repeat_last_n, sampling.top_p) == (0.1, 20, 32, 0.9)
    given = {"temperature": "modelfile", "top_k": "gguf", "repeat_last_n": "gguf"}
    assert defaults.sampling_origins == dict.fromkeys(sampling.__struct_fields__, "default") | given
    assert (defaults.context_length, defaults.max_tokens, defaults.threads) == (77, None, 2)


def test_the_modelfile_says_how_the_model_is_loaded_and_what_truncation_keeps() -> None:
    defaults = from_manifest(manifest_of({"num_batch": 256, "use_mmap": False, "num_keep": -1}, {}, []))
    assert (defaults.batch, defaults.load_mode, defaults.keep) == (256, "read", -1)
    defaults = from_manifest(manifest_of({}, {}, []))
    assert (defaults.batch, defaults.load_mode, defaults.keep) == (None, None, 0)


def test_samplers_that_nobody_knows_are_left_out() -> None:
    defaults = from_manifest(manifest_of({}, {"samplers": ["top_k", "made_up", "temperature"]}, []))
    assert defaults.sampling.samplers == ("top_k", "temperature")
    assert defaults.sampling_origins["samplers"] == "gguf"


def test_a_seed_of_minus_one_is_a_new_one_each_time() -> None:
    defaults = from_manifest(manifest_of({"seed": -1}, {}, []))
    assert (defaults.sampling.seed, defaults.sampling_origins["seed"]) == (None, "default")


def test_stops_of_the_template_and_of_the_modelfile() -> None:
    defaults = from_manifest(manifest_of({"stop": ["User:", "<|end|>"]}, {}, ["<|end|>", "<|eot|>"]))
    assert defaults.stop == ("<|end|>", "<|eot|>", "User:")
    assert defaults.stop_origins == {"<|end|>": "modelfile", "<|eot|>": "template", "User:": "modelfile"}
    assert from_manifest(manifest_of({"stop": "one"}, {}, [])).stop == ("one",)


def test_a_parameter_of_the_wrong_type() -> None:
    with pytest.raises(BundleError) as caught:
        from_manifest(manifest_of({"top_k": "many"}, {}, []))
    assert str(caught.value) == (
        "failed to read the parameters in bundle.json: Expected `int`, got `str` - at `$.top_k`"
    )
    assert caught.value.hint == "build the bundle again from its Modelfile"
