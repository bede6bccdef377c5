"""Makes a clean question look typed: casing, punctuation, dropped words, contractions, typos."""

from __future__ import annotations

import random

_SHORTER = (
    ("what is", "what's"), ("what is", "whats"), ("do not", "don't"), ("does not", "doesn't"), ("i am", "i'm"),
    ("cannot", "can't"), ("cannot", "can not"), ("is not", "isn't"), ("i would", "i'd"), ("will not", "won't"),
    ("where is", "where's"), ("how is", "how's"), ("you are", "you're"), ("it is", "it's"), ("what are", "what're"),
    ("don't", "dont"), ("can't", "cant"), ("you", "u"), ("are you", "r u"), ("please", "pls"), ("i have", "i've"),
)  # fmt: skip
_DROPPABLE = {
    "the", "a", "an", "do", "does", "is", "are", "i", "to", "my", "of", "it", "can", "should", "please", "me", "for",
    "in", "on", "with", "there", "one",
}  # fmt: skip
_NEIGHBOURS = {
    "a": "sq", "b": "vn", "c": "xv", "d": "sf", "e": "wr", "f": "dg", "g": "fh", "h": "gj", "i": "uo", "j": "hk",
    "k": "jl", "l": "k", "m": "n", "n": "bm", "o": "ip", "p": "o", "r": "et", "s": "ad", "t": "ry", "u": "yi",
    "v": "cb", "w": "qe", "x": "zc", "y": "tu", "z": "x",
}  # fmt: skip
_ASKING = {
    "what", "how", "where", "which", "who", "why", "when", "can", "could", "is", "are", "does", "do", "may", "will",
}  # fmt: skip


def spoil(text: str, rng: random.Random, *, carelessly: bool = True) -> str:
    """The question as a person might have typed it; `carelessly` with typos and missing words."""
    for long, short in _SHORTER:
        if long in text and rng.random() < 0.12:
            text = f" {text} ".replace(f" {long} ", f" {short} ").strip()
    words = text.split(" ")
    if carelessly and len(words) > 3 and rng.random() < 0.12:
        words = _dropped(words, rng)
    if carelessly and rng.random() < 0.14:
        for _ in range(rng.choice((1, 1, 2))):
            at = rng.randrange(len(words))
            words[at] = _mistyped(words[at], rng)
    return _ended(_cased(" ".join(words), rng), rng)


def _dropped(words: list[str], rng: random.Random) -> list[str]:
    kept = [word for word in words if word not in _DROPPABLE or rng.random() < 0.5]
    return kept if len(kept) > 1 else words


def _mistyped(word: str, rng: random.Random) -> str:
    if len(word) < 4 or not word.isalpha():
        return word
    at = rng.randrange(len(word) - 1)
    match rng.randrange(4):
        case 0:
            return word[:at] + word[at + 1] + word[at] + word[at + 2 :]
        case 1:
            return word[:at] + word[at + 1 :]
        case 2:
            return word[:at] + word[at] + word[at:]
        case _:
            return word[:at] + rng.choice(_NEIGHBOURS.get(word[at].lower(), word[at])) + word[at + 1 :]


def _cased(text: str, rng: random.Random) -> str:
    draw = rng.random()
    if draw < 0.40:
        return text
    if draw < 0.43:
        return text.upper()
    if draw < 0.45:
        return text.title()
    text = text[:1].upper() + text[1:]
    return f" {text} ".replace(" i ", " I ").replace(" i'", " I'").strip()


def _ended(text: str, rng: random.Random) -> str:
    asking = text.lower().split(" ")[0].split("'")[0] in _ASKING
    if text.endswith(("?", "!", ".")):
        return text
    marks = ("?", "?", "?", "", "", "??", " ?") if asking else ("?", "", "", ".", ".", "!", "")
    return text + rng.choice(marks)
