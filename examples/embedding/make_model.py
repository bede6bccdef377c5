"""Makes words.gguf, a small embedding model: `python make_model.py [OUT]`. A few seconds, no training framework.

Each word of the guide's questions and answers becomes a vector by the topics it is said on (positive pointwise mutual
information, reduced by a singular value decomposition). A BERT whose layers add nothing averages the vectors of a text.
"""

from __future__ import annotations

import random
import re
import sys
import tomllib
from collections import Counter
from pathlib import Path

import gguf
import numpy as np
import numpy.typing as npt

HERE = Path(__file__).resolve().parent
TRAIN = HERE.parent / "guide" / "train"
sys.path.insert(0, str(TRAIN))

from evaluate import held_out  # noqa: E402 - from the folder above
from facts import topics  # noqa: E402
from questions import Questions  # noqa: E402

QUESTIONS = 150
"""Drawn for each topic."""
WIDTH, STEADY = 96, 4
"""Numbers of a vector; the last few are the same for every word. They keep the layer norms, which would make all words
equally important, from doing so, and are 0 in what comes out."""
STEADY_SIZE = 60.0
CONTEXT = 512
SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")

Floats = npt.NDArray[np.float32]


def words(text: str) -> list[str]:
    """As BERT's tokenizer takes a text apart."""
    return re.findall(r"[a-z0-9]+|[^\sa-z0-9]", text.lower())


def documents() -> list[list[str]]:
    """For each topic all words that are said on it."""
    asked = Questions(random.Random(1), tomllib.loads((TRAIN / "lexicon.toml").read_text(encoding="utf-8")), held_out())  # noqa: S311 - training data, no secret
    return [
        words(" ".join([topic.answer, topic.short, topic.more, *(asked.on(name) for _ in range(QUESTIONS))]))
        for name, topic in topics().items()
    ]


def word_vectors(texts: list[list[str]]) -> tuple[list[str], Floats]:
    """The vocabulary, and a vector for each word."""
    counts = [Counter(text) for text in texts]
    total: Counter[str] = sum(counts, Counter())
    vocabulary = sorted(word for word, count in total.items() if count > 1)
    table = np.array([[count[word] for count in counts] for word in vocabulary], np.float64)
    expected = table.sum(1, keepdims=True) * table.sum(0, keepdims=True) / table.sum()
    information = np.maximum(0.0, np.log((table + 1e-9) / expected))
    left, strengths, _ = np.linalg.svd(information, full_matrices=False)
    width = WIDTH - STEADY
    vectors = left[:, :width] * strengths[:width]
    return vocabulary, vectors.astype(np.float32)


def write(path: Path, vocabulary: list[str], vectors: Floats) -> None:
    """A GGUF of the BERT architecture with these word vectors."""
    writer = gguf.GGUFWriter(path, "bert")
    writer.add_name("words")
    writer.add_license("apache-2.0")
    writer.add_context_length(CONTEXT)
    writer.add_embedding_length(WIDTH)
    writer.add_block_count(1)
    writer.add_feed_forward_length(WIDTH)
    writer.add_head_count(4)
    writer.add_layer_norm_eps(1e-12)
    writer.add_causal_attention(False)
    writer.add_pooling_type(gguf.PoolingType.MEAN)
    writer.add_file_type(gguf.LlamaFileType.MOSTLY_F16)
    writer.add_tokenizer_model("bert")
    writer.add_token_type_count(2)
    writer.add_token_list([*SPECIAL, *(f"\u2581{word}" for word in vocabulary)])
    writer.add_token_types([gguf.TokenType.CONTROL] * len(SPECIAL) + [gguf.TokenType.NORMAL] * len(vocabulary))
    for add, token in (
        (writer.add_pad_token_id, "[PAD]"),
        (writer.add_unk_token_id, "[UNK]"),
        (writer.add_bos_token_id, "[CLS]"),
        (writer.add_sep_token_id, "[SEP]"),
        (writer.add_mask_token_id, "[MASK]"),
    ):
        add(SPECIAL.index(token))
    embedding = np.zeros((len(SPECIAL) + len(vocabulary), WIDTH), np.float32)
    embedding[len(SPECIAL) :, : WIDTH - STEADY] = vectors
    embedding[:, WIDTH - STEADY :: 2], embedding[:, WIDTH - STEADY + 1 :: 2] = STEADY_SIZE, -STEADY_SIZE
    writer.add_tensor("token_embd.weight", embedding.astype(np.float16))
    writer.add_tensor("token_types.weight", np.zeros((2, WIDTH), np.float32))
    writer.add_tensor("position_embd.weight", np.zeros((CONTEXT, WIDTH), np.float32))
    for name in ("attn_q", "attn_k", "attn_v", "attn_output", "ffn_up", "ffn_down"):
        writer.add_tensor(f"blk.0.{name}.weight", np.zeros((WIDTH, WIDTH), np.float16))
    for name in ("token_embd_norm", "blk.0.attn_output_norm", "blk.0.layer_output_norm"):
        scale = np.full(WIDTH, STEADY_SIZE, np.float32)
        if name == "blk.0.layer_output_norm":
            scale[WIDTH - STEADY :] = 0
        writer.add_tensor(f"{name}.weight", scale)
        writer.add_tensor(f"{name}.bias", np.zeros(WIDTH, np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def main() -> None:
    out = Path(sys.argv[1]) if len(sys.argv) > 1 else HERE / "words.gguf"
    vocabulary, vectors = word_vectors(documents())
    write(out, vocabulary, vectors)
    print(f"wrote {out}: {len(vocabulary)} words, {out.stat().st_size} bytes")


if __name__ == "__main__":
    main()
