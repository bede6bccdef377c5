"""Values and printf forms made by chance, the same for the same seed."""

from __future__ import annotations

import random
import struct
from collections.abc import Callable
from typing import Any

from bundler.prompt.gotemplate import json
from bundler.prompt.gotemplate.values import Byte, Map, Rune, Slice, Struct

STRINGS = [
    "", "a", "hello", "Hello, World", "x y\tz", "two\nlines", '"quoted"', "back`quote", "back\\slash", "it's",
    "<|im_start|>user", "<b>&amp;</b>", "a=b&c=d", "grüße", "日本語", "🦙 llama", "e\u0301", "\u200b", "\ufeff", "\xa0",
    "\u2028\u2029", "\0\x01\x1b\x7f", "\udcff", "ok\udce9\udc80", "%d", "100%", "{{ .x }}", "true", "nil", "\ufffd",
    "\x80", "\r\n", "\a\b\f\v", "~!@#$%^&*()_+-=[]{}|;':,./<>?", "\U000e0001", "\U0010ffff",
]  # fmt: skip
INTEGERS = [0, 1, -1, 2, 3, 7, 9, 10, -10, 42, 65, 97, 100, 255, 256, -256, 0x1F999, 1000000, 0xD800, 0x110000,
            2**31, 2**53 + 1, 2**63 - 1, -(2**63)]  # fmt: skip
FLOATS = [0.0, -0.0, 0.1, 0.5, -1.5, 1.0, 2.5, 3.14159, 100.0, 99999.5, 123456.0, 999999.0, 1e6, 1234567.0, 1e20, 1e21,
          1.5e22, 1e-4, 1e-5, 0.00012345, 1e-6, 9.99e-7, 1e100, 1.7976931348623157e308, 5e-324, 2.2250738585072014e-308,
          float("inf"), float("-inf"), float("nan"), 1 / 3, 2 / 3, 1e15, 123456789.125]  # fmt: skip
VERBS = "vvvvvdsqxXtTbooOcUeEfFgGwzi%!D日\udcff"
TYPES = ("main.Message", "main.ToolCall", "main.Tool", "main.Call")


def scalar(chance: random.Random) -> Any:
    """A value without parts, nil among them."""
    makers: list[Callable[[], Any]] = [
        lambda: chance.choice(STRINGS),
        lambda: chance.choice(STRINGS),
        lambda: chance.choice(INTEGERS),
        lambda: chance.randrange(-1000, 1000),
        lambda: chance.choice(FLOATS),
        lambda: struct.unpack("d", chance.randbytes(8))[0],
        lambda: round(chance.uniform(-1000, 1000), chance.randrange(5)),
        lambda: chance.random() < 0.5,
        lambda: None,
        lambda: Byte(chance.randrange(256)),
        lambda: Rune(chance.choice([0, 65, 0x1F999, -1])),
        lambda: complex(chance.choice(FLOATS), chance.choice(FLOATS)),
    ]
    return chance.choice(makers)()


def operand(chance: random.Random, depth: int = 2) -> Any:
    """Any value that a template can hold."""
    if depth == 0 or chance.random() < 0.6:
        return scalar(chance)
    several = range(chance.randrange(4))
    makers: list[Callable[[], Any]] = [
        lambda: [operand(chance, depth - 1) for _ in several],
        lambda: {key(chance): operand(chance, depth - 1) for _ in several},
        lambda: Slice("[]string", [chance.choice(STRINGS) for _ in several]),
        lambda: Slice("[]int", [chance.choice(INTEGERS) for _ in several]),
        lambda: Slice("[]uint8", [Byte(chance.randrange(256)) for _ in several]),
        lambda: Slice("[]string", nil=True),
        lambda: Slice("[]main.Tool", [tool(chance, depth - 1) for _ in several]),
        lambda: arguments(chance, depth - 1),
        lambda: message(chance, depth - 1),
        lambda: tool(chance, depth - 1),
    ]
    return chance.choice(makers)()


