"""What the KV cache holds: whose state lies in which slot, which beginnings slots share, what was saved outside of it.

Plain bookkeeping over token ids; the device is reached through `Memory` alone. A slot is one sequence of the KV cache;
after its job ends its tokens stay, for the next prompt that begins like them. A prompt takes the longest beginning that
is there: in a slot of its own, copied from another slot (which costs no cell), or from what was saved before.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from bundler.runtime.engine.interface import State
from bundler.runtime.engine.sequence import CHUNK, Slot, Task, aligned, common_prefix
from bundler.runtime.engine.store import Saved, Store

WORTH_SAVING = 2 * CHUNK
"""Tokens; a shorter beginning is computed again in no time."""


class Memory(Protocol):
    """The device's KV cache. Used from the engine's thread alone."""

    trims: bool
    """Whether a sequence can be cut back to any of its beginnings: not so with recurrent or windowed layers."""

    def keep(self, slot: int, length: int) -> int:
        """Trim a slot's sequence to its first `length` tokens; how many remain: 0 where it had to be emptied."""

    def shift(self, slot: int, keep: int, discard: int) -> bool:
        """Take `discard` tokens out of a slot's sequence after the first `keep`, and move the rest up by as many.

        False where the device cannot do that: nothing has changed. No other slot shares what moves.
        """

    def copy(self, source: int, target: int, length: int) -> int:
        """Give `target`, which is empty, the first `length` tokens of `source`; how many it got: all or none."""

    def save(self, slot: int) -> State | None:
        """The state of a slot's sequence; None where it cannot be had."""

    def restore(self, slot: int, state: State) -> bool:
        """Put a saved state into an empty slot; false where it does not fit, and the slot is still empty."""


