"""Trains the guide from scratch and writes guide.gguf: `python train.py [--threads N] [--work FOLDER] [--steps N]`.

Settings are in settings.toml, the log goes to train.log. Checkpoints lie in the work folder, outside the source tree;
a run that was interrupted goes on from the last one. The same settings give the same model up to the order of
floating-point sums.
"""

from __future__ import annotations

import argparse
import math
import os
import random
import tempfile
import time
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

os.environ.setdefault("ONEDNN_MAX_CPU_ISA", "AVX512_CORE_BF16")  # AMX is advertised by machines on which it traps

import torch
from corpus import Conversation, Corpus
from evaluate import held_out
from export import write_gguf
from facts import HERE, topics
from model import Guide, Shape
from muon import Muon
from tokenizer import CONTROL, END, PAD, SPACE, learn, mark, read
from tokenizers import Tokenizer
from torch import Tensor, nn
from torch.nn import functional

_IGNORED = -100
_CHECKPOINT_EVERY = 100
_LENGTH_STEP = 8
"""Batches are padded to a multiple of this: kernels are made and kept for each shape."""


Batch = tuple[Tensor, Tensor, Tensor]
"""Tokens, targets and topics of examples, each of shape (examples, length)."""


@dataclass(frozen=True)
class Example:
    """Token ids, for each the token to be learnt after it or -100 for none, and where answers begin their topics."""

    tokens: list[int]
    targets: list[int]
    topics: list[int]


