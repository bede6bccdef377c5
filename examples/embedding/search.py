"""Finds the facts that fit a question best: `python search.py QUESTION`, while the bundle runs."""

from __future__ import annotations

import os
import sys
import tomllib
from pathlib import Path

from openai import OpenAI

FACTS = Path(__file__).resolve().parent.parent / "guide" / "train" / "facts.toml"
SHOWN = 3


def main() -> None:
    facts = [topic["short"] for topic in tomllib.loads(FACTS.read_text(encoding="utf-8"))["topics"].values()]
    client = OpenAI(base_url=os.environ.get("URL", "http://127.0.0.1:11434") + "/v1", api_key="none")
    made = client.embeddings.create(model="default", input=[" ".join(sys.argv[1:]), *facts]).data
    question, *rest = (each.embedding for each in made)
    nearness = [sum(a * b for a, b in zip(question, other, strict=True)) for other in rest]
    for near, fact in sorted(zip(nearness, facts, strict=True), reverse=True)[:SHOWN]:
        print(f"{near:.2f}  {fact}")


if __name__ == "__main__":
    main()
