"""The contract of a shaper, as checks.

from kgym.testing.shapers import check_shaper

@pytest.mark.parametrize("seed", range(20))
def test_contract(seed):
    check_shaper("mine", seed=seed)
"""

import copy
import math
import random
from collections.abc import Mapping, Sequence
from typing import Any

from kgym.hookspecs import ShaperInfo
from kgym.testing.report import Report, maker, name_of, shown
from kgym.types import Episode, Group, Message, Problem, Segment, Shaper, Verdict

STEPS = (1, 2, 10**6)
"""Steps within and after a warm-up."""


def random_group(rng: random.Random, size: int) -> Group:
    """Return a group with completions of several lengths: right, wrong, without an answer, unscored, cut short,
    looping, without a token.
    """
    problem = Problem(id=f"test/{rng.randrange(1000)}", question="What is 1+1?", gold="2", level=rng.randint(0, 10))
    episodes = []
    for attempt in range(size):
        text = rng.choice(["", "2", "<think>1+1</think> 2", "<think>", r"\boxed{2}", "2 " * rng.randint(1, 50)])
        truncated = rng.random() < 0.25
        segment = Segment(
            text,
            token_ids=range(len(text)),
            engine_logprobs=[-1.0] * len(text),
            prompt_ids=(1, 2),
            finish_reason=rng.choice(["length", "repetition"]) if truncated else "stop",
        )
        verdict = rng.choice(
            [Verdict("correct"), Verdict("wrong"), Verdict("no_answer"), Verdict("unscored", "timeout")]
        )
        reward = float(verdict.score) if verdict.scored else 0.0
        prompt = (Message("user", problem.question),)
        episodes.append(
            Episode(problem, attempt, prompt, [segment], verdict, reward, not truncated, truncated, verdict.scored)
        )
    return Group(problem, episodes, [episode.reward for episode in episodes])


def check_shaper(subject: Shaper | type | str, *, options: Mapping[str, Any] | None = None, seed: int = 0) -> Report:
    """Check a shaper, by name, class or instance, on random groups. Raises ConformanceError with every failure.

    1. It returns one finite number for each episode.
    2. It does not change the group and the rewards that it is given.
    3. The same group at the same step gives the same rewards, for any steps in between.
    4. The order of the episodes changes nothing.
    """
    report = Report(ShaperInfo.kind, name_of(subject))
    shaper: Shaper = maker(ShaperInfo.kind, subject, options)()
    rng = random.Random(seed)  # noqa: S311  (test data)
    groups = [random_group(rng, size) for size in (1, 2, 3, 8)]
    cases = [(group, step) for group in groups for step in STEPS]
    with report.check("a finite number for each episode"):
        for group, step in cases:
            shaped = list(shaper(copy.deepcopy(group), list(group.rewards), step))
            assert len(shaped) == len(group.episodes), f"{len(shaped)} rewards for {len(group.episodes)} episodes"
            assert all(math.isfinite(float(reward)) for reward in shaped), f"the rewards are {shown(shaped)}"
    with report.check("the group and its rewards stay as they are"):
        for group, step in cases:
            given, rewards = copy.deepcopy(group), list(group.rewards)
            shaper(given, rewards, step)
            assert given == group, "it changes the group"
            assert rewards == group.rewards, "it changes the rewards that it is given; return new ones"
    with report.check("the same again"):
        first = [_shaped(shaper, group, step) for group, step in cases]
        again = [_shaped(shaper, group, step) for group, step in reversed(cases)][::-1]
        assert first == again, "the same group gets other rewards the second time"
    with report.check("the order of the episodes"):
        for group, step in cases:
            backwards = Group(group.problem, group.episodes[::-1], group.rewards[::-1])
            pairs = zip(_shaped(shaper, group, step), _shaped(shaper, backwards, step)[::-1], strict=True)
            assert all(math.isclose(one, other, abs_tol=1e-9) for one, other in pairs), "the order changes the rewards"
    return report.finish()


def _shaped(shaper: Shaper, group: Group, step: int) -> Sequence[float]:
    return [float(reward) for reward in shaper(copy.deepcopy(group), list(group.rewards), step)]
