"""Asks the guide for an object of command.schema.json: `python ask.py QUESTION`, while the bundle runs."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

from openai import OpenAI

SCHEMA = json.loads(Path(__file__).with_name("command.schema.json").read_text(encoding="utf-8"))


def main() -> None:
    client = OpenAI(base_url=os.environ.get("URL", "http://127.0.0.1:11434") + "/v1", api_key="none")
    answer = client.chat.completions.create(
        model="default",
        messages=[{"role": "user", "content": " ".join(sys.argv[1:])}],
        response_format={"type": "json_schema", "json_schema": {"name": "command", "schema": SCHEMA}},
    )
    for name, value in json.loads(answer.choices[0].message.content or "").items():
        print(f"{name:<8} {value}")


if __name__ == "__main__":
    main()
