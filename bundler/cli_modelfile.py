"""`bundle modelfile`: what a Modelfile says, as it is understood."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from bundler.terminal import warn

if TYPE_CHECKING:
    from bundler.formats.modelfile import Modelfile


@click.command()
@click.argument(
    "source", metavar="[MODELFILE|FOLDER|BUNDLE]", type=click.Path(path_type=Path), default=Path("Modelfile")
)
@click.option("--json", "as_json", is_flag=True, help="Print the commands with their places, as JSON for scripts.")
def modelfile(source: Path, as_json: bool) -> None:
    """Print a Modelfile in its plain form: one command after the other, comments and needless quotes left out.

    Of a bundle it is the Modelfile inside. Nothing that the Modelfile names has to be there.
    """
    from bundler.build import bundles, resolve  # the build side loads only where it is used
    from bundler.formats.modelfile import write

    found = bundles.read_modelfile(source) if bundles.may_be_bundle(source) else resolve.read_modelfile(source)[1]
    if as_json:
        click.echo(json.dumps(_facts(found)))
        return
    for notice in sorted(found.notices):
        warn(found.warning(notice))
    text = write(command.instruction for command in found.commands)
    click.echo(text if sys.stdout.isatty() else text.encode(), nl=False)


def _facts(found: Modelfile) -> dict[str, Any]:
    return {
        "path": found.path,
        "commands": [
            {
                "command": command.name.upper(),
                "key": command.key,
                "value": command.value,
                "place": command.place._asdict(),
                "key_place": command.key_place._asdict(),
                "value_place": command.value_place._asdict(),
                "value_span": {"start": command.span[0], "end": command.span[1]},
            }
            for command in found.commands
        ],
        "parameters": found.parameters(),
        "warnings": [{**notice.place._asdict(), "text": notice.text} for notice in sorted(found.notices)],
    }
