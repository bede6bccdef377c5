"""What holds for a request that does not say otherwise: the Modelfile over the GGUF's recommendations over Ollama's."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import msgspec

from bundler.errors import BundleError
from bundler.formats.manifest import Manifest, ParameterValue
from bundler.runtime.request import SAMPLERS, Sampling

Origin = Literal["modelfile", "gguf", "template", "default"]
"""Who a setting comes from; `default` is Ollama's value."""
_SAMPLING = Sampling.__struct_fields__
_LOAD_MODES: dict[ParameterValue | None, Literal["mmap", "read"]] = {True: "mmap", False: "read"}


class Defaults(msgspec.Struct, frozen=True, kw_only=True):
    sampling: Sampling = Sampling()
    stop: tuple[str, ...] = ()
    """End every answer, beside the stop strings of the request: those of the template and of the Modelfile."""
    max_tokens: int | None = None
    context_length: int | None = None
    """`num_ctx`."""
    threads: int | None = None
    """`num_thread`."""
    batch: int | None = None
    """`num_batch`."""
    load_mode: Literal["mmap", "read"] | None = None
    """`use_mmap`."""
    keep: int = 0
    """`num_keep`: tokens that truncation and context shift leave at the beginning; below 0: the whole prompt."""
    shift: bool = False
    """Go on where the context is full."""
    sampling_origins: dict[str, Origin] = {}
    """By field of `sampling`."""
    stop_origins: dict[str, Origin] = {}
    """By stop string."""


def from_manifest(manifest: Manifest) -> Defaults:
    """Read the parameters by Ollama's names; those that this runtime does not know are left out.

    Raises:
        BundleError: a parameter is of the wrong type.
    """
    parameters = manifest.parameters
    model = manifest.model("chat")
    layers: list[tuple[Origin, Mapping[str, ParameterValue]]] = [
        ("gguf", _usable(model.sampling) if model else {}),
        ("modelfile", {name: value for name, value in parameters.items() if (name, value) != ("seed", -1)}),
    ]
    given: dict[str, ParameterValue] = {}
    origins: dict[str, Origin] = dict.fromkeys(_SAMPLING, "default")
    for origin, layer in layers:
        for name in _SAMPLING:
            if name in layer:
                given[name], origins[name] = layer[name], origin
    template_stops = manifest.template.stops if manifest.template else []
    try:
        sampling = msgspec.convert(given, Sampling)
        stops = msgspec.convert(_as_list(parameters.get("stop", [])), list[str])
    except msgspec.ValidationError as cause:
        raise BundleError(
            f"failed to read the parameters in bundle.json: {cause}", "build the bundle again from its Modelfile"
        ) from cause
    ends: dict[str, Origin] = {**dict.fromkeys(template_stops, "template"), **dict.fromkeys(stops, "modelfile")}
    return Defaults(
        sampling=sampling,
        stop=tuple(ends),
        max_tokens=_positive(parameters, "num_predict"),
        context_length=_positive(parameters, "num_ctx"),
        threads=_positive(parameters, "num_thread"),
        batch=_positive(parameters, "num_batch"),
        load_mode=_LOAD_MODES.get(parameters.get("use_mmap") if "use_mmap" in parameters else None),
        keep=keep if isinstance(keep := parameters.get("num_keep"), int) else 0,
        sampling_origins=origins,
        stop_origins=ends,
    )


def _usable(recommended: Mapping[str, ParameterValue]) -> dict[str, ParameterValue]:
    """Without samplers that this runtime does not know."""
    kept = dict(recommended)
    if (given := kept.pop("samplers", None)) and isinstance(given, list):
        kept["samplers"] = [name for name in given if name in SAMPLERS]
    return kept


def _as_list(value: ParameterValue) -> ParameterValue:
    return [value] if isinstance(value, str) else value


def _positive(parameters: Mapping[str, ParameterValue], name: str) -> int | None:
    """Ollama writes "no limit" and "decide yourself" as -1, -2 or 0."""
    value = parameters.get(name)
    return value if isinstance(value, int) and not isinstance(value, bool) and value > 0 else None
