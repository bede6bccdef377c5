"""Turn a GGUF model into one self-contained executable."""

__version__ = "0.1.0"