def key(chance: random.Random) -> str:
    """Of a map."""
    return chance.choice(["a", "b", "name", "Name", "x y", "é", "ﬀ", "🦙", "", "<k>", "0", "_", "Z", "location"])


def arguments(chance: random.Random, depth: int) -> Map:
    """A map that prints as JSON."""
    items = {key(chance): plain(chance, depth) for _ in range(chance.randrange(3))}
    return Map("main.Arguments", items, string=lambda: json.marshal(items))


def plain(chance: random.Random, depth: int) -> Any:
    """A value such as JSON brings."""
    if depth > 0 and chance.random() < 0.4:
        several = range(chance.randrange(3))
        if chance.random() < 0.5:
            return [plain(chance, depth - 1) for _ in several]
        return {key(chance): plain(chance, depth - 1) for _ in several}
    return chance.choice([chance.choice(STRINGS), float(chance.randrange(-99, 99)), 1e21, 1.5, 1e-7, True, False, None])


def message(chance: random.Random, depth: int) -> Struct:
    """A struct that holds others in slices."""
    calls = [
        Struct("main.ToolCall", {"ID": chance.choice(["", "call_1"]), "Function": call(chance, depth - 1)})
        for _ in range(chance.randrange(3))
    ]
    images = [Slice("main.Image", [Byte(255), Byte(1)]) for _ in range(chance.randrange(2))]
    return Struct(
        "main.Message",
        {
            "Role": chance.choice(["system", "user", "assistant", "tool", ""]),
            "Content": chance.choice(STRINGS),
            "Images": Slice("[]main.Image", images, nil=not images),
            "ToolCalls": Slice("[]main.ToolCall", calls, nil=not calls),
        },
    )


def call(chance: random.Random, depth: int) -> Struct:
    """A struct with a map that prints as JSON."""
    name = chance.choice(["get_weather", "f", ""])
    return Struct("main.Call", {"Index": chance.randrange(3), "Name": name, "Arguments": arguments(chance, depth - 1)})


def tool(chance: random.Random, depth: int) -> Struct:
    """A struct that prints as a text of its own."""
    kind = chance.choice(["function", ""])
    required = chance.sample(["city", "unit"], chance.randrange(3))
    items = operand(chance, depth) if depth > 0 else None
    fields = {"Type": kind, "Items": items, "Required": Slice("[]string", required, nil=not required)}
    return Struct("main.Tool", fields, f"<{kind}>")


def form(chance: random.Random) -> str:
    """What printf takes: sound directives mostly, and what is wrong in every way."""
    return "".join(_directive(chance) for _ in range(chance.randrange(1, 4)))


def _directive(chance: random.Random) -> str:
    if chance.random() < 0.15:
        return chance.choice(["text ", "%", "%%", "é", "\n", "[", "]", "%5%", "%[1]", "%.", "%-", "%*", "\udcff"])
    flags = "".join(chance.choice("#0+- ") for _ in range(chance.choice([0, 0, 0, 1, 1, 2, 3])))
    width = chance.choice(["", "", "", "", "1", "5", "12", "08", "*", "[1]*", "[2]*", "[9]*", "1000001", "10000010"])
    if width.startswith("1000"):
        width = chance.choice([width, ""]) if chance.random() < 0.1 else ""
    precision = chance.choice(
        ["", "", "", "", ".", ".0", ".1", ".2", ".10", ".20", ".*", ".[2]*", ".[x]*", ".-1", ".[3]"]
    )
    index = chance.choice([""] * 12 + ["[1]", "[2]", "[3]", "[0]", "[10]", "[x]", "[", "[]", "[-1]", "[99999999999]"])
    places = [flags, width, precision, index]
    if chance.random() < 0.05:
        chance.shuffle(places)
    return "%" + "".join(places) + chance.choice(VERBS) + chance.choice(["", "", " ", "|"])
