"""`licenses`: print the licences that came with the model, and those of the software in the bundle."""

from __future__ import annotations

from bundler.runtime.announce import say
from bundler.runtime.bundlefile import BundleFile

_FOLDER = "LICENSES/"
_RULE = "=" * 78


def licenses(bundle: BundleFile) -> int:
    """Print them, the model's first; returns the exit code."""
    entries = bundle.archive.entries if bundle.archive else {}
    manifest = bundle.manifest
    given = [*manifest.licenses, *(name for added in manifest.added for name in added.licenses)]
    of_model = [name for name in given if name in entries]
    of_software = [name for name in entries if name.startswith(_FOLDER) and name not in of_model]
    for name in manifest.names:
        if not manifest.of(name).licenses:
            say(f"{name} came without a licence of its model.")
    for name in [*of_model, *sorted(of_software)]:
        entry = entries[name]
        text = bundle.source.read_at(entry.offset, entry.size).decode("utf-8", "replace")
        say(f"{_RULE}\n{name.removeprefix(_FOLDER)}\n{_RULE}\n{text.rstrip()}\n")
    return 0
