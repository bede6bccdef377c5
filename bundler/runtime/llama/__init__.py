"""All contact with llama.cpp: the only package that uses ctypes and llama-cpp-python's binding.

`library` loads the shared libraries, `model` weights and vocabulary, `context` the state of sequences, `sampler` the
choice of a token. Only the binding's low-level module is imported, never the package itself (it would pull numpy).
"""
