"""Sampled episodes on the terminal, for `kgym train --show N`: prompt, completion, verdict and reward.

All of it is text of a model or a data set: long text is cut in the middle, and the caller neutralises it when printing.
"""

import random
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from kgym.seeding import derive_seed

if TYPE_CHECKING:
    from kgym.types import Episode, Group

LONGEST = 1200
"""Most characters of a prompt or a completion that are shown."""
INDENT = " " * 12
"""Indentation of the lines of a text, as of other lines of a run."""


def choose(groups: "Sequence[Group]", n: int, step: int) -> "list[tuple[Episode, float]]":
    """Return n episodes of a step with their rewards after shaping, all if there are fewer.

    The choice is the same whenever the step is taken. It has its own random numbers, so it does not change the run.
    """
    found = [pair for group in groups for pair in zip(group.episodes, group.rewards, strict=True)]
    rng = random.Random(derive_seed("show", step))  # noqa: S311  (not a secret)
    return [found[place] for place in sorted(rng.sample(range(len(found)), min(n, len(found))))]


def sample_lines(episode: "Episode", reward: float, title: str) -> list[str]:
    """Return the lines that are shown of an episode."""
    prompt = [f"[{role}] {content}" if len(episode.prompt) > 1 else content for role, content in episode.prompt]
    pieces = [
        piece if isinstance(piece, str) else f"\n[{piece.message.role}] {piece.message.content}\n"
        for piece in episode.pieces
    ]
    shaped = "" if reward == episode.reward else f" (before shaping {episode.reward:g})"
    return [
        f"{title}: {episode.id}, {episode.n_tokens} tokens, {'truncated' if episode.truncated else 'ended'}",
        *_under("prompt", "\n".join(prompt)),
        *_under("completion", "".join(pieces)),
        *_under("verdict", _verdict(episode)),
        *_under("reward", f"{reward:g}{shaped}"),
    ]


def _verdict(episode: "Episode") -> str:
    verdict = episode.verdict
    if verdict is None:
        return "not judged"
    parts = [verdict.label + (f" ({verdict.reason})" if verdict.scored and verdict.reason else "")]
    parts += [f"score {verdict.partial:g}"] if verdict.partial is not None else []
    parts += [f"answer {shortened(verdict.answer, 80)}"] if verdict.answer is not None else []
    return ", ".join([*parts, f"gold {shortened(episode.problem.gold, 80)}"])


def _under(name: str, text: str) -> Iterator[str]:
    for number, line in enumerate(shortened(text).splitlines() or [""]):
        yield (INDENT if number else f"{name:<{len(INDENT)}}") + line


def shortened(text: str, longest: int = LONGEST) -> str:
    """Return a text without its middle if it is long: the answer is at the end, the beginning of the reasoning at the
    start.

    >>> shortened("abcdefghij" * 4, 20)
    'abcdefghij[... 20 characters ...]abcdefghij'
    """
    if len(text) <= longest:
        return text
    head = (longest + 1) // 2
    tail = longest - head
    return f"{text[:head]}[... {len(text) - longest:,} characters ...]{text[len(text) - tail :]}"
