"""The guide's tokenizer: byte-level BPE trained on the corpus, and the chat format on top of it.

A message is `<|role|>text<|end|>`; nothing stands before the first one. Digits are single tokens (llama.cpp's "smollm"
pre-tokenizer), so that a number in a question can be copied into the answer.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

from corpus import Conversation
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

CONTROL = ("<|end|>", "<|system|>", "<|user|>", "<|assistant|>", "<|pad|>")
END, SYSTEM, USER, ASSISTANT, PAD = range(len(CONTROL))
SPACE = "Ġ"
"""How the byte-level alphabet writes the space that a word in a sentence begins with."""
PRE_TOKENIZER = "smollm"
CHAT_TEMPLATE = (
    "{%- for message in messages -%}"
    "{{- '<|' + (message['role'] if message['role'] in ['system', 'assistant'] else 'user') + '|>' -}}"
    "{{- message['content'] | trim -}}{{- '<|end|>' -}}"
    "{%- endfor -%}"
    "{%- if add_generation_prompt -%}{{- '<|assistant|>' -}}{%- endif -%}"
)
_MARK = {"system": SYSTEM, "user": USER, "assistant": ASSISTANT}


def learn(conversations: Iterable[Conversation], vocab: int) -> Tokenizer:
    """A tokenizer of exactly `vocab` tokens, the control tokens first."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]
    )
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocab,
        special_tokens=list(CONTROL),
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(_texts(conversations), trainer)
    if tokenizer.get_vocab_size() != vocab:
        raise ValueError(f"the corpus gives {tokenizer.get_vocab_size()} tokens, not {vocab}")
    return tokenizer


def read(path: Path, dropout: float | None = None) -> Tokenizer:
    """The tokenizer of a file; with `dropout` some merges are left out at random, each time others."""
    tokenizer = Tokenizer.from_file(str(path))
    tokenizer.model.dropout = dropout
    return tokenizer


def mark(role: str) -> int:
    """The control token that opens a message of this role."""
    return _MARK[role]


def _texts(conversations: Iterable[Conversation]) -> Iterator[str]:
    for conversation in conversations:
        for message in conversation.messages:
            yield message.text
