"""Which model a request means, and that it is there."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

from bundler.errors import BundleError
from bundler.runtime.api.errors import ApiError, from_failed
from bundler.runtime.engine.interface import EngineClosed, Loaded
from bundler.runtime.request import Failed
from bundler.runtime.service import Service
from bundler.runtime.services import Services


def asked(services: Services, name: str | None) -> Service:
    """The model that a request names; the main one where it names none.

    Raises:
        ApiError: it is not here (404).
    """
    service = services.find(name)
    if service is None:
        known = ", ".join(map(repr, services.names))
        raise ApiError(
            404, f"the model {name!r} is not here; this bundle holds {known}", param="model", code="model_not_found"
        )
    return service


@asynccontextmanager
async def resident(service: Service) -> AsyncIterator[Loaded]:
    """The model for as long as the block lasts, loaded where it is not there.

    Raises:
        ApiError: it cannot be loaded, or the server is stopping (503).
    """
    async with AsyncExitStack() as stack:
        try:
            loaded = await stack.enter_async_context(service.residence.use())
        except (BundleError, EngineClosed) as error:
            raise from_failed(Failed("unavailable", str(error))) from error
        yield loaded
