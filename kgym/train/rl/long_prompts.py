"""The prompts of a run that leave no room for a completion: reported once, before the run where that can be known,
otherwise when one occurs.
"""

from collections.abc import Callable, Sequence

from kgym.envs.mixture import Member
from kgym.envs.rules import unasked
from kgym.rollout.groups import Played, Stream
from kgym.rollout.prompts import check_prompts, check_step_tokens, describe_long
from kgym.train.rl.validation import Validation
from kgym.types import Engine


class LongPrompts:
    """Reports each problem to `note` once."""

    def __init__(self, members: Sequence[Member], note: Callable[[str], None]) -> None:
        self._where = {member.label: f"{member.title}:{member.spec.split}" for member in members}
        self._note = note
        self._told: set[tuple[str, str]] = set()

    def check(self, engine: Engine, streams: Sequence[Stream], validation: Validation, step_tokens: int | None) -> None:
        """Look at the problems of the run. Raises ConfigError if no prompt leaves room, or if the chat template
        refuses them.
        """
        found: dict[str, dict[str, int]] = {}
        for stream in streams:
            found[self._where[stream.label]] = long = check_prompts(engine, stream.setup)
            self._told |= {(stream.label, problem_id) for problem_id in long}
        found |= validation.long_prompts(engine)
        if step_tokens is not None:
            for stream in streams:
                check_step_tokens(engine, stream.setup, step_tokens)
        for where, ids in found.items():
            if ids:
                self._note(describe_long(ids, where))

    def see(self, played: Played) -> None:
        """Look at the groups of a step: the problems of endless sources are not known beforehand."""
        for label, group in zip(played.labels, played.sampled, strict=True):
            name = (label, group.problem.id)
            if name not in self._told and unasked(group.episodes[0]):
                self._told.add(name)
                self._note(describe_long({group.problem.id: len(group.episodes[0].prompt_ids)}, self._where[label]))
