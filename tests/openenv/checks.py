"""What test_openenv_family.py runs in a Python that has OpenEnv: prints one JSON table of what was found."""

import json
import re
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

from kgym.envs.responding import reply_of
from kgym.envs.rules import item_of
from kgym.envs.spec import EnvSpec
from kgym.errors import KgymError
from kgym.types import Episode, Message, Observation, Segment

LIMITS = {"workers": 1, "deadline_s": 60}


def setup(url, split="train", **options):
    return EnvSpec(f"openenv:{url}", split, {"verifier_limits": LIMITS, **options}).setup()


def played(found, *turns, index=0):
    """Return an episode with these turns, and the last reply: None at its end."""
    problem = found.source[index]
    episode, said = Episode(problem, 0, found.prompt(problem)), None
    for turn in turns:
        if isinstance(said, Message):
            episode.pieces.append(Observation(said))
        episode.pieces.append(Segment(turn))
        said = reply_of(found.responder, episode)
    return episode, said


def verdict(found, *turns, index=0):
    (value,) = found.verifier.verify_many([item_of(played(found, *turns, index=index)[0])])
    return [value.label, value.partial]


def refusal(make):
    try:
        make()
    except KgymError as error:
        return str(error)
    return ""


def main(url, unseeded, hidden, single):
    plain = setup(url)
    right = sum(map(int, re.findall(r"\d+", plain.source[0].question)))
    number, near, wrong = str(right), str(right - 1), str(right + 50)
    said = json.dumps({"text": number})
    by_json = setup(url, action="json")
    alone = setup(single)
    with ThreadPoolExecutor(4) as pool:
        questions = list(pool.map(lambda index: alone.source[index].question, range(8)))
    altered = item_of(played(plain, near, number)[0])
    altered = replace(altered, turns=(altered.turns[0], Message("user", "something else")))
    item = item_of(played(plain, near)[0])
    found = {
        "id": plain.info.id,
        "questions": [
            [setup(url, split).source[index].question for index in range(200)] for split in ("train", "validation")
        ],
        "again": plain.source[0] == setup(url).source[0],
        "hints": [played(plain, near)[1], played(plain, near, number)[1], played(plain, " ")[1]],
        "verdicts": {
            "right": verdict(plain, number),
            "second": verdict(plain, near, number),
            "sum": verdict(plain, near, near),
            "last": verdict(setup(url, reward="last"), near, wrong),
            "scaled": verdict(setup(url, full_reward=2.0), number),
            "reasoned": verdict(plain, f"<think>{wrong}</think> {number}"),
            "skipped": verdict(plain, " ", number),
            "silent": verdict(plain, ""),
            "json": verdict(by_json, f"I say {said}."),
            "no_json": verdict(by_json, number),
            "refused": verdict(by_json, '{"nope": 1}'),
        },
        "crash": [getattr(played(plain, "crash")[1], "label", ""), verdict(plain, "crash")[0]],
        "altered": plain.verifier.verify_many([altered])[0].label,
        "json_shown": setup(url, observation="left").source[0].question,
        "single": questions == [alone.source[index].question for index in range(8)],
        "unseeded": refusal(lambda: setup(unseeded)),
        "hidden": refusal(lambda: [played(setup(hidden), "1", "1", index=index) for index in range(10)]),
        "no_field": refusal(lambda: setup(url, action="nope")),
        "no_shown": refusal(lambda: setup(url, observation="nope")),
        "exits": getattr(played(plain, "exit")[1], "label", ""),
        "gone": plain.verifier.verify_many([item])[0].label,
        "gone_problem": refusal(lambda: plain.source[300]),
    }
    print(json.dumps(found))


if __name__ == "__main__":
    main(*sys.argv[1:])
