"""The manifest, `bundle.json`: everything that build knows and the runtime needs.

The one value that passes between the two sides: `bundler.build` writes it, `bundler.runtime` reads it. Plain data;
knows nothing of files. Unknown keys of a same-format manifest are ignored when it is read, and kept where a bundle
becomes the base of another.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

import msgspec

from bundler.errors import BundleError

FORMAT = 2
"""The newest that is known. A bundle of one model has format 1, so that programs from before the second can read it."""
MAX_SIZE = 64 << 20
"""Bytes of a manifest; a chat template and a system prompt of a megabyte each fit many times."""

Role = Literal["chat", "embedding", "draft", "projector", "adapter"]
ParameterValue = int | float | bool | str | list[str]


class Member(msgspec.Struct, frozen=True, kw_only=True):
    """One member of the archive; `bundle.json` itself is not listed (the trailer holds its digest)."""

    name: str
    offset: int
    """First byte of the member's data, counted from byte 0 of the file."""
    size: int
    sha256: str


class Model(msgspec.Struct, frozen=True, kw_only=True):
    """Weights, and the facts of them that the runtime shows or decides by."""

    role: Role
    member: str = ""
    """Archive name, `models/<name>.gguf`; empty where the weights lie in a sidecar file."""
    sidecar: str = ""
    """Name of the file beside the executable that holds the weights, where one file could not hold everything."""
    size: int
    sha256: str
    architecture: str
    name: str = ""
    quantization: str = ""
    parameters: int = 0
    """Number of weights."""
    context_length: int = 0
    """The trained context in tokens; 0 where the file does not say."""
    vocabulary: int = 0
    header_size: int = 0
    """Bytes of the GGUF before the data of its tensors; checked at every start: damage there is an error, no crash."""
    header_sha256: str = ""
    scale: float = 1.0
    """How strongly an adapter is applied."""
    sampling: dict[str, ParameterValue] = {}
    """The settings that the GGUF recommends (`general.sampling.*`), under the names of PARAMETERs or requests."""


class Message(msgspec.Struct, frozen=True):
    role: Literal["system", "user", "assistant"]
    content: str


class Template(msgspec.Struct, frozen=True, kw_only=True):
    """How messages become a prompt."""

    kind: Literal["jinja", "go"]
    text: str
    source: Literal["modelfile", "gguf", "family"]
    reason: str
    """One sentence for people: why this template was chosen."""
    family: str = ""
    """The prompt format that it writes, by its name in `templates/prompts/`; empty where none is recognised."""
    stops: list[str] = []
    """Stop strings that come with the template, beside those of the Modelfile."""
    bos_token: str = ""
    eos_token: str = ""
    add_bos: bool = False
    """Whether the tokenizer puts its begin-of-sequence token before a prompt by itself."""


class Page(msgspec.Struct, frozen=True, kw_only=True):
    """What the chat page says in an empty chat, from `page.toml`."""

    greeting: str = ""
    starters: list[str] = []
    """Questions to begin with, each a button."""


class RuntimeParts(msgspec.Struct, frozen=True, kw_only=True):
    """The runtime pack that went into the bundle for one target."""

    pack: str
    """Content address of the pack."""
    llama_cpp: str
    """Version of llama-cpp-python whose llama.cpp this is."""
    parts: dict[str, str]
    """Part name (`base`, `cuda`, …) to archive member."""


class Warm(msgspec.Struct, frozen=True, kw_only=True):
    """What every chat begins with, evaluated when the bundle was built: the first answer need not wait for it."""

    member: str
    """Archive name of the state, `state/<sha256>`."""
    size: int
    sha256: str
    tokens: list[int]
    exact: int
    """Of the tokens, the first so many were computed as a first request computes them."""
    guard: str
    """Digest of all that the state depends on; another one at start means that it is not used."""


class Added(msgspec.Struct, frozen=True, kw_only=True):
    """Another model of the bundle, with all that belongs to it; the fields as a `Manifest` has them."""

    name: str
    """By which requests ask for it."""
    modelfile: str
    """Archive member with the Modelfile that it was built from."""
    models: list[Model]
    template: Template | None = None
    system: str | None = None
    messages: list[Message] = []
    parameters: dict[str, ParameterValue] = {}
    specials: list[str] = []
    requires: str = ""
    licenses: list[str] = []