class Batches:
    """Batches of about equally long conversations, without end."""

    def __init__(self, corpus: Corpus, pieces: Path, settings: dict[str, Any], context: int) -> None:
        self._corpus = corpus
        self._plain = read(pieces)
        self._dropping = read(pieces, settings["piece_dropout"])
        self._settings = settings
        self._context = context
        self._rng = random.Random(corpus.rng.random())  # noqa: S311 - training data, no secret
        self._numbers = {name: number for number, name in enumerate(topics())}

    def __iter__(self) -> Iterator[Batch]:
        while True:
            pool = [self.example(self._corpus.conversation()) for _ in range(self._settings["pool"])]
            pool.sort(key=lambda example: len(example.tokens) * self._rng.uniform(0.9, 1.1))
            batches: list[list[Example]] = [[]]
            for example in pool:
                longest = max(len(other.tokens) for other in (example, *batches[-1]))
                longest = -(-longest // _LENGTH_STEP) * _LENGTH_STEP
                if (len(batches[-1]) + 1) * longest > self._settings["tokens_per_step"] and batches[-1]:
                    batches.append([])
                batches[-1].append(example)
            self._rng.shuffle(batches)
            yield from map(_padded, batches)

    def example(self, conversation: Conversation) -> Example:
        """The conversation as tokens; only the assistant's are learnt."""
        rng, settings = self._rng, self._settings
        tokens: list[int] = []
        learnt: list[bool] = []
        asked: list[int] = []
        topic = iter(conversation.topics)
        last = len(conversation.messages) - 1
        for number, message in enumerate(conversation.messages):
            answers = message.role == "assistant"
            dropping = not answers and not conversation.copies and rng.random() < settings["piece_dropout_share"]
            ids = (self._dropping if dropping else self._plain).encode(message.text).ids
            ending = [END]
            may_cut = number == last and not conversation.whole and len(ids) > settings["cut_at_least"]
            if may_cut and rng.random() < settings["cut_share"]:
                ids, ending = ids[: settings["cut_at_least"] + int(rng.expovariate(1 / settings["cut_at_least"]))], []
            tokens += [mark(message.role), *ids, *ending]
            learnt += [False] + [answers] * (len(ids) + len(ending))
            number_asked = self._numbers.get(next(topic), _IGNORED) if answers else _IGNORED
            asked += [number_asked] + [_IGNORED] * (len(ids) + len(ending))
        targets = [token if is_learnt else _IGNORED for token, is_learnt in zip(tokens, learnt, strict=True)]
        return Example(tokens[: self._context], [*targets[1:], _IGNORED][: self._context], asked[: self._context])


class Copying:
    """Batches of conversations that only ask to say random tokens again, without end.

    With these first, the network finds out early how to copy, which all obedience to a SYSTEM line rests on; with some
    of them later it does not forget.
    """

    def __init__(self, pieces: Path, rows: int, seed: int) -> None:
        self._tokenizer = read(pieces)
        known = self._tokenizer.get_vocab()
        words = [piece for piece in known if piece[0] == SPACE and piece[1:] in known]
        self._spaced = [(known[word], known[word[1:]]) for word in words]
        self._digits = [known[digit] for digit in "0123456789"]
        self._rows = rows
        self._rng = random.Random(seed)  # noqa: S311 - training data, no secret

    def __iter__(self) -> Iterator[Batch]:
        while True:
            yield _padded([self._example() for _ in range(self._rows)])

    def _example(self) -> Example:
        rng = self._rng
        asking = self._tokenizer.encode(rng.choice(("Repeat:", "Say:", "Repeat after me:"))).ids
        other, said = self._random(1, 12), self._random(2, 8)
        told = list(said)
        kind = rng.random()
        if kind < 0.2:
            told = said = rng.choices(self._digits, k=rng.randint(2, 5))
        elif kind < 0.6:  # as a word stands in a sentence, and as it begins an answer
            told[0], said[0] = rng.choice(self._spaced)
        told = [*asking, *told]
        if rng.random() < 0.4:
            tokens = [mark("system"), *told, END, mark("user"), *other, END, mark("assistant")]
        else:
            before = [mark("system"), *other, END] if rng.random() < 0.5 else []
            tokens = [*before, mark("user"), *told, END, mark("assistant")]
        whole = [*tokens, *said]
        return Example(whole, [_IGNORED] * (len(tokens) - 1) + [*said, END], [_IGNORED] * len(whole))

    def _random(self, least: int, most: int) -> list[int]:
        rng = self._rng
        return [rng.randrange(len(CONTROL), self._tokenizer.get_vocab_size()) for _ in range(rng.randint(least, most))]


def _padded(batch: list[Example]) -> Batch:
    longest = max(len(example.tokens) for example in batch)
    length = -(-longest // _LENGTH_STEP) * _LENGTH_STEP
    tokens = torch.full((len(batch), length), PAD)
    targets, asked = (torch.full((len(batch), length), _IGNORED) for _ in range(2))
    for row, example in enumerate(batch):
        tokens[row, : len(example.tokens)] = torch.tensor(example.tokens)
        targets[row, : len(example.targets)] = torch.tensor(example.targets)
        asked[row, : len(example.topics)] = torch.tensor(example.topics)
    return tokens, targets, asked


def _optimizers(
    model: Guide, asking: nn.Linear, settings: dict[str, Any], dtype: torch.dtype
) -> list[torch.optim.Optimizer]:
    matrices = [p for name, p in model.named_parameters() if p.dim() == 2 and name.startswith("blk.")]
    others = [p for name, p in model.named_parameters() if not (p.dim() == 2 and name.startswith("blk."))]
    return [
        Muon(matrices, lr=settings["matrix_rate"], weight_decay=settings["weight_decay"], dtype=dtype),
        torch.optim.AdamW(
            [*others, *asking.parameters()], lr=settings["other_rate"], betas=(0.9, 0.98), weight_decay=0.0
        ),
    ]


def _share_of_rate(step: int, settings: dict[str, Any]) -> float:
    steps, warmup = settings["steps"], settings["warmup"]
    if step < warmup:
        return (step + 1) / warmup
    return 0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * (step - warmup) / max(1, steps - warmup)))


