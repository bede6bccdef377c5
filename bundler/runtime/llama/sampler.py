"""The choice of the next token of one job: llama.cpp's chain, a constraint, and probabilities where asked for."""

from __future__ import annotations

from collections.abc import Callable

from bundler.runtime.engine.interface import Chance, Drawn, Job, Matcher
from bundler.runtime.llama import chain
from bundler.runtime.llama.candidates import Candidates
from bundler.runtime.llama.context import Context
from bundler.runtime.llama.likeliest import Likeliest
from bundler.runtime.llama.model import Model


class Sampler:
    """Draws the tokens of a job.

    A constrained token is drawn as if there were no constraint and then checked: nearly always it is allowed. Only
    where it is not, it is drawn again among the allowed ones.
    """

    def __init__(
        self,
        model: Model,
        job: Job,
        likeliest: Likeliest,
        candidates: Callable[[], Candidates],
        context_length: int,
    ) -> None:
        """`likeliest` and `candidates` are shared by the samplers of one thread; the latter are asked for where all
        tokens matter: where one is drawn again, and for probabilities."""
        self._binding = model.library.binding
        self._likeliest = likeliest
        self._candidates = candidates
        self._job = job
        self._matcher = job.constraint() if job.constraint else None
        self._chain, self._remembers, self._wanted = chain.build(model, job.sampling, job.prompt, context_length)

    def sample(self, context: Context, index: int) -> int:
        """Draw the token after batch position `index` of the last decode, and remember it.

        Raises:
            BundleError: the constraint cannot be followed further.
        """
        if self._matcher is None:
            token = self._draw(context, index)
        else:
            token = self._sample_allowed(context, index, self._matcher)
        if self._job.likeliest is not None and self._job.on_drawn is not None:
            candidates = self._candidates()
            candidates.fill(context.row(index))
            own, likeliest = candidates.probabilities(token, self._job.likeliest)
            self._job.on_drawn(Drawn(token, own, [Chance(*each) for each in likeliest]))
        return token

    def _sample_allowed(self, context: Context, index: int, matcher: Matcher) -> int:
        binding = self._binding
        # what is drawn is remembered at once, and cannot be forgotten should it not be allowed
        spare = binding.llama_sampler_clone(self._chain) if self._remembers else None
        try:
            token = self._draw(context, index)
            if not matcher.allows(token):
                candidates, row = self._candidates(), context.row(index)
                if spare is not None:
                    self._chain, spare = spare, self._chain
                    # its next random number is the one that drew the forbidden token, so it has to be spent as well
                    candidates.fill(row)
                    candidates.draw(self._chain)
                candidates.fill(row, matcher.allowed())
                token = candidates.draw(self._chain)
                binding.llama_sampler_accept(self._chain, token)
            matcher.accept(token)
        finally:
            if spare is not None:
                binding.llama_sampler_free(spare)
        return token

    def _draw(self, context: Context, index: int) -> int:
        """Draw a token and remember it."""
        if self._wanted is not None:
            token = self._likeliest.draw(self._chain, context.row(index), self._wanted)
            if token is not None:
                if self._remembers:
                    self._binding.llama_sampler_accept(self._chain, token)
                return token
        return int(self._binding.llama_sampler_sample(self._chain, context.pointer, index))

    def close(self) -> None:
        if self._chain:
            self._binding.llama_sampler_free(self._chain)
            self._chain = None
        if self._matcher is not None:
            self._matcher.close()
            self._matcher = None