class Manifest(msgspec.Struct, frozen=True, kw_only=True):
    format: int = 1
    name: str
    """The model's name in every API."""
    bundler: str
    """Version of the tool that wrote the bundle."""
    runtime: dict[str, RuntimeParts]
    """By target."""
    models: list[Model]
    template: Template | None = None
    system: str | None = None
    messages: list[Message] = []
    parameters: dict[str, ParameterValue] = {}
    """The Modelfile's PARAMETERs, typed; `stop` is a list."""
    specials: list[str] = []
    """The spellings of the chat model's control tokens, which no foreign text in a prompt may become."""
    requires: str = ""
    """The version of Ollama that the Modelfile asks for with REQUIRES; told, and not checked."""
    page: Page | None = None
    warm: Warm | None = None
    licenses: list[str] = []
    """Archive members that hold the model's licences, as given by LICENSE."""
    added: list[Added] = []
    """The models beside the main one, each loaded when it is asked for."""
    members: list[Member] = []

    @property
    def adapters(self) -> list[Model]:
        """The LoRA adapters, in the order that they are applied in."""
        return [model for model in self.models if model.role == "adapter"]

    @property
    def needed_format(self) -> int:
        """The oldest format that can hold it: programs that know no newer one serve it as it is meant."""
        return 2 if self.added else 1

    @property
    def names(self) -> list[str]:
        """Of all models, the main one first."""
        return [self.name, *(added.name for added in self.added)]

    @property
    def weights(self) -> list[Model]:
        """Every GGUF of the bundle, those of the added models too; the same file once for each that uses it."""
        return [*self.models, *(model for added in self.added for model in added.models)]

    def model(self, role: Role) -> Model | None:
        """The first model with this role."""
        return next((model for model in self.models if model.role == role), None)

    def of(self, name: str) -> Manifest:
        """The manifest of one of the models, as if the bundle held no other.

        Raises:
            BundleError: there is none of this name.
        """
        if name == self.name:
            return msgspec.structs.replace(self, added=[])
        for added in self.added:
            if added.name == name:
                own = {field: getattr(added, field) for field in Added.__struct_fields__ if field != "modelfile"}
                return msgspec.structs.replace(self, **own, page=None, warm=None, added=[])
        raise BundleError(
            f"failed to find the model {name!r}: it is not in this bundle", f"it holds {', '.join(self.names)}"
        )

    def with_weights(self, change: Callable[[Model], Model]) -> Manifest:
        """The same with every GGUF as `change` makes it."""
        return msgspec.structs.replace(
            self,
            models=[change(model) for model in self.models],
            added=[
                msgspec.structs.replace(added, models=[change(model) for model in added.models]) for added in self.added
            ],
        )


def encode(manifest: Manifest, base: bytes = b"") -> bytes:
    """The manifest as indented JSON, the same bytes for the same value.

    `base` is the JSON of the manifest that this one comes from: its keys that are not known here are kept, those of
    weights where the weights are the same.
    """
    data = msgspec.json.encode(manifest, order="deterministic")
    if base and (unknown := _unknown(msgspec.json.decode(base), manifest)):
        data = msgspec.json.encode(_merged(msgspec.json.decode(data), unknown), order="deterministic")
    return msgspec.json.format(data, indent=1) + b"\n"


def _unknown(base: dict[str, Any], manifest: Manifest) -> dict[str, Any]:
    """What a manifest says that this program does not understand; weights by their digest."""
    known = {model.sha256 for model in manifest.models}
    found = {key: value for key, value in base.items() if key not in Manifest.__struct_fields__}
    models = {
        model["sha256"]: own
        for model in base.get("models", [])
        if model["sha256"] in known
        and (own := {key: value for key, value in model.items() if key not in Model.__struct_fields__})
    }
    return {**found, **({"models": models} if models else {})}


def _merged(manifest: dict[str, Any], unknown: dict[str, Any]) -> dict[str, Any]:
    models = unknown.get("models", {})
    return {
        **{key: value for key, value in unknown.items() if key != "models"},
        **manifest,
        "models": [{**models.get(model["sha256"], {}), **model} for model in manifest["models"]],
    }


def decode(data: bytes) -> Manifest:
    """Read `bundle.json`.

    Raises:
        BundleError: the bytes are no manifest, or one of a newer format than this program knows.
    """
    try:
        version: Any = msgspec.json.decode(data).get("format")
    except (msgspec.DecodeError, AttributeError, UnicodeDecodeError, RecursionError) as cause:
        raise _damaged(cause) from cause
    if isinstance(version, int) and version > FORMAT:
        raise BundleError(
            f"failed to read bundle.json: its format is {version}, and this program knows formats up to {FORMAT}",
            "use the version of bundle that built the file, or a newer one",
        )
    try:
        manifest = msgspec.json.decode(data, type=Manifest)
    except (msgspec.ValidationError, msgspec.DecodeError) as cause:
        raise _damaged(cause) from cause
    for model in manifest.weights:
        if model.sidecar and not is_file_name(model.sidecar):
            raise _damaged(f"weights beside the executable cannot be called {model.sidecar!r}")
    return manifest


def is_file_name(text: str) -> bool:
    """Whether it names a file in the same folder, on every system."""
    return text not in (".", "..") and text.isprintable() and not any(char in text for char in "/\\:")


def _damaged(cause: Exception | str) -> BundleError:
    return BundleError(
        f"failed to read bundle.json: {cause}", "the file is damaged or no bundle; get it again from its source"
    )
