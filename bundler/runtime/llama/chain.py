"""llama.cpp's sampler chain for the settings of one request: which samplers, with which values, in which order.

The order and the names are llama-server's (common/sampling.cpp); the last stage always draws the token.
"""

from __future__ import annotations

import ctypes
import os
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from bundler.runtime.llama.model import Model
from bundler.runtime.request import Sampling

_SEED_MASK = 0x7FFFFFFF
_MIROSTAT_M = 100

_REMEMBERING = ("penalties", "dry", "mirostat", "adaptive_p")

Stage = Callable[[Any, Model, Sampling, int], Any]
"""(binding, model, settings, context length) -> sampler, or None where the settings turn it off."""


class Chain(NamedTuple):
    """A chain of samplers, which its owner frees."""

    pointer: Any
    remembers: bool
    """Whether what was drawn changes what will be."""
    wanted: int | None
    """How many tokens with the largest logits decide what is drawn, whatever the others are; None: all."""


def build(model: Model, sampling: Sampling, prompt: Sequence[int], context_length: int) -> Chain:
    """A new chain. Penalties have seen `prompt`'s end."""
    binding = model.library.binding
    parameters = binding.llama_sampler_chain_default_params()
    parameters.no_perf = True
    chain = binding.llama_sampler_chain_init(parameters)
    stages = []
    for name in _order(sampling):
        stage = STAGES[name](binding, model, sampling, context_length)
        if stage is not None:
            binding.llama_sampler_chain_add(chain, stage)
            stages.append(name)
    remembers = any(name in _REMEMBERING for name in stages)
    if remembers:
        for token in prompt[-context_length:]:
            binding.llama_sampler_accept(chain, token)
    return Chain(chain, remembers, _wanted(stages, sampling, context_length))


def _wanted(stages: Sequence[str], sampling: Sampling, context_length: int) -> int | None:
    """Penalties may take as many tokens as they look back on out of the likeliest; they lift none there."""
    lowers = min(sampling.repeat_penalty or 1, 1 + sampling.presence_penalty, 1 + sampling.frequency_penalty) >= 1
    lowered = 0
    for name in stages:
        if name == "penalties" and lowers:
            lowered = _looked_back_on(sampling, context_length)
        elif name == "greedy":
            return 1 + lowered
        elif name == "top_k":
            return _kept(sampling) + lowered
        else:
            return None
    return None


def seed(given: int | None) -> int:
    """32 bits, never the one that llama.cpp reads as `random`; a new one for none or a negative one."""
    return (int.from_bytes(os.urandom(4)) if given is None or given < 0 else given) & _SEED_MASK


def _order(sampling: Sampling) -> list[str]:
    first = ["logit_bias"] if sampling.logit_bias else []
    if sampling.temperature <= 0:
        return [*first, *(name for name in sampling.samplers if name in ("penalties", "dry")), "greedy"]
    if sampling.mirostat:
        return [*first, *(name for name in sampling.samplers if name == "penalties"), "temperature", "mirostat"]
    return [*first, *sampling.samplers, "adaptive_p" if sampling.adaptive_target >= 0 else "dist"]


def _logit_bias(binding: Any, model: Model, sampling: Sampling, _: int) -> Any:
    biases = [binding.llama_logit_bias(token, bias) for token, bias in sampling.logit_bias.items()]
    array = (binding.llama_logit_bias * len(biases))(*biases)
    return binding.llama_sampler_init_logit_bias(model.vocabulary.size, len(biases), array)


def _penalties(binding: Any, model: Model, sampling: Sampling, context_length: int) -> Any:
    back = _looked_back_on(sampling, context_length)
    repeat = sampling.repeat_penalty if sampling.repeat_penalty > 0 else 1.0
    if not back or (repeat == 1.0 and not sampling.presence_penalty and not sampling.frequency_penalty):
        return None
    return binding.llama_sampler_init_penalties(
        model.vocabulary.size, back, repeat, sampling.frequency_penalty, sampling.presence_penalty
    )


def _looked_back_on(sampling: Sampling, context_length: int) -> int:
    return context_length if sampling.repeat_last_n < 0 else sampling.repeat_last_n


