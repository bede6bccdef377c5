"""When the model is unloaded, and that it comes back."""

from __future__ import annotations

import asyncio
import math
import threading
from collections.abc import Awaitable, Callable

import pytest

from bundler.errors import BundleError
from bundler.runtime.engine.interface import EngineClosed, Loaded, Progress
from bundler.runtime.request import ChatMessage, Finished, Request
from bundler.runtime.residence import Residence
from bundler.runtime.service import Service
from bundler.runtime.startup import Startup
from tests.runtime.fake_engine import ScriptedEngine, loaded, until
from tests.runtime.serving import HELLO, MANIFEST, application, call


class Loader:
    """Loads scripted engines, one after the other."""

    def __init__(self) -> None:
        self.engines: list[ScriptedEngine] = []
        self.failure: BundleError | None = None
        self.gate = threading.Event()
        self.gate.set()
        self.startup = Startup()

    def __call__(self, progress: Progress) -> Loaded:
        self.gate.wait()
        if self.failure:
            raise self.failure
        self.engines.append(ScriptedEngine("ab"))
        return loaded(self.engines[-1])

    async def begin(self) -> Startup:
        self.startup.begin(self)
        await asyncio.wrap_future(self.startup.outcome)
        return self.startup


async def eventually(condition: Callable[[], bool]) -> None:
    await asyncio.to_thread(until, condition)


def running(work: Callable[[Loader], Awaitable[None]]) -> Loader:
    loader = Loader()

    async def main() -> None:
        await loader.begin()
        await work(loader)

    asyncio.run(main())
    return loader


def ask(keep_alive: float | None = None) -> Request:
    return Request(messages=[ChatMessage("user", "Hi")], keep_alive=keep_alive)


async def finished(service: Service, request: Request) -> bool:
    events = [event async for event in service.answer(request)]
    return isinstance(events[-1], Finished)


def test_a_model_that_nobody_uses_is_unloaded_and_comes_back_for_the_next_request() -> None:
    async def work(loader: Loader) -> None:
        service = Service(MANIFEST, loader.startup, keep_alive=0)
        assert await finished(service, ask())
        assert loader.startup.unloaded
        await eventually(lambda: loader.engines[0].closed)
        assert await finished(service, ask())
        assert [len(engine.jobs) for engine in loader.engines] == [1, 1]

    running(work)


def test_without_a_time_it_stays() -> None:
    async def work(loader: Loader) -> None:
        service = Service(MANIFEST, loader.startup)
        assert await finished(service, ask())
        assert await finished(service, ask(math.inf))
        assert loader.startup.loaded

    assert len(running(work).engines) == 1


def test_it_is_unloaded_when_its_time_is_over() -> None:
    async def work(loader: Loader) -> None:
        service = Service(MANIFEST, loader.startup, keep_alive=0.001)
        assert await finished(service, ask())
        await eventually(lambda: loader.startup.unloaded)

    running(work)


def test_a_request_says_how_long_it_stays() -> None:
    async def work(loader: Loader) -> None:
        service = Service(MANIFEST, loader.startup)
        assert await finished(service, ask(0))
        assert loader.startup.unloaded

    running(work)


def test_the_time_begins_when_loading_ends_where_nobody_ever_asks() -> None:
    async def work(loader: Loader) -> None:
        Residence(loader.startup, keep_alive=0).begin()
        await eventually(lambda: loader.startup.unloaded)
        await eventually(lambda: loader.engines[0].closed)

    running(work)


def test_it_stays_while_anybody_uses_it() -> None:
    async def work(loader: Loader) -> None:
        residence = Residence(loader.startup, keep_alive=0)
        done = threading.Event()
        async with residence.use():
            async with residence.use():
                pass
            await asyncio.sleep(0)
            assert loader.startup.loaded
            task = asyncio.create_task(residence.in_thread(done.wait))
            await asyncio.sleep(0)
            task.cancel()
        await asyncio.sleep(0)
        assert loader.startup.loaded
        done.set()
        await eventually(lambda: loader.startup.unloaded)

    running(work)


def test_whoever_gives_up_while_it_is_loaded_does_not_leave_it_there_for_ever() -> None:
    async def work(loader: Loader) -> None:
        service = Service(MANIFEST, loader.startup, keep_alive=0)
        assert await finished(service, ask())
        loader.gate.clear()
        leaving = asyncio.create_task(finished(service, ask()))
        await eventually(lambda: loader.startup.running)
        leaving.cancel()
        await asyncio.wait([leaving])
        loader.gate.set()
        await eventually(lambda: loader.startup.unloaded)

    assert len(running(work).engines) == 2


def test_many_that_come_at_once_load_it_once() -> None:
    async def work(loader: Loader) -> None:
        service = Service(MANIFEST, loader.startup)
        assert await finished(service, ask(0))
        assert all(await asyncio.gather(*(finished(service, ask(60)) for _ in range(5))))

    assert len(running(work).engines) == 2


def test_loading_that_fails_is_tried_again_for_the_next_request() -> None:
    async def work(loader: Loader) -> None:
        service = Service(MANIFEST, loader.startup, keep_alive=0)
        assert await finished(service, ask())
        loader.failure = BundleError("failed to load the model: there is not enough memory")
        app = application(service)
        answer = await call(app, "POST", "/v1/chat/completions", json=HELLO)
        assert (answer.status_code, answer.json()["error"]["message"]) == (503, loader.failure.message)
        assert (await call(app, "GET", "/health")).status_code == 503
        loader.failure = None
        assert await finished(service, ask(60))
        assert (await call(app, "GET", "/health")).json() == {"status": "ok"}

    running(work)


def test_health_and_the_list_of_models_say_that_it_is_unloaded_and_do_not_load_it() -> None:
    async def work(loader: Loader) -> None:
        service = Service(MANIFEST, loader.startup, keep_alive=0)
        assert await finished(service, ask())
        app = application(service)
        health = await call(app, "GET", "/health")
        assert (health.status_code, health.json()) == (200, {"status": "ok", "model": "unloaded"})
        card = (await call(app, "GET", "/v1/models")).json()["data"][0]
        assert card["status"] == {"value": "unloaded"}

    assert len(running(work).engines) == 1


def test_whoever_asks_a_closed_service_is_told() -> None:
    async def work(loader: Loader) -> None:
        residence = Residence(loader.startup, keep_alive=0)
        async with residence.use():
            pass
        await residence.close()
        with pytest.raises(EngineClosed, match="the server is stopping"):
            async with residence.use():
                pass

    assert len(running(work).engines) == 1
