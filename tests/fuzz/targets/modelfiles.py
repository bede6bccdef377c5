"""Modelfiles: what is accepted can be written and read again, what is refused shows its place."""

from __future__ import annotations

from random import Random

from bundler.formats import parameters
from bundler.formats.modelfile import COMMANDS, Modelfile, ModelfileError, parse, write
from tests.fuzz.mutation import mutated

SECONDS = 5.0

_SEEDS = (
    b"FROM ./model.gguf\n",
    b'# mine\r\nFROM "/home/me/m.gguf"\r\nSYSTEM """\r\nYou are "kind".\r\n"""\r\nPARAMETER stop "<|end|>"\r\n',
    b"FROM x\nADAPTER a.gguf\nDRAFT d.gguf\nRENDERER r\nPARSER p\nREQUIRES v0.14.0-rc.1+b\nLICENSE MIT\n",
    b"FROM x\nPARAMETER temperature 0x1p-2\nPARAMETER num_ctx 4096\nPARAMETER use_mmap T\nPARAMETER mirostat 1\n",
    'FROM x\nMESSAGE user Käse 🦙?\nMESSAGE assistant "a\nb"\nTEMPLATE """{{ .Prompt }}"""\n'.encode(),
    "FROM ä\nSYSTEM \u200dx\u3000y\u00a0\x07\n".encode("utf-16"),
)
_WORDS = (
    *(name.upper() for name in COMMANDS), *COMMANDS, *parameters.TYPES, *sorted(parameters.DEPRECATED), "user",
    "system", "assistant", "stop", '"', '"', '"""', '""', "\n", "\n", "\r\n", "\r", " ", " ", " ", "\t", "#", "x", "1",
    "0.5", "1e400", "9" * 30, "true", "0.14.0", "ä", "🦙", "\u200d", "\u3000", "\x00", "\ufeff", "\u2028", "\U000e0fff",
)  # fmt: skip
_PIECES = (*(word.encode() for word in _WORDS), b"\xff", b"\xc3", b"\xed\xa0\x80", b"\xff\xfe", b"\xfe\xff")
_ENCODINGS = ("utf-8", "utf-8", "utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "latin-1")


def case(chance: Random) -> bytes:
    kind = chance.random()
    if kind < 0.4:
        return mutated(chance, chance.choice(_SEEDS), _PIECES, chance.choice(_SEEDS))
    if kind < 0.5:
        return chance.randbytes(chance.randrange(60))
    text = "".join(chance.choice(_WORDS) for _ in range(chance.randrange(30))) if kind < 0.6 else _commands(chance)
    return text.encode(chance.choice(_ENCODINGS), "replace")


def _commands(chance: Random) -> str:
    lines = ["FROM x\n"]
    for _ in range(chance.randrange(6)):
        name = chance.choice(COMMANDS).upper()
        key = {"PARAMETER": (*parameters.TYPES, "mirostat", "odd"), "MESSAGE": ("user", "assistant", "system")}
        words = "".join(chance.choice(_WORDS) for _ in range(chance.randrange(8)))
        quote = chance.choice(["", "", '"', '"""'])
        lines.append(f"{name} {chance.choice(key.get(name, ('',)))} {quote}{words}{quote}\n")
    return "".join(lines)


def attempt(case: bytes) -> bool:
    try:
        found = parse(case)
    except ModelfileError as error:
        _check_error(error)
        return False
    assert all(found.warning(notice).isprintable() for notice in found.notices)
    _check_places(found)
    said = [command.instruction for command in found.commands]
    text = write(said)
    assert [command.instruction for command in parse(text.encode()).commands] == said
    return True


def _check_error(error: ModelfileError) -> None:
    first, _, caret = error.message.split("\n")
    assert first.isprintable()
    assert caret.lstrip(" ") == "^"
    assert error.hint
    assert error.hint.isprintable()


def _check_places(found: Modelfile) -> None:
    for command in found.commands:
        start, end = command.span
        assert found.place(start) == command.value_place
        assert 0 <= start <= end <= len(found.text)
        assert command.place <= command.key_place <= command.value_place