class Cache:
    """The slots, and what is saved beside them. Not thread-safe."""

    def __init__(
        self, memory: Memory, *, slots: int, cells: int, saved_limit: int = 0, beginning: Sequence[int] = ()
    ) -> None:
        """`cells`: tokens that the KV cache holds, shared ones counted once; `saved_limit`: bytes of saved states.

        `beginning`: where prompts are cut that begin like this, as its state may be there before the first of them.
        """
        self.cells = cells
        self.slots = [Slot(index) for index in range(slots)]
        self.store = Store(saved_limit)
        self._beginning = list(beginning)
        self._memory = memory
        self._owners: dict[int, int] = {}
        """Of each cell in use, how many slots hold it."""
        self._taken = 0
        self._uses = 0

    @property
    def trims(self) -> bool:
        """See `Memory.trims`."""
        return self._memory.trims

    @property
    def checkpoints(self) -> bool:
        """Whether states are saved in the midst of prompts, as memory cannot be cut back to them."""
        return not self.trims and self.store.limit > 0

    @property
    def used(self) -> int:
        """Cells in use."""
        return len(self._owners)

    def used_by_running(self, most: int) -> int:
        """Cells that the slots with a task hold; while they are no more than `most`, shared ones count repeatedly."""
        held = [slot.cells for slot in self.slots if slot.task is not None]
        count = sum(map(len, held))
        return count if count <= most else len(set().union(*held))

    def free(self) -> list[Slot]:
        """Slots without a task."""
        return [slot for slot in self.slots if slot.task is None]

    def preload(self, saved: Saved) -> bool:
        """Begin with a saved state in the first slot; false where it does not fit."""
        slot = self.slots[0]
        if not self._memory.restore(slot.index, saved.state):
            return False
        self._fill(slot, saved.tokens, saved.exact)
        return True

    def cut(self, tokens: Sequence[int]) -> int:
        """How many of a task's tokens are computed before the next is begun; 0: they need not be cut."""
        length = len(self._beginning)
        return length if self.trims and tokens[:length] == self._beginning else 0

    def claim(self, task: Task) -> Slot:
        """A free slot for a task, holding as much of the beginning of its tokens as is there and may be reused."""
        source, length = self._longest(task)
        saved, saved_length = self._longest_saved(task)
        if saved is not None and saved_length >= length + CHUNK:
            self.store.touch(saved)  # before what is emptied is saved in its place
            slot = self._emptied(self.free())
            if self._restore(slot, saved):
                self.trim(slot, saved_length, task.cut)
                return slot
        free = self.free()
        if source in free and (task.reuse == "exact" or len(free) == 1 or 2 * length >= len(source.tokens)):
            self._save(source, length)
            self.trim(source, length, task.cut)
            return source
        if source in free:
            free.remove(source)
        slot = self._emptied(free)
        if source is not None:
            self._share(source, slot, length, task.cut)
        return slot

    def _share(self, source: Slot, target: Slot, length: int, cut: int) -> None:
        """Give `target` the first `length` tokens of `source`, without further cells, where the device can do that."""
        self.trim(target, 0)
        if not length or self._memory.copy(source.index, target.index, length) != length:
            return
        target.tokens = source.tokens[:length]
        target.cells = source.cells[:length]
        target.exact = min(source.exact, aligned(length, cut))
        target.at_front = source.at_front
        for cell in target.cells:
            self._owners[cell] += 1

    def top_up(self, slot: Slot, task: Task) -> None:
        """Take the beginning of the task's tokens from another slot, where that holds more of it than this one; from
        what was saved, where memory cannot be cut back to it."""
        if not self.trims:
            saved, length = self._longest_saved(task)
            if saved is not None and length > len(slot.tokens):
                self.store.touch(saved)
                self.trim(slot, 0)
                self._restore(slot, saved)
            return
        source, length = self._longest(task)
        if source is not None and source is not slot and length > len(slot.tokens):
            self._share(source, slot, length, task.cut)

    def empty_all_but(self, slot: Slot) -> None:
        """Empty all other slots; what then comes into this one lies where it always does."""
        for other in self.slots:
            if other is not slot and other.tokens:
                self.evict(other)
        slot.at_front = slot.at_front or not slot.tokens

    def extend(self, slot: Slot, tokens: Sequence[int]) -> None:
        """Note that the state of further tokens was computed."""
        cells = range(self._taken, self._taken + len(tokens))
        self._taken += len(tokens)
        slot.tokens.extend(tokens)
        slot.cells.extend(cells)
        self._owners.update(dict.fromkeys(cells, 1))

    def trim(self, slot: Slot, length: int, cut: int = 0) -> None:
        """Take all but its first `length` tokens from a slot, or all where the device cannot do that.

        `cut`: that of the task that goes on from them.
        """
        if length == len(slot.tokens) and length > 0:
            return
        self._cut_back(slot, length, cut)

    def _cut_back(self, slot: Slot, length: int, cut: int) -> None:
        kept = self._memory.keep(slot.index, length)
        self._drop(slot, kept, len(slot.tokens), cut)
        if slot.shifted_at is not None and kept <= slot.shifted_at:
            slot.shifted_at = None
        if not slot.tokens:
            slot.at_front = not any(other.tokens for other in self.slots)

    def interrupted(self, slot: Slot) -> None:
        """Note that computing further tokens of a slot was ended midway: what the device has of them goes, and all of
        the slot's tokens where it cannot be cut back to these."""
        self._cut_back(slot, len(slot.tokens), 0)

    def shift(self, slot: Slot, task: Task, discard: int) -> None:
        """Take `discard` tokens out of a task's slot, after those it keeps. Where the rest cannot move up, it is lost.

        State that moved knows of the tokens that were taken out, so no other prompt may take it.
        """
        keep = task.keep
        moving = set(slot.cells[keep + discard :])
        for other in self.free():
            if other is not slot and not moving.isdisjoint(other.cells):
                self.evict(other)
        alone = all(self._owners[cell] == 1 for cell in moving)
        if not alone or not self._memory.shift(slot.index, keep, discard):
            self.trim(slot, keep, task.cut)
            return
        self._drop(slot, keep, keep + discard, task.cut)
        slot.shifted_at = keep if slot.shifted_at is None else min(keep, slot.shifted_at)

    def _drop(self, slot: Slot, begin: int, end: int, cut: int) -> None:
        """Note that the device let go of a stretch of a slot."""
        if begin == end:
            return
        for cell in slot.cells[begin:end]:
            if self._owners[cell] == 1:
                del self._owners[cell]
            else:
                self._owners[cell] -= 1
        del slot.tokens[begin:end], slot.cells[begin:end]
        slot.exact = min(slot.exact, aligned(begin, cut))

    def evict(self, slot: Slot) -> None:
        """Empty a slot; what is worth it is saved first."""
        self._save(slot, 0)
        self.trim(slot, 0)

    def evict_oldest(self) -> bool:
        """Empty the slot without a task that was used least recently; false where none holds anything."""
        idle = [slot for slot in self.free() if slot.tokens]
        if not idle:
            return False
        self.evict(min(idle, key=lambda slot: slot.last_used))
        return True

    def checkpoint(self, slot: Slot) -> None:
        """Save a slot's state as it is, for memory that cannot be cut back to it later."""
        self._put(slot)

    def used_now(self, slot: Slot) -> None:
        """Note that a slot's state was just used."""
        self._uses += 1
        slot.last_used = self._uses

    def forget(self) -> None:
        """Empty every slot: the device's state is unknown after a failed step."""
        for slot in self.slots:
            self.trim(slot, 0)

    def known(self, task: Task) -> int:
        """How many of its tokens a task could take from all that slots hold and was saved, could memory be cut back."""
        held = [*(slot.reusable for slot in self.slots), *(saved.tokens for saved in self.store.entries())]
        return task.usable(max(common_prefix(tokens, task.tokens) for tokens in held))

    def reusable(self, task: Task, held: Sequence[int], exact: int) -> int:
        """How many of its tokens a task may take from a sequence of `held`: never all, as one has to be computed."""
        length = task.usable(common_prefix(held, task.tokens), exact)
        return length if self.trims or length == len(held) else 0

    def _longest(self, task: Task) -> tuple[Slot | None, int]:
        found = [
            (self.reusable(task, slot.reusable, slot.exact), slot.task is None, slot.last_used, slot)
            for slot in self.slots
            if self._gives(slot, task)
        ]
        length, _, _, slot = max(found, key=lambda entry: entry[:3], default=(0, False, 0, None))
        return (slot, length) if length else (None, 0)

    def _gives(self, slot: Slot, task: Task) -> bool:
        """Whether the task may take what the slot holds."""
        if task.reuse == "exact":
            return slot.at_front and slot.task is None
        return self.trims or slot.task is None

    def _longest_saved(self, task: Task) -> tuple[Saved | None, int]:
        if task.reuse == "exact":
            return None, 0
        found = [(self.reusable(task, saved.tokens, saved.exact), saved) for saved in self.store.entries()]
        length, saved = max(found, key=lambda entry: entry[0], default=(0, None))
        return (saved, length) if length else (None, 0)

    def _emptied(self, free: Sequence[Slot]) -> Slot:
        """Of these slots an empty one, or else the one used least recently, emptied."""
        slot = min(free, key=lambda each: (bool(each.tokens), each.last_used))
        self.evict(slot)
        return slot

    def _fill(self, slot: Slot, tokens: Sequence[int], exact: int) -> None:
        self.extend(slot, tokens)
        slot.exact = exact

    def _restore(self, slot: Slot, saved: Saved) -> bool:
        """Put a saved state into an empty slot; false where there is no room for it, and the slot is still empty."""
        while self.cells - self.used < len(saved.tokens) and self.evict_oldest():
            pass
        if not self._memory.restore(slot.index, saved.state):
            return False
        self._fill(slot, saved.tokens, saved.exact)
        return True

    def _save(self, slot: Slot, kept: int) -> None:
        """Save what would be lost if only the first `kept` tokens stayed, where that is worth it."""
        held = slot.tokens
        if len(held) - kept < WORTH_SAVING or slot.shifted_at is not None:
            return
        others: list[Sequence[int]] = [other.reusable for other in self.slots if other is not slot]
        others += [saved.tokens for saved in self.store.entries()]
        if not any(len(other) >= len(held) and common_prefix(other, held) == len(held) for other in others):
            self._put(slot)

    def _put(self, slot: Slot) -> None:
        if not self.store.limit or slot.shifted_at is not None:
            return
        state = self._memory.save(slot.index)
        if state is not None:
            self.store.put(Saved(slot.tokens[:], slot.exact, state), near=CHUNK if self.trims else 0)
