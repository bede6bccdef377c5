"""`info`: what the bundle holds, and what is decided for this machine and why. Loads no weights."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping
from textwrap import wrap
from typing import Any

import msgspec

from bundler.errors import BundleError
from bundler.formats import gguf
from bundler.formats.manifest import Manifest, Model
from bundler.formats.source import FileSource
from bundler.runtime import machine, memory
from bundler.runtime.address import DEFAULT_HOST, DEFAULT_PORT, running_bundle, url
from bundler.runtime.announce import ProgressLine, model_line, say, size
from bundler.runtime.bundlefile import BundleFile
from bundler.runtime.cachefolder import cache_folder
from bundler.runtime.defaults import from_manifest
from bundler.runtime.durations import words
from bundler.runtime.engine.interface import LoadOptions
from bundler.runtime.foresight import Foreseen, foresee
from bundler.runtime.settings import LifeSettings, LoadSettings
from bundler.runtime.startup import choose_variant
from bundler.runtime.warm import usable
from bundler.runtime.weights import load_mode

_ORIGINS = {"modelfile": "Modelfile", "gguf": "GGUF", "template": "template", "default": "default"}
_WIDTH = 100
_UNUSED = ("projector", "draft")
"""Roles of weights that this version of the runtime does nothing with."""
_NOT_USED = "in the file, and not used by this version"
_UNBROKEN = "\xa0"
"""Keeps a setting and its value on one line."""


def info(
    bundle: BundleFile, load: LoadSettings, life: LifeSettings, environment: Mapping[str, str], *, as_json: bool
) -> int:
    """Print the facts; returns the exit code.

    Raises:
        BundleError: the weights are not there or damaged, or the settings contradict each other.
    """
    with ProgressLine() as progress:
        progress.tell(0.0, "testing the CPU variants")
        facts = _facts(bundle, load, life, environment)
    say(msgspec.json.format(msgspec.json.encode(facts), indent=1).decode() if as_json else _page(bundle, facts))
    return 0


def _facts(
    bundle: BundleFile, load: LoadSettings, life: LifeSettings, environment: Mapping[str, str]
) -> dict[str, Any]:
    manifest, model = bundle.manifest, bundle.model
    defaults = from_manifest(manifest)
    options = msgspec.structs.replace(load.options(defaults), embeds=model.role == "embedding")
    place = bundle.weights()
    header = gguf.read_header(FileSource(place.descriptor), model.member or model.sidecar, place.offset, place.size)
    threads = machine.threads(options.threads, model.size)
    here = url(DEFAULT_HOST, DEFAULT_PORT)
    free = machine.memory()
    foreseen = foresee(header, place, options, free.available)
    tuning = foreseen.tuning
    mode = load_mode(place, os.fstat(place.descriptor).st_size, free=free.available, asked=options.load_mode)
    return {
        "name": manifest.name,
        "file": str(bundle.path),
        "size": bundle.source.size,
        "manifest_sha256": bundle.digest,
        "built_by": manifest.bundler,
        "target": environment.get("BUNDLE_TARGET") or ", ".join(manifest.runtime) or "checkout",
        "runtime": manifest.runtime,
        "model": model,
        "adapters": manifest.adapters,
        "added": [_added(manifest.of(name)) for name in manifest.names[1:]],
        "unused": [other for other in manifest.models if other is not model and other.role in _UNUSED],
        "template": manifest.template,
        "system": manifest.system,
        "messages": manifest.messages,
        "parameters": manifest.parameters,
        "sampling": {
            name: {"value": getattr(defaults.sampling, name), "origin": origin}
            for name, origin in defaults.sampling_origins.items()
        },
        "stop": [{"text": text, "origin": origin} for text, origin in defaults.stop_origins.items()],
        "cpu": _variant(environment),
        "load": {"mode": mode.mode, "reason": mode.reason, "copied": mode.copied},
        "context": _context(foreseen, free, taken=place.size if mode.copied else 0),
        "threads": {"count": threads.count, "reason": threads.reason, "batch": _batch_threads(options, threads)},
        "batch": {"tokens": tuning.batch, "reason": tuning.batch_reason},
        "ubatch": {"tokens": tuning.ubatch, "reason": tuning.ubatch_reason},
        "cache_types": {"key": tuning.key_type, "value": tuning.value_type, "reason": tuning.cache_reason},
        "flash_attention": {"mode": tuning.flash_attention, "reason": tuning.flash_reason},
        "memory": {"available": free.available, "total": free.total, "reason": free.reason},
        "life": _life(life),
        "warm": _warm(bundle, environment.get("BUNDLE_TARGET", ""), options),
        "cache": str(cache_folder(environment)),
        "address": {"url": here, "running": running_bundle(DEFAULT_HOST, DEFAULT_PORT) == bundle.digest},
    }


def _added(manifest: Manifest) -> dict[str, Any]:
    """What is told of a model beside the main one; `info --model` tells more."""
    return {
        "name": manifest.name,
        "model": manifest.models[0],
        "adapters": manifest.adapters,
        "template": manifest.template,
        "system": manifest.system,
        "messages": manifest.messages,
        "parameters": manifest.parameters,
    }


def _variant(environment: Mapping[str, str]) -> dict[str, Any]:
    try:
        verdict = choose_variant(environment)
    except BundleError as error:
        return {"chosen": None, "reason": error.message, "rejected": []}
    return {"chosen": verdict.chosen, "reason": verdict.reason, "rejected": verdict.rejected}


def _batch_threads(options: LoadOptions, threads: machine.Processors) -> dict[str, Any]:
    asked = options.threads_batch
    return {"count": asked or threads.count, "reason": "as asked" if asked else "as many as for a single token"}


def _life(life: LifeSettings) -> dict[str, Any]:
    """Lengths of time in seconds; None: without an end."""
    keep, limit = life.keep_alive, life.request_timeout
    kept = "as asked" if keep is not None else "the model stays as long as the server does, unless a request says so"
    return {
        "keep_alive": {"seconds": None if keep is None or math.isinf(keep) else keep, "reason": kept},
        "request_timeout": {
            "seconds": None if limit is None or math.isinf(limit) else limit,
            "reason": "as asked" if limit is not None else "an answer may take as long as it wants",
        },
        "context_shift": {
            "on": life.context_shift,
            "reason": "as asked" if life.context_shift else "an answer ends where the context is full",
        },
    }


def _warm(bundle: BundleFile, target: str, options: LoadOptions) -> dict[str, Any] | None:
    state = bundle.manifest.warm
    if state is None:
        return None
    reason = usable(bundle.manifest, target, options)
    return {"tokens": len(state.tokens), "bytes": state.size, "used": not reason, "reason": reason}


def _context(foreseen: Foreseen, free: machine.Memory, *, taken: int) -> dict[str, Any]:
    """What a start would do with the memory that is free now, of which the weights take `taken` bytes."""
    plan = foreseen.context
    left = msgspec.structs.replace(free, available=max(0, free.available - taken))
    try:
        memory.require(plan.cells, foreseen.cell, left)
        problem = ""
    except BundleError as error:
        problem = error.message
    return {
        "problem": problem,
        "tokens": plan.context_length,
        "reason": plan.context_reason,
        "bytes": plan.size,
        "parallel": plan.parallel,
        "parallel_reason": plan.parallel_reason,
        "saved_bytes": foreseen.saved,
        "saved_reason": foreseen.saved_reason,
    }


def _page(bundle: BundleFile, facts: Mapping[str, Any]) -> str:
    template, cpu, load, context, threads = (facts[key] for key in ("template", "cpu", "load", "context", "threads"))
    batch, ubatch, types, flash = (facts[key] for key in ("batch", "ubatch", "cache_types", "flash_attention"))
    system = bundle.manifest.system
    rows = [
        ("file", f"{facts['file']} ({size(facts['size'])})"),
        ("manifest", f"sha256:{facts['manifest_sha256']}, made with bundle {facts['built_by']}"),
        ("target", facts["target"]),
        ("model", f"{bundle.model.name or bundle.manifest.name}: {model_line(bundle.model)}"),
        *(("adapter", _adapter_row(adapter)) for adapter in facts["adapters"]),
        *((other.role, f"{other.member or other.sidecar}: {_NOT_USED}") for other in facts["unused"]),
        *(("added", f"{other['name']}: {model_line(other['model'])}") for other in facts["added"]),
        *([("", "loaded when a request names it; --model NAME tells more")] if facts["added"] else []),
        ("template", f"{template.kind}: {template.reason}" if template else "none"),
        ("system", system.strip().replace("\n", " ")[:100] if system else "none"),
        ("parameters", _parameters(facts) or "none of its own"),
        *_sampling(facts["sampling"]),
        ("stops", ", ".join(_stop(stop) for stop in facts["stop"]) or "the model's own end tokens"),
        ("cpu", f"{cpu['chosen'] or 'unknown'}: {cpu['reason']}"),
        *(("", f"not {rejected.variant}: {rejected.reason}") for rejected in cpu["rejected"]),
        ("weights", f"{load['mode']}: {load['reason']}"),
        ("context", f"{context['tokens']:,} tokens, {size(context['bytes'])} in all ({context['reason']})"),
        *([("", context["problem"])] if context["problem"] else []),
        *([("", _saved_row(context))] if context["saved_reason"] else []),
        ("kv cache", f"keys {types['key']}, values {types['value']} ({types['reason']})"),
        ("flash att.", f"{flash['mode']} ({flash['reason']})"),
        *([("warm", _warm_row(facts["warm"]))] if facts["warm"] else []),
        ("parallel", f"{context['parallel']} ({context['parallel_reason']})"),
        ("threads", f"{threads['count']} ({threads['reason']})"),
        ("", f"{threads['batch']['count']} for prompts ({threads['batch']['reason']})"),
        ("batch", f"{batch['tokens']} tokens a step ({batch['reason']})"),
        ("", f"{ubatch['tokens']} of them at once ({ubatch['reason']})"),
        *_life_rows(facts["life"]),
        ("cache", facts["cache"]),
        ("address", facts["address"]["url"] + (" (running)" if facts["address"]["running"] else "")),
    ]
    return "\n".join([facts["name"], *(f"  {label:<11}{text}" for label, text in rows)])


def _saved_row(context: Mapping[str, Any]) -> str:
    return f"up to {size(context['saved_bytes'])} of memory for conversations beside it ({context['saved_reason']})"


def _life_rows(life: Mapping[str, Any]) -> list[tuple[str, str]]:
    keep, limit, shift = life["keep_alive"], life["request_timeout"], life["context_shift"]
    kept = "for ever" if keep["seconds"] is None else f"{words(keep['seconds'])} without requests"
    most = "no limit" if limit["seconds"] is None else f"{words(limit['seconds'])}, waiting included"
    return [
        ("keep alive", f"{kept} ({keep['reason']})"),
        ("time limit", f"{most} ({limit['reason']})"),
        ("full", f"{'shift the context' if shift['on'] else 'stop'} ({shift['reason']})"),
    ]


def _adapter_row(adapter: Model) -> str:
    return f"{adapter.member or adapter.sidecar}, scale {adapter.scale:g}, {adapter.parameters:,} weights"


def _warm_row(warm: Mapping[str, Any]) -> str:
    said = f"{warm['tokens']:,} tokens of every prompt come evaluated ({size(warm['bytes'])})"
    return said if warm["used"] else f"{said}; not used: {warm['reason']}"


def _parameters(facts: Mapping[str, Any]) -> str:
    """PARAMETERs that are neither sampling settings nor stops."""
    shown = {key: value for key, value in facts["parameters"].items() if key not in facts["sampling"] and key != "stop"}
    return ", ".join(f"{key} {value}" for key, value in shown.items())


def _sampling(settings: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Rows with every setting, by where it comes from."""
    rows = []
    for origin, label in _ORIGINS.items():
        own = [_setting(name, said["value"]) for name, said in settings.items() if said["origin"] == origin]
        rows += wrap(f"{label}: {', '.join(own)}", _WIDTH) if own else []
    return [("" if at else "sampling", row.replace(_UNBROKEN, " ")) for at, row in enumerate(rows)]


def _setting(name: str, value: Any) -> str:
    if value is None or value == {}:
        value = "none"
    return _UNBROKEN.join([name, *(map(repr, value) if isinstance(value, tuple) else [str(value)])])


def _stop(stop: Mapping[str, str]) -> str:
    return f"{stop['text']!r} ({_ORIGINS[stop['origin']]})"
