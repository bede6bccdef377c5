"""`verify`: read every byte of the own file, and of weights that lie beside it, and compare with the digests inside."""

from __future__ import annotations

import json
from collections.abc import Mapping

from bundler.formats import verification
from bundler.formats.source import FileSource, Source
from bundler.runtime.announce import ProgressLine, say
from bundler.runtime.bundlefile import open_own


def verify(environment: Mapping[str, str], *, as_json: bool) -> int:
    """Check the file that this process was started from; returns the exit code.

    Raises:
        BundleError: something differs, and what.
    """
    bundle = open_own(environment)
    with ProgressLine() as progress:
        report = verification.verify(bundle.source, _Counter(progress, bundle.source).advance)
        for model in {model.sidecar: model for model in bundle.manifest.weights}.values():
            if model.sidecar:
                beside = FileSource(bundle.place(model).descriptor)
                verification.check_file(beside, model.size, model.sha256, _Counter(progress, beside).advance)
    if as_json:
        facts = {
            "path": str(bundle.path),
            "ok": True,
            "manifest_sha256": report.manifest_sha256,
            "members": report.members,
            "size": report.size,
            "appended": report.appended,
        }
        say(json.dumps(facts, ensure_ascii=False))
        return 0
    say(f"{bundle.path}: whole; {report.members} members, {report.size:,} bytes")
    say(f"manifest sha256:{report.manifest_sha256}")
    if report.appended:
        say(f"{report.appended:,} bytes after the bundle are covered by no digest (a code signature, or foreign)")
    return 0


class _Counter:
    def __init__(self, progress: ProgressLine, source: Source) -> None:
        self._progress = progress
        self._total = max(source.size, 1)
        self._read = 0

    def advance(self, count: int) -> None:
        self._read += count
        self._progress.tell(self._read / self._total, "verifying")
