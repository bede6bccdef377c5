"""The models of a bundle beside its main one: those asked for with `--add`, and those that its base brings.

Each is planned from a Modelfile of its own. Writes nothing; `assemble` puts the result into the bundle.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import msgspec

from bundler.build import bundles
from bundler.build.archive import Content
from bundler.build.blob import Blob
from bundler.build.bundles import MODELFILE, Bundle
from bundler.build.gather import identity
from bundler.build.plan import MAX_NAME, Plan, member_stem, plan
from bundler.build.progress import Progress
from bundler.errors import BundleError
from bundler.formats.manifest import Added, Manifest, Model

_LICENSES: Final = "LICENSES/"
_RESERVED: Final = "default"
"""What requests call the main model, whatever its name is."""


@dataclass(frozen=True, slots=True)
class Addition:
    """One `--add`."""

    name: str
    modelfile: Path | None
    """A file, or a folder with one; None leaves out the model of this name that the base brings."""


@dataclass(frozen=True, slots=True)
class Beside:
    """All models beside the main one, ready to be written."""

    entries: list[Added] = field(default_factory=list)
    models: dict[str, Blob] = field(default_factory=dict)
    """The bytes of each GGUF, by archive member; some may be the main model's."""
    members: list[Content] = field(default_factory=list)
    """Their Modelfiles and licences."""
    plans: list[Plan] = field(default_factory=list)
    """Of those that come from a Modelfile."""
    warnings: list[str] = field(default_factory=list)

    def take(self, entry: Added, models: Mapping[str, Blob], members: Sequence[Content]) -> None:
        """Add one model."""
        self.entries.append(entry)
        self.models.update(models)
        self.members.extend(members)


def check_names(main: str, additions: Sequence[Addition]) -> None:
    """See that each name can be asked for, and means one model.

    Raises:
        BundleError: one cannot.
    """
    seen = {main: "it is the main model's"}
    for addition in additions:
        name = addition.name
        if not name or len(name) > MAX_NAME or not name.isprintable() or name != name.strip():
            cause = f"a name has 1 to {MAX_NAME} characters that print, and no space at its ends"
        elif name == _RESERVED:
            cause = "requests call the main model so"
        else:
            cause = seen.setdefault(name, "")
        if cause:
            raise BundleError(f"failed to add the model {name[:40]!r}: {cause}", "give --add another NAME=MODELFILE")
        seen[name] = "two of --add have this name"


def plan_beside(main: Plan, additions: Sequence[Addition], progress: Progress, *, requantized: bool) -> Beside:
    """Plan the models beside `main`; `requantized`: its weights will be others than its plan says.

    A model whose GGUF is in the bundle already uses that one.

    Raises:
        BundleError: a Modelfile or a model cannot be used, or a model to leave out is not there.
    """
    beside = Beside()
    weights = main.manifest.models[0].member
    usable = {member: blob for member, blob in main.models.items() if not (requantized and member == weights)}
    base = main.base.bundle if main.base else None
    if base is not None:
        with bundles.open_bundle(base) as bundle:
            _inherit(beside, main, usable, bundle, {addition.name for addition in additions})
    inherited = _names_of(base)
    for addition in additions:
        if addition.modelfile is None:
            if addition.name not in inherited:
                raise BundleError(
                    f"failed to leave out the model {addition.name!r}: FROM brings none of this name",
                    f"it brings {', '.join(inherited) or 'no model beside its main one'}",
                )
            continue
        taken, shared = {*main.models, *beside.models}, {**usable, **beside.models}
        planned = plan(addition.modelfile, addition.name, progress, taken=taken, shared=shared)
        _take_planned(beside, planned)
    return beside


def _take_planned(beside: Beside, planned: Plan) -> None:
    manifest = planned.manifest
    stem = _free_stem(beside, member_stem(manifest.name))
    modelfile = f"{MODELFILE}-{stem}"
    licenses = {
        name.replace(_LICENSES, f"{_LICENSES}added-{stem}/", 1): text for name, text in planned.licenses.items()
    }
    entry = Added(
        name=manifest.name,
        modelfile=modelfile,
        models=manifest.models,
        template=manifest.template,
        system=manifest.system,
        messages=manifest.messages,
        parameters=manifest.parameters,
        specials=manifest.specials,
        requires=manifest.requires,
        licenses=list(licenses),
    )
    texts = {modelfile: planned.text, **licenses}
    beside.take(entry, planned.models, [Content(name, text.encode()) for name, text in texts.items()])
    beside.plans.append(planned)
    beside.warnings.extend(planned.warnings)
    if planned.base and planned.base.bundle and (others := _names_of(planned.base.bundle)):
        told = f"of {planned.base.bundle} the main model alone is added, without {', '.join(others)}"
        beside.warnings.append(told)


def _free_stem(beside: Beside, stem: str) -> str:
    taken = {entry.modelfile for entry in beside.entries}
    stems = [stem, *(f"{stem}-{number}" for number in range(2, len(taken) + 2))]
    return next(each for each in stems if f"{MODELFILE}-{each}" not in taken)


def _inherit(beside: Beside, main: Plan, usable: Mapping[str, Blob], bundle: Bundle, replaced: set[str]) -> None:
    """Take over the models that the base brings, but those replaced; `usable`: the main model's files that stay so."""
    for entry in bundle.manifest.added:
        if entry.name in replaced:
            continue
        if entry.name == main.manifest.name:
            raise BundleError(
                f"failed to name the model {entry.name!r}: {bundle.path} brings another one of this name",
                f"choose another --name, or leave that model out with --add {entry.name}=",
            )
        models = {model.member: _blob(entry, bundle, model) for model in entry.models}
        for member, blob in models.items():
            if member in main.models and not (member in usable and identity(usable[member]) == identity(blob)):
                raise _not_taken(entry, bundle, f"{member} is another file now")
        members = [Content(name, bundles.member_blob(bundle, name)) for name in (entry.modelfile, *entry.licenses)]
        beside.take(entry, models, members)


def _blob(entry: Added, bundle: Bundle, model: Model) -> Blob:
    if model.sidecar:
        raise _not_taken(entry, bundle, "its weights lie beside the bundle")
    return bundles.member_blob(bundle, model.member)


def _not_taken(entry: Added, bundle: Bundle, cause: str) -> BundleError:
    return BundleError(
        f"failed to take over the model {entry.name!r} from {bundle.path}: {cause}",
        f"leave it out with --add {entry.name}=, or add it again from its Modelfile",
    )


def _names_of(base: Path | None) -> list[str]:
    """Of the models beside a bundle's main one."""
    if base is None:
        return []
    with bundles.open_bundle(base) as bundle:
        return bundle.manifest.names[1:]


def all_models(main: Plan, beside: Beside) -> dict[str, Blob]:
    """The bytes of every GGUF by member, the main model's first."""
    return {**main.models, **{member: blob for member, blob in beside.models.items() if member not in main.models}}


def with_added(manifest: Manifest, beside: Beside) -> Manifest:
    """The manifest of a bundle with these models beside its main one."""
    manifest = msgspec.structs.replace(manifest, added=beside.entries)
    return msgspec.structs.replace(manifest, format=manifest.needed_format)
