"""The console blocks of a README, as commands with the output that they promise."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

_BLOCK = re.compile(r"^```console\n(.*?)^```$", re.MULTILINE | re.DOTALL)


@dataclass(frozen=True)
class Step:
    """One command line, and what the README shows below it, where `...` stands for anything."""

    command: str
    shown: str

    def is_shown(self, output: str) -> bool:
        """Whether the output is as the README says; a README that shows nothing promises nothing."""
        pattern = ".*".join(re.escape(part) for part in self.shown.strip().split("..."))
        return not self.shown or re.fullmatch(pattern, output.strip(), re.DOTALL) is not None


def steps(readme: Path) -> list[Step]:
    """All commands of a README in their order; a line that ends with a backslash goes on in the next one."""
    found: list[Step] = []
    for block in _BLOCK.findall(readme.read_text(encoding="utf-8")):
        for part in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]:
            lines = part.splitlines()
            length = next(number for number, line in enumerate(lines, 1) if not line.endswith("\\"))
            found.append(Step("\n".join(lines[:length]), "\n".join(lines[length:])))
    return found
