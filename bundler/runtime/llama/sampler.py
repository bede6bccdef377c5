"""The choice of the next token of one job: llama.cpp's chain, a constraint, and probabilities where asked for."""

from __future__ import annotations

from bundler.runtime.engine.interface import Chance, Drawn, Job, Matcher
from bundler.runtime.llama import chain
from bundler.runtime.llama.candidates import Candidates
from bundler.runtime.llama.context import Context
from bundler.runtime.llama.model import Model


class Sampler:
    """Draws the tokens of a job.

    A constrained token is drawn as if there were no constraint and then checked: nearly always it is allowed. Only
    where it is not, it is drawn again among the allowed ones.
    """

    def __init__(self, model: Model, job: Job, candidates: Candidates | None, context_length: int) -> None:
        """`candidates`, which the samplers of one thread share, are needed for a constraint and for probabilities."""
        self._binding = binding = model.library.binding
        self._candidates = candidates
        self._job = job
        self._matcher = job.constraint() if job.constraint else None
        self._chain, self._remembers = chain.build(model, job.sampling, job.prompt, context_length)
        self._sample = binding.llama_sampler_sample

    def sample(self, context: Context, index: int) -> int:
        """Draw the token after batch position `index` of the last decode, and remember it.

        Raises:
            BundleError: the constraint cannot be followed further.
        """
        binding, matcher = self._binding, self._matcher
        # what is drawn is remembered at once, and cannot be forgotten should it not be allowed
        before = binding.llama_sampler_clone(self._chain) if matcher is not None and self._remembers else None
        token = int(self._sample(self._chain, context.pointer, index))
        if matcher is not None:
            if not matcher.allows(token):
                if before is not None:
                    binding.llama_sampler_free(self._chain)
                    self._chain, before = before, None
                token = self._draw_allowed(context.row(index), matcher)
            matcher.accept(token)
        if before is not None:
            binding.llama_sampler_free(before)
        if self._job.likeliest is not None and self._job.on_drawn is not None and self._candidates is not None:
            self._candidates.fill(context.row(index))
            own, likeliest = self._candidates.probabilities(token, self._job.likeliest)
            self._job.on_drawn(Drawn(token, own, [Chance(*each) for each in likeliest]))
        return token

    def _draw_allowed(self, row: int, matcher: Matcher) -> int:
        assert self._candidates is not None
        self._candidates.fill(row, matcher.allowed())
        token = self._candidates.draw(self._chain)
        self._binding.llama_sampler_accept(self._chain, token)
        return token

    def close(self) -> None:
        if self._chain:
            self._binding.llama_sampler_free(self._chain)
            self._chain = None
        if self._matcher is not None:
            self._matcher.close()
            self._matcher = None
