"""`bundle build` and `bundle upgrade`: from what is given to an executable, and what is told of it."""

from __future__ import annotations

import json
import math
from pathlib import Path

import click
import msgspec

from bundler.formats.manifest import Manifest
from bundler.formats.quantization import TYPES
from bundler.formats.targets import TARGETS
from bundler.terminal import human_size, progress, show, warn

_BUNDLE = click.argument("file", type=click.Path(path_type=Path))
_JSON = click.option("--json", "as_json", is_flag=True, help="Print JSON for scripts.")
_QUIET = click.option("-q", "--quiet", is_flag=True, help="No progress, no summary; errors only.")


def _adapters(ctx: click.Context, param: click.Parameter, values: tuple[str, ...]) -> list[tuple[str, float]]:
    """`FILE` or `FILE=SCALE`, each as a file and a scale."""
    found = []
    for value in values:
        file, _, scale = value.rpartition("=")
        try:
            number = float(scale) if file else math.nan
        except ValueError:
            number = math.nan
        found.append((file, number) if math.isfinite(number) else (value, 1.0))
    return found


def _additions(ctx: click.Context, param: click.Parameter, values: tuple[str, ...]) -> list[tuple[str, Path | None]]:
    """`NAME=MODELFILE` each; nothing after the sign: leave that model out."""
    found: list[tuple[str, Path | None]] = []
    for value in values:
        name, sign, file = value.partition("=")
        if not sign:
            raise click.BadParameter(f"{value!r} is no NAME=MODELFILE", ctx, param)
        found.append((name, Path(file) if file else None))
    return found


@click.command()
@click.argument("modelfile", type=click.Path(path_type=Path), default=Path("Modelfile"))
@click.option("-o", "--output", type=click.Path(path_type=Path), required=True, help="The executable to write.")
@click.option("--name", help="The model's name in the APIs.  [default: the output's name without its ending]")
@click.option("--target", type=click.Choice(TARGETS), help="The system that the bundle is for.  [default: this one]")
@click.option(
    "--runtime", "pack", metavar="PACK", help="A runtime pack by the start of its id (see `bundle runtime list`)."
)
@click.option(
    "--page",
    type=click.Path(path_type=Path),
    help="Greeting and starter questions of the web page.  [default: page.toml beside the Modelfile]",
)
@click.option("--warm", is_flag=True, help="Evaluate SYSTEM and MESSAGEs now, so that the first answer comes sooner.")
@click.option("--keep-runtime", is_flag=True, help="Keep launcher and runtime of the bundle that FROM names.")
@click.option(
    "--adapter",
    "adapters",
    metavar="FILE[=SCALE]",
    callback=_adapters,
    multiple=True,
    help="A LoRA adapter beside those of the Modelfile; several may be given.",
)
@click.option(
    "--add",
    "additions",
    metavar="NAME=MODELFILE",
    callback=_additions,
    multiple=True,
    help="Another model, which requests ask for by NAME; several may be given. `NAME=` leaves out one of the base.",
)
@click.option(
    "--quantize",
    "type_name",
    type=click.Choice(list(TYPES), case_sensitive=False),
    metavar="TYPE",
    help="Write the model with fewer bits: Q4_K_M, Q8_0, … (kept in the cache, so that it is done once).",
)
@click.option("--imatrix", type=click.Path(path_type=Path), help="What --quantize weighs columns by (llama-imatrix).")
@click.option("--requantize", is_flag=True, help="Let --quantize take a model that is quantized already.")
@click.option("--external-weights", is_flag=True, help="Write the weights beside the executable instead of into it.")
@_JSON
@_QUIET
def build(
    modelfile: Path,
    output: Path,
    name: str | None,
    target: str | None,
    pack: str | None,
    page: Path | None,
    warm: bool,
    keep_runtime: bool,
    adapters: list[tuple[str, float]],
    additions: list[tuple[str, Path | None]],
    type_name: str | None,
    imatrix: Path | None,
    requantize: bool,
    external_weights: bool,
    as_json: bool,
    quiet: bool,
) -> None:
    """Build one executable from MODELFILE (a file, or a folder that holds one; default ./Modelfile)."""
    from bundler.build.adding import Addition
    from bundler.build.assemble import build_bundle  # the build side loads only where it is used
    from bundler.build.gather import Adapter
    from bundler.build.quantize import Quantization

    if (imatrix or requantize) and not type_name:
        raise click.UsageError(f"{'--imatrix' if imatrix else '--requantize'} needs --quantize TYPE")
    built = build_bundle(
        modelfile,
        output,
        name=name,
        target=target,
        pack=pack,
        external_weights=external_weights,
        page=page,
        warm=warm,
        keep_runtime=keep_runtime,
        adapters=[Adapter(text, scale) for text, scale in adapters],
        additions=[Addition(added, path) for added, path in additions],
        quantization=Quantization(type_name, imatrix, requantize) if type_name else None,
        progress=progress(quiet=quiet or as_json),
        warn=warn,
    )
    written = built.written
    if as_json:
        click.echo(
            json.dumps(
                {
                    "path": str(written.path),
                    "size": written.size,
                    "sidecars": [str(path) for path in written.sidecars],
                    "manifest_sha256": written.manifest_sha256,
                    "taken": built.remarks,
                    "manifest": msgspec.to_builtins(written.manifest),
                }
            )
        )
    elif not quiet:
        template = written.manifest.template
        click.echo(f"{written.path}  {human_size(written.size)}  for {built.target}")
        if template:
            show(f"  template: {template.reason}; stops: {stops(written.manifest)}")
        for added in written.manifest.added:
            reason = f"; template: {added.template.reason}" if added.template else ""
            show(f"  added:    {added.name} ({added.models[0].member or added.models[0].sidecar}{reason})")
        if state := written.manifest.warm:
            show(f"  warm:     {len(state.tokens):,} tokens of every prompt are evaluated ({human_size(state.size)})")
        for remark in built.remarks:
            show(f"  taken:    {remark}")
        if written.shared:
            click.echo(f"  shared:   {human_size(written.shared)} lie on the disk once, here and where they come from")
        for sidecar in written.sidecars:
            click.echo(f"  weights:  {sidecar} (keep it beside the executable: {built.split_reason})")
        click.echo(f"  run it:   {_as_command(written.path)}" if built.runs_here else "  copy it there and run it")


@click.command()
@_BUNDLE
@click.option("-o", "--output", type=click.Path(path_type=Path), required=True, help="The executable to write.")
@click.option(
    "--runtime", "pack", metavar="PACK", help="A runtime pack by the start of its id (see `bundle runtime list`)."
)
@_QUIET
def upgrade(file: Path, output: Path, pack: str | None, quiet: bool) -> None:
    """Write a bundle again with the launcher and the runtime of now; all else stays as it is."""
    from bundler.build.upgrade import upgrade as upgrade_bundle

    written = upgrade_bundle(file, output, pack=pack, progress=progress(quiet=quiet), warn=warn)
    if not quiet:
        click.echo(f"{written.path}  {human_size(written.size)}  for {', '.join(written.manifest.runtime)}")


def stops(manifest: Manifest) -> str:
    """The strings that end an answer besides the model's own end tokens: the template's and the Modelfile's."""
    given = manifest.parameters.get("stop", [])
    stops = [*(manifest.template.stops if manifest.template else []), *(given if isinstance(given, list) else [given])]
    return ", ".join(json.dumps(stop, ensure_ascii=False) for stop in stops) or "none"


def _as_command(path: Path) -> str:
    text = str(path)
    return text if "/" in text else f"./{text}"
