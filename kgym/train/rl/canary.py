"""The trainer's side of the canary: its log-probabilities, with the weights that it hands over."""

from collections.abc import Sequence

from kgym.models.weights import OtherWeights
from kgym.rollout.canary import Canary, wanted
from kgym.rollout.groups import Stream
from kgym.rollout.handover import DRILL, Expected, Handover, bound_for, types_of
from kgym.train.policy import TrainedPolicy
from kgym.types import Chat, Engine, Weights


class Keeper:
    """Holds the canary of a run."""

    def __init__(self, policy: TrainedPolicy, temperature: float, max_gap_nats: float | None) -> None:
        self._policy = policy
        self._temperature = temperature
        self._max_gap_nats = max_gap_nats
        self._canary = Canary((), temperature)
        self._types: dict[str, str] = {}

    def begin(self, engine: Engine, streams: Sequence[Stream], version: int, weights: Weights) -> None:
        """Make the canary of the first prompts of the run, and test the engine: give it other weights, then its own
        again.

        Raises RunError if it did not load either of them. It has the weights of `version` afterwards.
        """
        self._canary = long = Canary.of(engine, _prompts(streams, wanted(engine)), self._temperature)
        self._types = types_of(engine)
        with self._policy.others(adapter=weights.adapter is not None):
            expected = self._expected(long, long=True)
        Handover(DRILL, OtherWeights(weights), expected).to(engine)
        self._types = types_of(engine)  # those of an adapter, if it has one now
        Handover(version, weights, self._expected(long, long=True)).to(engine)
        self._canary = long.brief()

    def handover(self, version: int, weights: Weights) -> Handover:
        """Return the weights of a version, with what proves their arrival."""
        return Handover(version, weights, self._expected(self._canary))

    def _expected(self, canary: Canary, *, long: bool = False) -> Expected | None:
        texts, bound = canary.texts, self._max_gap_nats
        if not texts:
            return None
        if bound is None:
            bound = bound_for(self._types, self._policy.dtype, self._policy.device, long=long)
        logprobs = self._policy.distributions(
            [text.ids for text in texts], [text.places for text in texts], temperature=self._temperature
        )
        return Expected(canary, logprobs, self._types, bound)


def _prompts(streams: Sequence[Stream], n: int) -> list[Chat]:
    """Return the first prompts of the environments, in turn."""
    found = []
    for index in range(n):
        for stream in streams:
            size = stream.setup.source.size
            if size is None or index < size:
                found.append(stream.setup.prompt(stream.setup.problem(index)))
    return found[:n]
