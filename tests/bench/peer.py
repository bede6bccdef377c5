"""Start a server of llama-cpp-python in its own environment: `LIBRARIES PROGRAM OPTION...`.

PROGRAM is the name of a module, or a script that is configured by a JSON file alone: then its OPTIONs are that JSON and
`--port PORT`. Their binding loads no compute backend where these are files beside the libraries, so that is done first,
with the choice of llama.cpp's own loader. Knows nothing of this project, whose code that environment lacks.
"""

from __future__ import annotations

import ctypes
import json
import os
import runpy
import sys
import tempfile


def main(libraries: str, program: str, *options: str) -> None:
    """Become the server; returns when it is stopped."""
    ggml = ctypes.CDLL(os.path.join(libraries, "libggml.so.0"))  # the name that libllama asks for: one copy of it
    ggml.ggml_backend_load_all_from_path(ctypes.c_char_p(os.fsencode(libraries)))
    os.environ["LLAMA_CPP_LIB_PATH"] = os.environ["MTMD_CPP_LIB"] = libraries
    if not program.endswith(".py"):
        sys.argv = [program, *options]
        runpy.run_module(program, run_name="__main__", alter_sys=True)
        return
    config, _, port = options
    with tempfile.TemporaryFile("w", encoding="utf-8") as file:  # nameless, so that nothing stays when it is terminated
        json.dump({**json.loads(config), "server": {"host": "127.0.0.1", "port": int(port)}}, file)
        file.flush()
        sys.argv = [program, "-C", f"/dev/fd/{file.fileno()}"]
        runpy.run_path(program, run_name="__main__")


if __name__ == "__main__":
    main(*sys.argv[1:])
