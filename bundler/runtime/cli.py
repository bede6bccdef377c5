"""The command line of a bundle. The only place of the runtime that turns errors into messages and exit codes.

Exit codes: 0 done, 1 the work failed, 2 wrong usage, 130 interrupted.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from bundler.errors import BundleError
from bundler.runtime import arguments, helptext
from bundler.runtime.bundlefile import BundleFile, open_own, own_path
from bundler.runtime.settings import (
    LIFE,
    LOADING,
    SERVING,
    UsageError,
    from_environment,
    life_settings,
    load_settings,
    serve_settings,
)

Environment = Mapping[str, str]


def main(argv: Sequence[str]) -> int:
    """Run one command of the bundle that this process belongs to; returns the exit code."""
    _speak_utf8()
    try:
        return _dispatch([_text(argument) for argument in argv], os.environ)
    except (BundleError, UsageError) as error:
        print(error.render(), file=sys.stderr)
        return 2 if isinstance(error, UsageError) else 1
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except Exception as error:
        print(f"error: failed unexpectedly: {type(error).__name__}: {error}", file=sys.stderr)
        if "--verbose" in argv or os.environ.get("BUNDLE_VERBOSE"):
            raise
        print("hint: please report it; with --verbose it says where", file=sys.stderr)
        return 1


def _dispatch(argv: list[str], environment: Environment) -> int:
    first = argv[0] if argv else "serve"
    if first in ("--version", "-V"):
        return _version(environment)
    if first in ("--help", "-h", "help") and not (first == "help" and argv[1:2] and argv[1] in _COMMANDS):
        print(helptext.overview(_bundle(environment), _program(environment)))
        return 0
    if first == "help":
        argv = [argv[1], "--help"]
    elif not argv or first.startswith("-"):
        argv = ["serve", *argv]
    command = _COMMANDS.get(argv[0])
    if command is None:
        from difflib import get_close_matches

        near = get_close_matches(first, _COMMANDS, 1)
        asking = f'--help lists the commands; a question goes with {_program(environment)} run "…"'
        raise UsageError(f"there is no command {first!r}", f"did you mean {near[0]}?" if near else asking)
    return command(argv[1:], environment)


def _serve(argv: list[str], environment: Environment) -> int:
    values = arguments.parse(_program(environment), "serve", argv, SERVING)
    settings = serve_settings({**from_environment(SERVING, environment), **values})
    bundle = _bundle(environment)
    from bundler.runtime.server import serve

    return serve(bundle, settings, environment)


def _run(argv: list[str], environment: Environment) -> int:
    values = arguments.parse(_program(environment), "run", argv, (*arguments.ASKING, *LOADING))
    load = load_settings({**from_environment(LOADING, environment), **values})
    from bundler.runtime.run import read_question, run

    question = read_question(values["prompt"], sys.stdin, _program(environment))
    return run(_model(_bundle(environment), values), question, values, load, environment)


def _embed(argv: list[str], environment: Environment) -> int:
    values = arguments.parse(_program(environment), "embed", argv, (*arguments.EMBEDDING, *LOADING))
    load = load_settings({**from_environment(LOADING, environment), **values})
    from bundler.runtime.embed import embed, read_texts

    texts = read_texts(values["text"], sys.stdin, _program(environment))
    return embed(_model(_bundle(environment), values), texts, values, load, environment)


def _info(argv: list[str], environment: Environment) -> int:
    values = arguments.parse(_program(environment), "info", argv, (arguments.JSON, arguments.MODEL, *LOADING, *LIFE))
    values = {**from_environment((*LOADING, *LIFE), environment), **values}
    from bundler.runtime.info import info

    load, life = load_settings(values), life_settings(values)
    bundle = _bundle(environment)
    if "model" in values:
        bundle = _model(bundle, values)
    return info(bundle, load, life, environment, as_json=values.get("json", False))


def _verify(argv: list[str], environment: Environment) -> int:
    values = arguments.parse(_program(environment), "verify", argv, (arguments.JSON,))
    from bundler.runtime.verify import verify

    return verify(environment, as_json=values.get("json", False))


def _licenses(argv: list[str], environment: Environment) -> int:
    arguments.parse(_program(environment), "licenses", argv, ())
    from bundler.runtime.licenses import licenses

    return licenses(_bundle(environment))


def _version(environment: Environment) -> int:
    print(helptext.version(environment))
    return 0


_COMMANDS: dict[str, Callable[[list[str], Environment], int]] = {
    "serve": _serve,
    "run": _run,
    "embed": _embed,
    "info": _info,
    "verify": _verify,
    "licenses": _licenses,
}


def _bundle(environment: Environment) -> BundleFile:
    bundle = open_own(environment)
    _name_process(bundle.manifest.name)
    return bundle


def _model(bundle: BundleFile, values: Mapping[str, Any]) -> BundleFile:
    """The bundle with the model alone that was asked for, or with its main one."""
    return bundle.of(values.get("model", bundle.manifest.name))


def _program(environment: Environment) -> str:
    """How the user starts this program, for messages."""
    if not getattr(sys, "frozen", False):
        return "python -m bundler.runtime"
    try:
        return f"./{own_path(environment).name}" if sys.platform != "win32" else own_path(environment).name
    except BundleError:
        return "bundle-runtime"


def _name_process(name: str) -> None:
    """The bundle's name in `ps` and `top`, instead of the loader's; at most 15 bytes of it are kept by Linux."""
    if sys.platform == "linux":
        try:
            with open("/proc/self/comm", "w", encoding="utf-8") as comm:
                comm.write(name)
        except OSError:
            return


def _speak_utf8() -> None:
    """UTF-8 on stdout and stderr, also in an empty environment; a terminal that cannot show a character shows `?`."""
    for stream in (sys.stdout, sys.stderr):
        reconfigure: Any = getattr(stream, "reconfigure", None)
        if reconfigure is not None:
            reconfigure(encoding="utf-8", errors="replace")


def _text(argument: str) -> str:
    """An argument as the user typed it, in UTF-8, whatever the locale says."""
    return os.fsencode(argument).decode("utf-8", "replace")
