"""Several answers to one request, side by side: their events as they come, each with the number of its answer."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing

from bundler.runtime.request import Event

Events = AsyncGenerator[Event, None]


async def numbered(answers: Sequence[Events]) -> AsyncGenerator[tuple[int, Event], None]:
    """The events of all answers. Closing it closes every one of them."""
    if len(answers) == 1:
        async with aclosing(answers[0]) as events:
            async for own in events:
                yield 0, own
        return
    queue: asyncio.Queue[tuple[int, Event | BaseException | None]] = asyncio.Queue()

    async def forward(index: int, events: Events) -> None:
        try:
            async with aclosing(events):
                async for event in events:
                    queue.put_nowait((index, event))
        except Exception as error:  # raised again where the events are read
            queue.put_nowait((index, error))
        finally:
            queue.put_nowait((index, None))

    tasks = [asyncio.create_task(forward(index, events)) for index, events in enumerate(answers)]
    try:
        left = len(tasks)
        while left:
            index, event = await queue.get()
            if event is None:
                left -= 1
            elif isinstance(event, BaseException):
                raise event
            else:
                yield index, event
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
