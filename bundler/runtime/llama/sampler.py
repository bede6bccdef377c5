"""The choice of the next token: llama.cpp's sampler chain, one for each running job."""

from __future__ import annotations

import os
from collections.abc import Sequence

from bundler.runtime.llama.context import Context
from bundler.runtime.llama.model import Model
from bundler.runtime.request import Sampling

_SEED_MASK = 0x7FFFFFFF


class Sampler:
    """penalties -> top_k -> typical_p -> top_p -> min_p -> temperature -> draw; at temperature 0 penalties -> best."""

    def __init__(self, model: Model, sampling: Sampling, prompt: Sequence[int], context_length: int) -> None:
        """`prompt`: penalties look back on its end. No seed, or a negative one: a new one each time."""
        self._binding = binding = model.library.binding
        chain_parameters = binding.llama_sampler_chain_default_params()
        chain_parameters.no_perf = True
        self._chain = binding.llama_sampler_chain_init(chain_parameters)
        size = model.vocabulary.size
        back = context_length if sampling.repeat_last_n < 0 else sampling.repeat_last_n
        penalised = (
            sampling.repeat_penalty != 1.0 or sampling.presence_penalty != 0.0 or sampling.frequency_penalty != 0.0
        )
        stages = []
        if back > 0 and penalised and sampling.repeat_penalty > 0:
            stages.append(
                binding.llama_sampler_init_penalties(
                    size, back, sampling.repeat_penalty, sampling.frequency_penalty, sampling.presence_penalty
                )
            )
        if sampling.temperature <= 0:
            stages.append(binding.llama_sampler_init_greedy())
        else:
            if 0 < sampling.top_k < size:
                stages.append(binding.llama_sampler_init_top_k(sampling.top_k))
            if sampling.typical_p < 1.0:
                stages.append(binding.llama_sampler_init_typical(sampling.typical_p, 1))
            if sampling.top_p < 1.0:
                stages.append(binding.llama_sampler_init_top_p(sampling.top_p, 1))
            if sampling.min_p > 0.0:
                stages.append(binding.llama_sampler_init_min_p(sampling.min_p, 1))
            stages.append(binding.llama_sampler_init_temp(sampling.temperature))
            stages.append(binding.llama_sampler_init_dist(_seed(sampling.seed)))
        for stage in stages:
            binding.llama_sampler_chain_add(self._chain, stage)
        if back > 0 and penalised:
            for token in prompt[-back:]:
                binding.llama_sampler_accept(self._chain, token)
        self._sample = binding.llama_sampler_sample

    def sample(self, context: Context, index: int) -> int:
        """Draw the token after batch position `index` of the last decode, and remember it for the penalties."""
        return int(self._sample(self._chain, context.pointer, index))

    def close(self) -> None:
        if self._chain:
            self._binding.llama_sampler_free(self._chain)
            self._chain = None


def _seed(given: int | None) -> int:
    """32 bits, never the one that llama.cpp reads as `random`."""
    return (int.from_bytes(os.urandom(4)) if given is None or given < 0 else given) & _SEED_MASK