def train(settings: dict[str, Any], work: Path, log: Path) -> tuple[Guide, Tokenizer]:
    """Trains, or goes on training, until the settings' steps are done."""
    work.mkdir(parents=True, exist_ok=True)
    seed, shape, how = settings["seed"], Shape(**settings["model"]), settings["training"]
    torch.manual_seed(seed)
    corpus = Corpus(seed, held_out())
    pieces = work / "tokenizer.json"
    if not pieces.exists():
        learner = Corpus(seed + 1, held_out())
        talks = (learner.conversation() for _ in range(how["tokenizer_conversations"]))
        learn(talks, shape.vocab).save(str(pieces))
    model = Guide(shape, how["dropout"])
    dtype = torch.bfloat16 if _computes_bfloat16() else torch.float32
    asking = nn.Linear(shape.width, len(topics()))
    optimizers = _optimizers(model, asking, how, dtype)
    rates = [optimizer.param_groups[0]["lr"] for optimizer in optimizers]
    checkpoint = work / "checkpoint.pt"
    start = 0
    if checkpoint.exists():
        state = torch.load(checkpoint, weights_only=True)
        start = state["step"]
        model.load_state_dict(state["model"])
        asking.load_state_dict(state["asking"])
        for optimizer, saved in zip(optimizers, state["optimizers"], strict=True):
            optimizer.load_state_dict(saved)
        corpus.rng.seed(seed + start)
    copying = iter(Copying(pieces, how["copying_rows"], seed + 2))
    batches = iter(Batches(corpus, pieces, how, shape.context))
    parameters = sum(p.numel() for p in model.parameters())
    steps = how["steps"]
    corpus.obeying_share = how["obeying_share"]
    _note(log, f"{parameters} parameters, seed {seed}, {steps} steps from {start}", fresh=start == 0)
    began, seen = time.monotonic(), 0
    smooth: dict[bool, float] = {}
    for step in range(start, steps):
        copies = step < how["copying_steps"] or step % how["copying_every"] == 0
        corpus.single_share = how["single_share" if step < steps * how["single_steps"] else "single_share_later"]
        tokens, targets, asked = next(copying if copies else batches)
        wanted, begins = targets != _IGNORED, asked != _IGNORED
        with torch.autocast("cpu", dtype=dtype, enabled=dtype is not torch.float32):
            logits, before = model.read(tokens, wanted)
        loss = functional.cross_entropy(logits, targets[wanted])
        if begins.any():
            loss = loss + how["topic_weight"] * functional.cross_entropy(asking(before[begins].float()), asked[begins])
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        for optimizer, rate in zip(optimizers, rates, strict=True):
            for group in optimizer.param_groups:
                group["lr"] = rate * _share_of_rate(step, how)
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
        seen += tokens.numel()
        smooth[copies] = loss.item() + 0.9 * (smooth.get(copies, loss.item()) - loss.item())
        if (step + 1) % 50 == 0:
            rate = seen / (time.monotonic() - began)
            losses = f"loss {smooth.get(False, math.nan):.4f} copying {smooth.get(True, math.nan):.4f}"
            _note(log, f"step {step + 1} {losses} tokens {seen} ({rate:.0f}/s)")
        if (step + 1) % _CHECKPOINT_EVERY == 0 or step + 1 == steps:
            state = {
                "step": step + 1,
                "model": model.state_dict(),
                "asking": asking.state_dict(),
                "optimizers": [o.state_dict() for o in optimizers],
            }
            torch.save(state, checkpoint.with_suffix(".part"))
            checkpoint.with_suffix(".part").replace(checkpoint)
    return model, read(pieces)


def _computes_bfloat16() -> bool:
    """Whether the processor multiplies bfloat16 by itself; elsewhere that is emulated and slow."""
    return bool(torch.cpu.get_capabilities().get("avx512_bf16", False))


def _note(log: Path, line: str, fresh: bool = False) -> None:
    print(line, flush=True)
    with log.open("w" if fresh else "a", encoding="utf-8") as file:
        file.write(line + "\n")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--work", type=Path, default=Path(tempfile.gettempdir()) / "guide-training")
    parser.add_argument("--steps", type=int, help="fewer steps than settings.toml says, for a trial")
    parser.add_argument("--out", type=Path, default=HERE.parent / "guide.gguf")
    parser.add_argument("--log", type=Path, default=HERE / "train.log")
    chosen = parser.parse_args()
    torch.set_num_threads(chosen.threads)
    settings = tomllib.loads((HERE / "settings.toml").read_text(encoding="utf-8"))
    if chosen.steps:
        settings["training"]["steps"] = chosen.steps
    model, tokenizer = train(settings, chosen.work, chosen.log)
    write_gguf(model, tokenizer, chosen.out)
    print(f"wrote {chosen.out}, {chosen.out.stat().st_size} bytes")


if __name__ == "__main__":
    main()