def _dry(binding: Any, model: Model, sampling: Sampling, context_length: int) -> Any:
    back = context_length if sampling.dry_penalty_last_n < 0 else sampling.dry_penalty_last_n
    if sampling.dry_multiplier <= 0 or sampling.dry_base < 1 or not back:
        return None
    breakers = [breaker.encode() for breaker in sampling.dry_sequence_breakers]
    return binding.llama_sampler_init_dry(
        model.vocabulary.pointer,
        sampling.dry_multiplier,
        sampling.dry_base,
        sampling.dry_allowed_length,
        back,
        (ctypes.c_char_p * len(breakers))(*breakers),
        len(breakers),
    )


def _top_n_sigma(binding: Any, _: Model, sampling: Sampling, __: int) -> Any:
    return binding.llama_sampler_init_top_n_sigma(sampling.top_n_sigma) if sampling.top_n_sigma > 0 else None


def _top_k(binding: Any, model: Model, sampling: Sampling, _: int) -> Any:
    used = 0 < sampling.top_k < model.vocabulary.size
    return binding.llama_sampler_init_top_k(_kept(sampling)) if used else None


def _kept(sampling: Sampling) -> int:
    return max(sampling.top_k, sampling.min_keep)


def _typical(binding: Any, _: Model, sampling: Sampling, __: int) -> Any:
    used = sampling.typical_p < 1
    return binding.llama_sampler_init_typical(sampling.typical_p, _least(sampling)) if used else None


def _top_p(binding: Any, _: Model, sampling: Sampling, __: int) -> Any:
    return binding.llama_sampler_init_top_p(sampling.top_p, _least(sampling)) if sampling.top_p < 1 else None


def _min_p(binding: Any, _: Model, sampling: Sampling, __: int) -> Any:
    return binding.llama_sampler_init_min_p(sampling.min_p, _least(sampling)) if sampling.min_p > 0 else None


def _xtc(binding: Any, _: Model, sampling: Sampling, __: int) -> Any:
    if sampling.xtc_probability <= 0 or sampling.xtc_threshold > 0.5:
        return None
    return binding.llama_sampler_init_xtc(
        sampling.xtc_probability, sampling.xtc_threshold, _least(sampling), seed(sampling.seed)
    )


def _temperature(binding: Any, _: Model, sampling: Sampling, __: int) -> Any:
    if sampling.dynatemp_range > 0:
        return binding.llama_sampler_init_temp_ext(
            sampling.temperature, sampling.dynatemp_range, sampling.dynatemp_exponent
        )
    return binding.llama_sampler_init_temp(sampling.temperature)


def _mirostat(binding: Any, model: Model, sampling: Sampling, _: int) -> Any:
    rates = (sampling.mirostat_tau, sampling.mirostat_eta)
    if sampling.mirostat == 1:
        return binding.llama_sampler_init_mirostat(model.vocabulary.size, seed(sampling.seed), *rates, _MIROSTAT_M)
    return binding.llama_sampler_init_mirostat_v2(seed(sampling.seed), *rates)


def _adaptive(binding: Any, _: Model, sampling: Sampling, __: int) -> Any:
    return binding.llama_sampler_init_adaptive_p(sampling.adaptive_target, sampling.adaptive_decay, seed(sampling.seed))


def _dist(binding: Any, _: Model, sampling: Sampling, __: int) -> Any:
    return binding.llama_sampler_init_dist(seed(sampling.seed))


def _greedy(binding: Any, _: Model, __: Sampling, ___: int) -> Any:
    return binding.llama_sampler_init_greedy()


def _least(sampling: Sampling) -> int:
    return max(1, sampling.min_keep)


STAGES: dict[str, Stage] = {
    "logit_bias": _logit_bias,
    "penalties": _penalties,
    "dry": _dry,
    "top_n_sigma": _top_n_sigma,
    "top_k": _top_k,
    "typ_p": _typical,
    "top_p": _top_p,
    "min_p": _min_p,
    "xtc": _xtc,
    "temperature": _temperature,
    "mirostat": _mirostat,
    "adaptive_p": _adaptive,
    "dist": _dist,
    "greedy": _greedy,
}
