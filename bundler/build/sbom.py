"""The bill of materials: every piece of software in a runtime pack, as CycloneDX 1.6 JSON.

Plain values in, bytes out; who the components are is `components`' business.
"""

from __future__ import annotations

import json
import uuid
from dataclasses import dataclass
from datetime import UTC, datetime

from bundler.build import tarball


@dataclass(frozen=True)
class Component:
    """One piece of software."""

    name: str
    version: str
    license: str
    """An SPDX expression; empty where it is not known, then `text` tells."""
    purl: str
    text: str
    """The licence and notices that go with it, in full; empty where the machine holds none."""


def encode(subject: str, version: str, identity: str, components: list[Component]) -> bytes:
    """The document for the software `subject`; the same bytes for the same values.

    `identity` is the content address that the document's serial number is derived from.
    """
    document = {
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "serialNumber": f"urn:uuid:{uuid.uuid5(uuid.NAMESPACE_OID, identity)}",
        "version": 1,
        "metadata": {
            "timestamp": datetime.fromtimestamp(tarball.TIME, UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
            "component": {"type": "application", "bom-ref": subject, "name": subject, "version": version},
        },
        "components": [_entry(component) for component in sorted(components, key=lambda component: component.purl)],
    }
    return (json.dumps(document, indent=1) + "\n").encode()


def _entry(component: Component) -> dict[str, object]:
    entry: dict[str, object] = {
        "type": "library",
        "bom-ref": component.purl,
        "name": component.name,
        "version": component.version,
        "purl": component.purl,
    }
    if component.license:
        entry["licenses"] = [{"expression": component.license}]
    return entry
