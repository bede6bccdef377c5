"""Which tokens of a GGUF's vocabulary control the model, and which of them end an answer, by their spellings.

Reads a `gguf.Header`. Follows llama.cpp (src/llama-vocab.cpp), which also takes some tokens for control tokens by name
alone, whatever type the file gives them.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final

from bundler.formats import weights
from bundler.formats.gguf import GgufError, Header

_TOKENS, _TYPES = "tokenizer.ggml.tokens", "tokenizer.ggml.token_type"
MAX_TOKENS: Final = 1 << 17
"""Control tokens of one vocabulary; the most in use have some 6,000."""
MAX_LENGTH: Final = 1 << 22
"""Characters of them all."""
_TOO_MANY = f"it has more than {MAX_TOKENS} control tokens, or {MAX_LENGTH} characters in them"

_NORMAL, _UNKNOWN, _CONTROL, _USER_DEFINED = 1, 2, 3, 4

_ENDS_BY_NAME: Final = frozenset((
    "</s>", "<eos>", "<EOT>", "_<EOT>", "[EOS]", "[EOT]", "[e~[", "<|end|>", "<|endoftext|>", "<|end_of_text|>",
    "<|eom_id|>", "<|eot_id|>", "<|im_end|>", "<end_of_turn>", "<end_of_utterance>", "<turn|>",
    "<｜end▁of▁sentence｜>", "<|call|>", "<|calls|>", "<|flush|>", "<|return|>", "<|tool_response>",
))  # fmt: skip
_BY_NAME: Final = frozenset((
    # filling in the middle
    "<PRE>", "▁<PRE>", "<fim-prefix>", "<fim_prefix>", "<|fim_prefix|>", "<|code_prefix|>", "<|prefix|>",
    "<｜fim▁begin｜>", "<SUF>", "▁<SUF>", "<fim-suffix>", "<fim_suffix>", "<|fim_suffix|>", "<|code_suffix|>",
    "<|suffix|>", "<｜fim▁hole｜>", "<MID>", "▁<MID>", "<fim-middle>", "<fim_middle>", "<|fim_middle|>",
    "<|code_middle|>", "<|middle|>", "<｜fim▁end｜>", "<PAD>", "[PAD]", "<fim-pad>", "<fim_pad>", "<|fim_pad|>",
    "<REPO>", "<fim-repo>", "<reponame>", "<|fim_repo|>", "<|repo_name|>", "<|file_sep|>",
    # the frame of a message
    "<|start|>", "<|channel|>", "<|constrain|>", "<|message|>",
)) | _ENDS_BY_NAME  # fmt: skip
_PLAIN_END: Final = frozenset(("<|tool_response>", "<|plamo:eos|>"))
"""Where one of these is, `</s>` is HTML."""
_LOOKS_LIKE_CONTROL: Final = re.compile(r"<[|｜].+>|<.+[|｜]>", re.DOTALL)


def control_tokens(header: Header) -> list[str]:
    """The spellings of all tokens that foreign text must not make, in the vocabulary's order, each once.

    Those are tokens of the types control and unknown, those that llama.cpp goes by the name of, and user-defined ones
    that look like control tokens (`<|…|>`): some conversions give that type to the marks of turns. Other user-defined
    tokens are plain text that every tokenizer takes whole.

    Raises:
        GgufError: there are more of them than any vocabulary has, or longer ones.
    """
    types = header.integers(_TYPES)
    found: list[str] = []
    length = 0
    for index, spelling in enumerate(header.strings(_TOKENS)):
        kind = types[index] if index < len(types) else _NORMAL
        if kind != _NORMAL or spelling in _BY_NAME:
            text = spelling or f"[EMPTY_{index}]"
            looks = kind == _USER_DEFINED and _LOOKS_LIKE_CONTROL.fullmatch(text)
            if looks or kind in (_CONTROL, _UNKNOWN) or text in _BY_NAME:
                found.append(text)
                length += len(text)
                if len(found) > MAX_TOKENS or length > MAX_LENGTH:
                    raise GgufError(f"failed to read GGUF {header.label}: {_TOO_MANY}", "convert the model again", 0)
    if not _PLAIN_END.isdisjoint(found):
        found = [text for text in found if text != "</s>"]
    return list(dict.fromkeys(found))


def end_tokens(header: Header, control: Iterable[str]) -> frozenset[str]:
    """The spellings of the tokens at which llama.cpp ends an answer; `control` are the vocabulary's control tokens."""
    named = (weights.eos_token(header), weights.eot_token(header), weights.eom_token(header))
    ends = _ENDS_BY_NAME.intersection(control) | {token for token in named if token}
    # What these models write before they call a tool or answer ends with <|end|> (llama-vocab.cpp).
    return ends - {"<|end|>"} if {"<|return|>", "<|call|>"} <= ends or {"<|calls|>", "<|flush|>"} <= ends else ends
