"""`bundle diff`: what differs between two bundles, by their manifests and digests. Reads no weights."""

from __future__ import annotations

import hashlib
from collections import Counter
from dataclasses import dataclass
from typing import Any, Final

import msgspec

from bundler.build import bundles
from bundler.build.bundles import MODELFILE, Bundle
from bundler.formats.container import MANIFEST, launcher_size
from bundler.formats.manifest import Manifest, Model
from bundler.formats.source import chunks

PARTS: Final = (
    "name", "weights", "adapter", "template", "system", "message", "parameter", "specials", "requires", "license",
    "page", "warm", "runtime", "launcher", "bundler", "format", "Modelfile", "member", "manifest", "container",
    "appended",
)  # fmt: skip
"""What bundles are compared by, in the order that differences are told."""

_Facts = dict[tuple[str, str], Any]


@dataclass(frozen=True, slots=True)
class Difference:
    part: str
    """One of `PARTS`."""
    item: str
    """Which one, where there may be several: a role, a parameter, a member."""
    old: Any
    """As JSON has it; None where the old bundle has none. So too `new`."""
    new: Any


def differences(old: Bundle, new: Bundle) -> list[Difference]:
    """What differs; none only where the two are the same by every digest they hold.

    Raises:
        BundleError: one of them is damaged.
    """
    before, after = _facts(old), _facts(new)
    keys = sorted(dict.fromkeys([*before, *after]), key=lambda key: PARTS.index(key[0]))
    found = [Difference(*key, before.get(key), after.get(key)) for key in keys if before.get(key) != after.get(key)]
    if found:
        return found
    rest = [
        ("manifest", old.archive.manifest_sha256, new.archive.manifest_sha256),
        ("container", old.archive.outside_sha256, new.archive.outside_sha256),
        ("appended", old.source.size - old.archive.end, new.source.size - new.archive.end),
    ]
    return [Difference(part, "", one, other) for part, one, other in rest if one != other]


def _facts(bundle: Bundle) -> _Facts:
    manifest = bundle.manifest
    digests = {member.name: member.sha256 for member in manifest.members}
    facts: _Facts = {
        ("name", ""): manifest.name,
        ("page", ""): _plain(manifest.page),
        ("warm", ""): _plain(manifest.warm),
        ("launcher", ""): _launcher(bundle),
        ("bundler", ""): manifest.bundler,
        ("format", ""): manifest.format,
        **_facts_of_model(bundle, manifest, MODELFILE, digests, ""),
    }
    for added in manifest.added:
        facts |= _facts_of_model(bundle, manifest.of(added.name), added.modelfile, digests, f"{added.name} ")
    facts |= {("runtime", target): _plain(parts) for target, parts in manifest.runtime.items()}
    known = {MANIFEST, MODELFILE, *(model.member for model in manifest.weights)}
    known |= {name for added in manifest.added for name in (added.modelfile, *added.licenses)} | {*manifest.licenses}
    known |= {manifest.warm.member} if manifest.warm else set()
    known |= {name for parts in manifest.runtime.values() for name in parts.parts.values()}
    return facts | {("member", name): digests.get(name) for name in bundle.archive.entries if name not in known}


def _facts_of_model(bundle: Bundle, manifest: Manifest, modelfile: str, digests: dict[str, str], prefix: str) -> _Facts:
    """What belongs to one model; `prefix` begins the items of an added one."""
    facts: _Facts = {
        ("template", prefix): _plain(manifest.template),
        ("system", prefix): manifest.system,
        ("specials", prefix): manifest.specials,
        ("requires", prefix): manifest.requires,
        ("Modelfile", prefix): _modelfile(bundle, modelfile),
    }
    roles: Counter[str] = Counter()
    for model in manifest.models:
        if model.role == "adapter":
            facts["adapter", prefix + (model.member or model.sidecar)] = {**_weights(model), "scale": model.scale}
        else:
            roles[model.role] += 1
            number = roles[model.role]
            facts["weights", prefix + (model.role if number == 1 else f"{model.role} {number}")] = _weights(model)
    facts |= {("message", f"{prefix}{at}"): _plain(message) for at, message in enumerate(manifest.messages, 1)}
    facts |= {("parameter", prefix + key): value for key, value in manifest.parameters.items()}
    facts |= {("license", name): digests.get(name) for name in manifest.licenses}
    return {(part, item.rstrip()): value for (part, item), value in facts.items()}


def _weights(model: Model) -> dict[str, Any]:
    return {
        "file": model.member or model.sidecar,
        "beside": bool(model.sidecar),
        "sha256": model.sha256,
        "size": model.size,
        "architecture": model.architecture,
        "quantization": model.quantization,
        "parameters": model.parameters,
    }


def _launcher(bundle: Bundle) -> dict[str, Any]:
    size, digest = launcher_size(bundle.archive), hashlib.sha256()
    for chunk in chunks(bundle.source, 0, size):
        digest.update(chunk)
    return {"sha256": digest.hexdigest(), "size": size}


def _modelfile(bundle: Bundle, member: str) -> str | None:
    if member not in bundle.archive.entries:
        return None
    with bundles.member_blob(bundle, member).opened() as source:
        return source.read_at(0, source.size).decode("utf-8", "replace")


def _plain(value: object) -> Any:
    return msgspec.to_builtins(value)
