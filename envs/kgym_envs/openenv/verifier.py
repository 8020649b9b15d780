"""The verifier `openenv`: the rewards of an episode. The episode is played again on its server, by a process that can
be killed.

The score is the sum of the rewards, or the last of them, divided by `env.full_reward` and kept within 0 and 1:

    1                correct
    from 0 to 1      wrong, with the score as `partial`, which is the reward

If the server cannot be reached or the environment fails, the completion is unscored.
"""

from collections.abc import Sequence

from kgym.errors import DataError
from kgym.options import Options
from kgym.types import Verdict, VerifyItem
from kgym_envs.openenv.server import UNLIKE, Record

FULL = 1 - 1e-9


class OpenEnvRewards:
    """Follows `kgym.types.Verifier`."""

    def __init__(self, options: Options) -> None:
        self.options = options

    @classmethod
    def preload(cls) -> None:
        """Load the package once, before workers are forked."""
        from openenv.core.generic_client import GenericEnvClient  # noqa: PLC0415  (heavy, and optional)

        assert GenericEnvClient

    def verify_many(self, items: Sequence[VerifyItem]) -> list[Verdict]:
        """Return one verdict for each item."""
        return [judge(item) for item in items]


def judge(item: VerifyItem) -> Verdict:
    """Return the verdict on an episode. Raises as `Server.play` does, and DataError if the episode does not take the
    same course again.
    """
    record = Record.read(item.gold)
    said = [turn.content for turn in item.turns if turn.role == "assistant"] + [item.response]
    if all(record.server.action_of(turn) is None for turn in said):
        return Verdict("no_answer", "no_action")
    played = record.server.play(record.seed, said)
    replies = [turn.content for turn in item.turns if turn.role != "assistant"]
    if not played.follows(item.question or played.first, replies):
        raise DataError(UNLIKE)
    if not played.rewards:
        return Verdict("no_answer", "no_action")
    reward = sum(played.rewards) if record.reward == "sum" else played.rewards[-1]
    score = min(1.0, max(0.0, reward / record.full))
    if score >= FULL:
        return Verdict("correct", "reward")
    return Verdict("wrong", "reward", partial=score)
