"""What test_verifiers_family.py runs in a Python that has verifiers: prints one JSON table of what episodes gave."""

import json
from concurrent.futures import ThreadPoolExecutor

from kgym.envs.spec import EnvSpec
from kgym.errors import KgymError
from kgym.types import Segment

LIMITS = {"workers": 1, "deadline_s": 30}


def setup(kind, **settings):
    return EnvSpec(
        "verifiers:toy-turns", "train", {"args": {"kind": kind}, "verifier_limits": LIMITS, **settings}
    ).setup()


def row(found, answer):
    return next(i for i in range(found.source.size) if json.loads(found.problem(i).gold)["answer"] == answer)


def play(found, index, *turns):
    """Play an episode; return its replies, its end and its verdict."""
    episode = found.start(index, 0)
    for turn in turns:
        if not episode.ended:
            found.extend([episode], [Segment(turn, finish_reason="stop")])
    found.settle([episode])
    replies = [list(observation.message) for observation in episode.observations]
    verdict = (
        None if episode.verdict is None else [episode.verdict.label, episode.verdict.reason, episode.verdict.partial]
    )
    return [replies, "terminated" if episode.terminated else "truncated" if episode.truncated else "open", verdict]


def refusal(kind, *turns):
    try:
        found = setup(kind)
        return play(found, row(found, "40"), *turns)
    except KgymError as error:
        return str(error)


def main():
    guess, tools, hermes = setup("guess"), setup("tools"), setup("tools", format="hermes")
    number = row(guess, "40")
    square = row(tools, "12100")
    with ThreadPoolExecutor(8) as pool:
        at_once = list(pool.map(lambda _: play(guess, number, "50", "30", "40"), range(8)))
    print(
        json.dumps(
            {
                "budgets": [guess.budgets.max_turns, tools.budgets.max_turns],
                "guess": play(guess, number, "50", "30", "40"),
                "at_once": all(one == at_once[0] for one in at_once),
                "odd": play(guess, number, "none", "40"),
                "spent": play(guess, number, "1", "2", "3", "4"),
                "few": play(setup("guess", max_turns=2), number, "1", "2"),
                "prompts": [tools.prompt(tools.problem(square)), hermes.prompt(hermes.problem(square))],
                "tools": play(tools, square, '```square\n{"x": 110}\n```', "It is 12100"),
                "hermes": play(
                    hermes, square, '<tool_call>{"name": "square", "arguments": {"x": 110}}</tool_call>', "12100"
                ),
                "bad_calls": play(
                    hermes,
                    square,
                    '<tool_call>{"name": "root", "arguments": {}}</tool_call><tool_call>{</tool_call>',
                    '<tool_call>{"name": "square", "arguments": {}}</tool_call>',
                    '<think><tool_call>{"name": "square", "arguments": {"x": 1}}</tool_call></think> 12101',
                ),
                "fingerprints": len({tools.source.fingerprint, hermes.source.fingerprint}),
                "broken": play(setup("broken"), 0, "1", "2"),
                "random": refusal("random", "1", "2"),
                "rewritten": refusal("rewritten", "1", "2"),
            }
        )
    )


if __name__ == "__main__":
    main()
