"""Which tokens of a GGUF's vocabulary control the model, by their spellings.

Reads a `gguf.Header`. Follows llama.cpp (src/llama-vocab.cpp), which also takes some tokens for control tokens by name
alone, whatever type the file gives them.
"""

from __future__ import annotations

import re
from typing import Final

from bundler.formats.gguf import Header

_TOKENS, _TYPES = "tokenizer.ggml.tokens", "tokenizer.ggml.token_type"
_NORMAL, _UNKNOWN, _CONTROL, _USER_DEFINED = 1, 2, 3, 4

_BY_NAME: Final = frozenset((
    # the end of a turn, of a message, of the text
    "</s>", "<eos>", "<EOT>", "_<EOT>", "[EOS]", "[EOT]", "[e~[", "<|end|>", "<|endoftext|>", "<|end_of_text|>",
    "<|eom_id|>", "<|eot_id|>", "<|im_end|>", "<end_of_turn>", "<end_of_utterance>", "<turn|>",
    "<｜end▁of▁sentence｜>", "<|call|>", "<|calls|>", "<|flush|>", "<|return|>", "<|tool_response>",
    # filling in the middle
    "<PRE>", "▁<PRE>", "<fim-prefix>", "<fim_prefix>", "<|fim_prefix|>", "<|code_prefix|>", "<|prefix|>",
    "<｜fim▁begin｜>", "<SUF>", "▁<SUF>", "<fim-suffix>", "<fim_suffix>", "<|fim_suffix|>", "<|code_suffix|>",
    "<|suffix|>", "<｜fim▁hole｜>", "<MID>", "▁<MID>", "<fim-middle>", "<fim_middle>", "<|fim_middle|>",
    "<|code_middle|>", "<|middle|>", "<｜fim▁end｜>", "<PAD>", "[PAD]", "<fim-pad>", "<fim_pad>", "<|fim_pad|>",
    "<REPO>", "<fim-repo>", "<reponame>", "<|fim_repo|>", "<|repo_name|>", "<|file_sep|>",
    # the frame of a message
    "<|start|>", "<|channel|>", "<|constrain|>", "<|message|>",
))  # fmt: skip
_LOOKS_LIKE_CONTROL: Final = re.compile(r"<[|｜].+>|<.+[|｜]>", re.DOTALL)


def control_tokens(header: Header) -> list[str]:
    """The spellings of all tokens that foreign text must not make, in the vocabulary's order, each once.

    Those are tokens of the types control and unknown, those that llama.cpp goes by the name of, and user-defined ones
    that look like control tokens (`<|…|>`): some conversions give that type to the marks of turns. Other user-defined
    tokens are plain text that every tokenizer takes whole.

    Raises:
        GgufError: a token is longer than any text that is read.
    """
    types = header.integers(_TYPES)
    found = []
    for index, spelling in enumerate(header.strings(_TOKENS)):
        kind = types[index] if index < len(types) else _NORMAL
        if kind != _NORMAL or spelling in _BY_NAME:
            text = spelling or f"[EMPTY_{index}]"
            looks = kind == _USER_DEFINED and _LOOKS_LIKE_CONTROL.fullmatch(text)
            if looks or kind in (_CONTROL, _UNKNOWN) or text in _BY_NAME:
                found.append(text)
    return list(dict.fromkeys(found))
