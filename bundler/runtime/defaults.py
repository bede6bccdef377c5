"""What holds for a request that does not say otherwise: the Modelfile's parameters over Ollama's defaults."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from bundler.errors import BundleError
from bundler.formats.manifest import Manifest, ParameterValue
from bundler.runtime.request import Sampling

_SAMPLING = frozenset(Sampling.__struct_fields__)


class Defaults(msgspec.Struct, frozen=True, kw_only=True):
    sampling: Sampling = Sampling()
    stop: tuple[str, ...] = ()
    """End every answer, beside the stop strings of the request: those of the template and of the Modelfile."""
    max_tokens: int | None = None
    context_length: int | None = None
    """`num_ctx`."""
    threads: int | None = None
    """`num_thread`."""


def from_manifest(manifest: Manifest) -> Defaults:
    """Read the parameters by Ollama's names; those that this runtime does not know are left out.

    Raises:
        BundleError: a parameter is of the wrong type.
    """
    parameters = manifest.parameters
    given = {name: value for name, value in parameters.items() if name in _SAMPLING}
    if given.get("seed") == -1:
        del given["seed"]
    try:
        sampling = msgspec.convert(given, Sampling)
        stop = msgspec.convert(_as_list(parameters.get("stop", [])), tuple[str, ...])
    except msgspec.ValidationError as cause:
        raise BundleError(
            f"failed to read the parameters in bundle.json: {cause}", "build the bundle again from its Modelfile"
        ) from cause
    template_stops = manifest.template.stops if manifest.template else []
    return Defaults(
        sampling=sampling,
        stop=tuple(dict.fromkeys([*template_stops, *stop])),
        max_tokens=_positive(parameters, "num_predict"),
        context_length=_positive(parameters, "num_ctx"),
        threads=_positive(parameters, "num_thread"),
    )


def _as_list(value: ParameterValue) -> ParameterValue:
    return [value] if isinstance(value, str) else value


def _positive(parameters: Mapping[str, ParameterValue], name: str) -> int | None:
    """Ollama writes "no limit" and "decide yourself" as -1, -2 or 0."""
    value = parameters.get(name)
    return value if isinstance(value, int) and not isinstance(value, bool) and value > 0 else None
