"""`bundle upgrade`: a bundle with the launcher and the runtime of now; weights, prompt and all else stay."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import msgspec

from bundler import __version__
from bundler.build import bundles, packs, runtimes
from bundler.build.archive import Content
from bundler.build.bundles import MODELFILE, Bundle
from bundler.build.gather import FOLDERS
from bundler.build.output import OutputFile, refuse_overwriting
from bundler.build.packs import Pack
from bundler.build.progress import Progress
from bundler.build.sources import bundlefile
from bundler.build.write import Written, write_bundle
from bundler.errors import BundleError
from bundler.formats.container import ALIGNMENT, MANIFEST
from bundler.formats.manifest import Manifest, Model


def upgrade(file: Path, output: Path, *, pack: str | None, progress: Progress, warn: Callable[[str], None]) -> Written:
    """Write `output`: the bundle `file` with the runtime of the newest pack for its target, or of the pack selected.

    `warn` hears what could not be kept.

    Raises:
        BundleError: `file` is no bundle or damaged, there is no pack for its target, or the output cannot be written.
    """
    with OutputFile(output):  # a place that cannot be written to is told first
        pass
    refuse_overwriting(output, [file])
    with bundles.open_bundle(file) as bundle:
        chosen = packs.choose(_target(bundle), pack, progress)
        runtime = runtimes.of_pack(chosen)
        places = {old.sha256: _member(number, old) for number, old in enumerate(bundle.manifest.weights)}
        manifest = msgspec.structs.replace(
            bundle.manifest.with_weights(
                lambda model: msgspec.structs.replace(model, member=model.member or places[model.sha256], sidecar="")
            ),
            format=bundle.manifest.needed_format,
            bundler=__version__,
            runtime=dict(runtime.parts),
        )
        manifest, left_out = _without_stale_state(bundle, manifest, chosen)
        if left_out:
            told = "the evaluated prompt is of another llama.cpp and left out; build with --warm to have one again"
            warn(f"{file}: {told}")
        weights = [model.member for model in bundle.manifest.weights]
        replaced = {*runtimes.members_of(bundle), MANIFEST, *left_out, *weights}
        kept = [_kept(bundle, name) for name in bundle.archive.entries if name not in replaced]
        first = [content for content in kept if content.name == MODELFILE]
        rest = [content for content in kept if content.name != MODELFILE]
        return write_bundle(
            output,
            runtime.launcher,
            [*first, *runtime.members, *rest],
            {
                new.member: bundlefile.blob_of(bundle, old)
                for new, old in zip(manifest.weights, bundle.manifest.weights, strict=True)
            },
            manifest,
            progress,
            external_weights=any(model.sidecar for model in bundle.manifest.weights),
            base=bundles.manifest_bytes(bundle),
        )


def _target(bundle: Bundle) -> str:
    targets = list(bundle.manifest.runtime)
    if len(targets) != 1:
        found = ", ".join(targets) or "none"
        raise BundleError(
            f"failed to upgrade {bundle.path}: it has runtimes for {found}, and one is needed",
            "build it again from its Modelfile (bundle extract takes it apart)",
        )
    return targets[0]


def _member(number: int, model: Model) -> str:
    """Where weights are that may lie beside the bundle, once they are inside."""
    return model.member or f"{FOLDERS[bundlefile.KINDS[model.role]]}/{number}.gguf"


def _without_stale_state(bundle: Bundle, manifest: Manifest, pack: Pack) -> tuple[Manifest, set[str]]:
    """The manifest without a state that another llama.cpp computed, and the members that go with it."""
    before = [parts.llama_cpp for parts in bundle.manifest.runtime.values()]
    if manifest.warm is None or before == [pack.llama_cpp]:
        return manifest, set()
    return msgspec.structs.replace(manifest, warm=None), {manifest.warm.member}


def _kept(bundle: Bundle, name: str) -> Content:
    aligned = bundle.archive.entries[name].offset % ALIGNMENT == 0
    return Content(name, bundles.member_blob(bundle, name), aligned)
