"""What test_verifiers_family.py runs in a Python that has verifiers: prints one JSON table of what was found."""

import json

from kgym.envs.spec import EnvSpec
from kgym.errors import ConfigError
from kgym.types import VerifyItem

LIMITS = {"workers": 1, "deadline_s": 20}


def setup(split="train", **args):
    return EnvSpec("verifiers:toy-sums", split, {"args": args, "verifier_limits": LIMITS}).setup()


def verdicts(found, *texts):
    items = [VerifyItem(found.problem(3).gold, text) for text in texts]
    return [[verdict.label, verdict.partial] for verdict in found.verifier.verify_many(items)]


def refusal(name, **args):
    try:
        EnvSpec(name, "train", {"args": args}).setup()
    except ConfigError as error:
        return str(error)
    return ""


def main():
    plain = setup()
    answer = json.loads(plain.problem(3).gold)["answer"]
    found = {
        "id": plain.info.id,
        "prompt": plain.prompt(plain.problem(3)),
        "sizes": [setup(split).source.size for split in ("train", "validation")],
        "own_sizes": [setup(split, held_out=7).source.size for split in ("train", "validation")],
        "verdicts": verdicts(
            plain, f"<answer>{answer}</answer>", "<answer>1</answer>", answer, "", f"<think><answer>{answer}</answer>"
        ),
        "broken": verdicts(setup(broken=True), "<answer>1</answer>"),
        "hung": verdicts(setup(endless=True), "<answer>1</answer>"),
        "unknown": refusal("verifiers:none-such"),
        "argument": refusal("verifiers:toy-sums", nope=1),
    }
    print(json.dumps(found))


if __name__ == "__main__":
    main()
