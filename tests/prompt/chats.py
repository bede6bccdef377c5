"""Conversations that chat templates are tried with, awkward ones among them."""

from __future__ import annotations

from typing import Any, Final

from bundler.formats.manifest import Template

Messages = list[dict[str, Any]]


def template(text: str) -> Template:
    return Template(kind="jinja", text=text, source="gguf", reason="", bos_token="<s>", eos_token="</s>")


def system(content: object) -> dict[str, Any]:
    return {"role": "system", "content": content}


def user(content: object) -> dict[str, Any]:
    return {"role": "user", "content": content}


def assistant(content: object, **more: Any) -> dict[str, Any]:
    return {"role": "assistant", "content": content, **more}


def calling(*arguments: object, **more: Any) -> dict[str, Any]:
    calls = [
        {"id": f"call1234{at}", "type": "function", "function": {"name": "weather", "arguments": given}}
        for at, given in enumerate(arguments)
    ]
    return {"role": "assistant", "tool_calls": calls, **more}


def answer(content: object, at: int = 0) -> dict[str, Any]:
    return {"role": "tool", "content": content, "tool_call_id": f"call1234{at}", "name": "weather"}


PLAIN: Final = [user("Hi"), assistant("Hello!"), user("How are you?")]
CALL: Final = [
    user("Weather?"),
    calling({"city": "Köln", "n": 1, "deep": {"a": [1, None, True, "<x>"]}}, content=""),
    answer('{"t": 1.5}'),
    user("And?"),
]
PARTS: Final = [user([{"type": "text", "text": " one"}, {"type": "text", "text": "two "}])]
TOOLS: Final[Messages] = [
    {
        "type": "function",
        "function": {
            "name": "weather",
            "description": 'Tells <b> & "x" ä\n',
            "parameters": {
                "type": "object",
                "properties": {
                    "city": {"type": "string", "description": "a city's name"},
                    "n": {"type": "integer", "enum": [1, 2]},
                    "deep": {"type": "object", "properties": {"a": {"type": "array", "items": {"type": "number"}}}},
                },
                "required": ["city"],
            },
        },
    },
    {
        "type": "function",
        "function": {"name": "noargs", "description": "", "parameters": {"type": "object", "properties": {}}},
    },
]
ODD_TOOLS: Final[Messages] = [
    {
        "type": "function",
        "function": {
            "name": "odd.name-2",
            "parameters": {
                "type": "object",
                "properties": {
                    "either": {"type": ["integer", "null"]},
                    "any": {"anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}}]},
                    "free": {},
                },
                "additionalProperties": False,
                "$defs": {"x": {"type": "string"}},
            },
            "strict": True,
        },
    },
    *TOOLS,
]
CHATS: Final[dict[str, Messages]] = {
    "plain": PLAIN,
    "system": [system("Be brief."), user("Hi")],
    "unicode": [
        system("Sei höflich 🦙 \u202e\u200d"),
        user("日本語 ä e\u0301 😀 \x7f \u2028 end"),
        assistant("ﬁne \ufeff"),
        user("𝔘\x00x"),
    ],
    "empty": [system(""), user(""), assistant(""), user("")],
    "edges": [system("  sys \n"), user("\n\n  Hi \t\n"), assistant(" \n Hello \n\n"), user("   ")],
    "special spellings": [
        system("<|im_start|>system<|im_end|>"),
        user("<s></s><|im_end|>\n<|im_start|>assistant\n[INST] x [/INST] <|eot_id|><start_of_turn>"),
        assistant("<think>a</think>b<|end|>"),
        user("</s> {{ x }} {% raw %}"),
    ],
    "quotes": [
        system("say \"x\" 'y'"),
        user("it's \"quoted\" \\n \\ `tick` 'a'"),
        assistant('{"a": "b\\"c"}'),
        user("\\"),
    ],
    "line ends": [user("a\r\nb\rc\x0bd\x0ce\x85f\n\n\ng"), assistant("x\n\n\n"), user("\n")],
    "code": [
        user("```python\nif a < b & c:\n\tprint('<b>')\n```"),
        assistant('```html\n<a href="x">&amp;</a>\n```'),
        user("ok"),
    ],
    "reasoning": [user("2+2?"), assistant("4", reasoning_content="two and two "), user("and 3?")],
    "reasoning, older name": [user("2+2?"), assistant("4", thinking="two and two "), user("and 3?")],
    "reasoning in the content": [user("2+2?"), assistant("<think>\nhm\n</think>\n\n4"), user("and 3?")],
    "systems": [system("One."), system("Two."), user("Hi"), system("Three."), user("Go")],
    "call": CALL,
    "call without content": [
        user("Weather?"),
        calling({"city": "x"}, content=None),
        answer('hot "very"\n'),
        assistant("It is hot."),
        user("And?"),
    ],
    "call after reasoning": [
        system("s"),
        user("Weather?"),
        calling({"city": "x y"}, reasoning_content="let me look"),
        answer(""),
    ],
    "calls": [
        user("Weather?"),
        calling({"city": "a"}, {"city": "b"}, content="Let me see."),
        answer("1"),
        answer("2", at=1),
    ],
    "parts": PARTS,
    "name, unusual role": [{**user("Hi"), "name": "Bob"}, {"role": "developer", "content": "dev"}, user("x")],
    "long": [turn for at in range(20) for turn in (user(f"q{at} " * 5), assistant(f"a{at}\n"))] + [user("end")],
}
