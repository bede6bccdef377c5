"""`bundle build`: from a Modelfile to one executable.

Brings the steps together (plan, runtime pack, dry load, write) and decides nothing that belongs to one of them.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import msgspec

from bundler.build import packs
from bundler.build.dryload import check_model
from bundler.build.output import OutputFile
from bundler.build.packs import Pack
from bundler.build.page import read_page
from bundler.build.plan import Plan, plan
from bundler.build.progress import Progress
from bundler.build.tool import part_contents, runtime_parts
from bundler.build.warm import warm_up
from bundler.build.write import PE_LIMIT, Content, Written, write_bundle
from bundler.errors import BundleError
from bundler.formats import targets
from bundler.formats.manifest import Manifest


@dataclass(frozen=True)
class Built:
    """A finished bundle and what its maker should be told."""

    written: Written
    target: str
    runs_here: bool
    split_reason: str
    """Why the weights lie beside the executable; empty where they are inside."""


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
    progress: Progress,
    warn: Callable[[str], None],
) -> Built:
    """Build the bundle that `modelfile` (a file or a folder) describes and write it to `output`.

    `target` None is this machine's; `pack` selects a runtime pack by the start of its id; `page`
    names the page file, by default `page.toml` beside the Modelfile; `warm` evaluates what every
    chat begins with, for a quick first answer. `warn` hears one line per doubt.

    Raises:
        BundleError: any step failed; `output` is then as it was before.
    """
    here = targets.host()
    wanted = target or here
    with OutputFile(output):  # a place that cannot be written to is told now, and not after minutes of work
        pass
    chosen_name = name or output.stem
    planned = plan(modelfile, chosen_name)
    said_on_page = read_page(page, planned.modelfile)
    for warning in planned.warnings:
        warn(warning)
    _refuse_overwriting(output, [*planned.models.values(), planned.modelfile])
    runtime = _pack(wanted, pack, here, progress)
    checker = runtime if wanted == here else packs.find(here, None)
    for path in planned.models.values():
        if checker:
            check_model(checker, path, progress, chats=planned.manifest.model("chat") is not None)
        else:
            warn(f"{path.name} was not tried with llama.cpp: there is no runtime pack for this machine ({here})")
    members = [
        Content("Modelfile", planned.text.encode()),
        *part_contents(runtime),
        Content("sbom.cdx.json", path=runtime.sbom),
        *(Content(f"LICENSES/{path.name}", path=path) for path in runtime.licenses),
        *(Content(member, text.encode()) for member, text in planned.licenses.items()),
    ]
    manifest = msgspec.structs.replace(planned.manifest, runtime={wanted: runtime_parts(runtime)}, page=said_on_page)
    with ExitStack() as work:
        if warm:
            folder = work.enter_context(tempfile.TemporaryDirectory(dir=output.parent, prefix=".bundle-"))
            warmer = _warmer(checker, runtime, here)
            state, described = warm_up(warmer, *_only(planned), Path(folder) / "state", progress)
            members.append(state)
            manifest = msgspec.structs.replace(manifest, warm=described)
        written = write_bundle(
            output, runtime.launcher, members, planned.models, manifest, progress, external_weights=external_weights
        )
    return Built(written, wanted, wanted == here, _split_reason(written, wanted, asked=external_weights))


def _only(planned: Plan) -> tuple[Path, Manifest]:
    """The model's file, and the manifest that prompts are made from."""
    return next(iter(planned.models.values())), planned.manifest


def _warmer(checker: Pack | None, runtime: Pack, here: str) -> Pack:
    """The pack that evaluates the prompt: one for this machine, with the llama.cpp that goes into the bundle."""
    if checker is None or checker.llama_cpp != runtime.llama_cpp:
        raise BundleError(
            f"failed to compute the prompt: no runtime pack for this machine ({here}) has the bundle's llama.cpp",
            "run `bundle runtime build`, or leave out --warm",
        )
    return checker


def _pack(target: str, selector: str | None, here: str, progress: Progress) -> Pack:
    found = packs.find(target, selector)
    if found:
        return found
    if selector:
        raise BundleError(
            f"failed to find a runtime pack {selector} for {target}",
            "bundle runtime list shows the packs that are there",
        )
    if target != here:
        raise BundleError(
            f"failed to build for {target}: there is no runtime pack for it here",
            f"run `bundle runtime build` and `bundle runtime export` on a {target} machine, then here "
            "`bundle runtime import`",
        )
    return packs.ensure_host(progress)


def _refuse_overwriting(output: Path, inputs: list[Path]) -> None:
    for path in inputs:
        if output.exists() and os.path.samefile(output, path):
            raise BundleError(f"failed to write {output}: it is one of the inputs", "give another name with -o")


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
