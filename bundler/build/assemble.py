"""`bundle build`: from a Modelfile to one executable.

Brings the steps together (plan, runtime pack, dry load, write) and decides nothing that belongs to one of them.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import msgspec

from bundler.build import adding, bundles, packs, runtimes
from bundler.build.adding import Addition
from bundler.build.archive import Content
from bundler.build.dryload import check_model
from bundler.build.gather import Adapter
from bundler.build.output import OutputFile, refuse_overwriting
from bundler.build.packs import Pack
from bundler.build.page import read_page
from bundler.build.plan import Plan, plan
from bundler.build.progress import Progress
from bundler.build.quantize import Quantization, with_fewer_bits
from bundler.build.runtimes import Runtime
from bundler.build.warm import warm_up
from bundler.build.write import PE_LIMIT, Written, write_bundle
from bundler.errors import BundleError
from bundler.formats import targets


@dataclass(frozen=True)
class Built:
    """A finished bundle and what its maker should be told."""

    written: Written
    target: str
    runs_here: bool
    split_reason: str
    """Why the weights lie beside the executable; empty where they are inside."""
    remarks: list[str]
    """What was taken from where, a line each."""


def build_bundle(
    modelfile: Path,
    output: Path,
    *,
    name: str | None,
    target: str | None,
    pack: str | None,
    external_weights: bool,
    page: Path | None = None,
    warm: bool = False,
    keep_runtime: bool = False,
    quantization: Quantization | None = None,
    adapters: Sequence[Adapter] = (),
    additions: Sequence[Addition] = (),
    progress: Progress,
    warn: Callable[[str], None],
) -> Built:
    """Build the bundle that `modelfile` (a file or a folder) describes and write it to `output`.

    `target` None is this machine's; `pack` selects a runtime pack by the start of its id; `page`
    names the page file, by default `page.toml` beside the Modelfile; `warm` evaluates what every
    chat begins with, for a quick first answer; `keep_runtime` takes launcher and runtime of the
    bundle that FROM names; `quantization` gives the model fewer bits;
    `adapters` go on top of the Modelfile's own; `additions` are models beside the main one.
    `warn` hears one line per doubt.

    Raises:
        BundleError: any step failed; `output` is then as it was before.
    """
    here = targets.host()
    with OutputFile(output):  # a place that cannot be written to is told now, and not after minutes of work
        pass
    fewer_bits = quantization.type if quantization else ""
    adding.check_names(name or output.stem, additions)
    planned = plan(modelfile, name or output.stem, progress, quantized=fewer_bits, adapters=adapters)
    beside = adding.plan_beside(planned, additions, progress, requantized=quantization is not None)
    said_on_page = read_page(page, planned.modelfile) or (planned.base.page if planned.base else None)
    for warning in [*planned.warnings, *beside.warnings]:
        warn(warning)
    if planned.base and planned.base.warm and not warm:
        warn(f"the evaluated prompt of {planned.base.bundle} is left out; build with --warm to have one")
    inputs = [path for blob in [*planned.models.values(), *beside.models.values()] for path in blob.files]
    refuse_overwriting(output, [*inputs, *(each.modelfile for each in [planned, *beside.plans])])
    if keep_runtime:
        runtime = _kept_runtime(planned, target, pack)
        checker = packs.find(here, None)
    else:
        chosen = packs.choose(target or here, pack, progress)
        runtime = runtimes.of_pack(chosen)
        checker = chosen if chosen.target == here else packs.find(here, None)
    (wanted, parts), *_ = runtime.parts.items()
    for each in [planned, *beside.plans]:
        _check_models(each, checker, here, progress, warn)
    if quantization:
        planned = with_fewer_bits(planned, _worker(checker, here, "quantize the model"), quantization, progress)
    members = [
        Content("Modelfile", planned.text.encode()),
        *runtime.members,
        *(Content(member, text.encode()) for member, text in planned.licenses.items()),
        *beside.members,
    ]
    manifest = msgspec.structs.replace(planned.manifest, runtime=dict(runtime.parts), page=said_on_page)
    with ExitStack() as work:
        if warm:
            folder = work.enter_context(tempfile.TemporaryDirectory(dir=output.parent, prefix=".bundle-"))
            warmer = _warmer(checker, parts.llama_cpp, here)
            state, described = warm_up(warmer, planned.models, planned.manifest, Path(folder) / "state", progress)
            members.append(state)
            manifest = msgspec.structs.replace(manifest, warm=described)
        written = write_bundle(
            output,
            runtime.launcher,
            members,
            adding.all_models(planned, beside),
            adding.with_added(manifest, beside),
            progress,
            external_weights=external_weights,
            base=planned.base.manifest if planned.base else b"",
        )
    reason = _split_reason(written, wanted, asked=external_weights)
    remarks = [remark for each in [planned, *beside.plans] for remark in each.remarks]
    return Built(written, wanted, wanted == here, reason, remarks)


def _kept_runtime(planned: Plan, target: str | None, pack: str | None) -> Runtime:
    """The runtime of the bundle that FROM names."""
    if planned.base is None or planned.base.bundle is None:
        raise BundleError("failed to keep the runtime: FROM names no bundle", "leave out --keep-runtime")
    with bundles.open_bundle(planned.base.bundle) as bundle:
        runtime = runtimes.of_bundle(bundle)
    if pack or (target and target not in runtime.parts):
        raise BundleError(
            f"failed to keep the runtime of {planned.base.bundle}: it is one for {', '.join(runtime.parts)}",
            "leave out --keep-runtime, or --target and --runtime",
        )
    return runtime


def _check_models(
    planned: Plan, checker: Pack | None, here: str, progress: Progress, warn: Callable[[str], None]
) -> None:
    """Try every model but projectors, which llama.cpp's own loader does not take; the adapters with their model."""
    manifest = planned.manifest
    for model in manifest.models:
        if model.role in ("projector", "adapter"):
            continue
        blob = planned.models[model.member]
        if checker:
            own = manifest.adapters if model is manifest.models[0] else []
            adapters = [planned.models[adapter.member] for adapter in own]
            chats = model.role == "chat"
            check_model(checker, blob, progress, adapters=adapters, chats=chats, advice=planned.advice)
        else:
            warn(f"{blob.label} was not tried with llama.cpp: there is no runtime pack for this machine ({here})")


def _worker(checker: Pack | None, here: str, task: str) -> Pack:
    if checker is None:
        raise BundleError(
            f"failed to {task}: there is no runtime pack for this machine ({here})", "run `bundle runtime build`"
        )
    return checker


def _warmer(checker: Pack | None, llama_cpp: str, here: str) -> Pack:
    """The pack that evaluates the prompt: one for this machine, with the llama.cpp that goes into the bundle."""
    if checker is None or checker.llama_cpp != llama_cpp:
        raise BundleError(
            f"failed to compute the prompt: no runtime pack for this machine ({here}) has the bundle's llama.cpp",
            "run `bundle runtime build`, or leave out --warm",
        )
    return checker


def _split_reason(written: Written, target: str, *, asked: bool) -> str:
    if not written.sidecars:
        return ""
    if asked:
        return "as asked with --external-weights"
    if (
        target.startswith("windows-")
        and written.size + sum(path.stat().st_size for path in written.sidecars) > PE_LIMIT
    ):
        return "Windows starts no executable of 4 GiB or more"
    return "the filesystem (FAT32) holds no file of 4 GiB or more"
