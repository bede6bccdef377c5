"""Makes a clean question look typed: casing, punctuation, dropped words, contractions, typos, words nobody knows."""

from __future__ import annotations

import random
import re

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
_WORD = re.compile(r"(?<![\w./-])[a-z0-9-]+(?![\w/])")
_PROPER = {
    word.lower(): word
    for word in (
        *(
            "Modelfile",
            "GGUF",
            "API",
            "Python",
            "Windows",
            "Linux",
            "macOS",
            "Mac",
            "USB",
            "GPU",
            "GPUs",
            "CPU",
            "CPUs",
        ),
        *(
            "CUDA",
            "OpenAI",
            "Docker",
            "Podman",
            "Kubernetes",
            "Alpine",
            "Debian",
            "Ubuntu",
            "CentOS",
            "Fedora",
            "NVIDIA",
        ),
        *(
            "AMD",
            "SSH",
            "JSON",
            "HTTP",
            "URL",
            "UI",
            "GUI",
            "ZIP",
            "SBOM",
            "RAM",
            "GB",
            "OK",
            "Ollama",
            "Llama",
            "Qwen",
        ),
        *("Mistral", "Gemma", "Phi", "DeepSeek", "FAT32", "exFAT", "OS", "Ctrl-C", "SIGTERM", "ChatGPT", "Jinja", "AI"),
        *("Vulkan", "Metal", "PC", "LAN", "WiFi", "LLM", "MB", "SHA256", "REST", "CLI", "OOM", "CORS", "CSRF", "Java"),
        *("German", "French", "Spanish", "Chinese", "Italian", "Russian", "Japanese", "Dutch", "Polish", "Deutsch"),
        *("English", "Safetensors", "PyTorch", "ONNX", "Rust", "DNS", "DNA", "Raspberry", "Pi", "Apple", "Apache"),
        *("Portuguese", "Hindi", "Arabic", "Korean", "Turkish", "Latin", "GLIBC", "RTX", "Bitcoin", "Christmas"),
    )
}
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
    if carelessly and len(words) > 4 and rng.random() < 0.05:
        words[rng.randrange(len(words))] = _unknown(rng)
    if carelessly and rng.random() < 0.1:
        for _ in range(rng.choice((1, 1, 2))):
            at = rng.randrange(len(words))
            words[at] = _mistyped(words[at], rng)
    return _ended(_cased(" ".join(words), rng), rng)


def _dropped(words: list[str], rng: random.Random) -> list[str]:
    kept = [word for word in words if word not in _DROPPABLE or rng.random() < 0.5]
    return kept if len(kept) > 1 else words


def _unknown(rng: random.Random) -> str:
    """A word that stands for all those that are in no training text."""
    syllables = (rng.choice("bcdfghklmnprstvw") + rng.choice("aeiou") for _ in range(rng.choice((2, 2, 3))))
    return "".join(syllables) + rng.choice(("", "n", "r", "s", "t", "ing", "ed"))


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
    if draw < 0.03:
        return text.upper()
    if draw < 0.05:
        return text.title()
    if draw < 0.60:
        text = _WORD.sub(lambda match: _PROPER.get(match[0], match[0]), text)
    elif draw < 0.85:
        text = text.lower()
    if rng.random() < 0.58:
        text = text[:1].upper() + text[1:]
        text = f" {text} ".replace(" i ", " I ").replace(" i'", " I'").strip()
    return text


def _ended(text: str, rng: random.Random) -> str:
    asking = text.lower().split(" ")[0].split("'")[0] in _ASKING
    if text.endswith(("?", "!", ".")):
        return text
    marks = ("?", "?", "?", "", "", "??", " ?") if asking else ("?", "", "", ".", ".", "!", "")
    return text + rng.choice(marks)
