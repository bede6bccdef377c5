"""The models of one bundle, by name: a `Service` each. Knows nothing of HTTP."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence

from bundler.runtime.service import Service


class Services:
    """The main model and those beside it."""

    def __init__(self, main: Service, added: Sequence[Service] = ()) -> None:
        self.main = main
        self._by_name = {service.name: service for service in (main, *added)}

    @property
    def names(self) -> list[str]:
        """The main model's first."""
        return list(self._by_name)

    def __iter__(self) -> Iterator[Service]:
        return iter(self._by_name.values())

    def find(self, name: str | None) -> Service | None:
        """The model of this name; the main one where none is named, or `default`."""
        if name in self._by_name:
            return self._by_name[name]
        return self.main if name in (None, "", "default") else None

    async def close(self) -> None:
        """Cancel every answer and free every model."""
        await asyncio.gather(*(service.close() for service in self))
