"""Every data set of reasoning-gym as an environment: the checks of `kgym envs check`, Gymnasium's among them, and the
gold answers.

    PYTHONHASHSEED=0 python benchmarks/rg_sets.py [--problems 6] [NAME ...]

Prints a line for each data set and what does not hold. Exit status 1 if that is something that KNOWN does not list;
docs/bridges.md has the list with the reasons.
"""

import argparse
import sys
import time

from kgym.envs.spec import EnvSpec
from kgym.registry import registry
from kgym.testing.envs import findings

SETTINGS = {
    "composite": {
        "datasets": [
            {"name": "chain_sum", "weight": 1, "config": {}},
            {"name": "spell_backward", "weight": 1, "config": {}},
        ]
    }
}
"""Options without which a data set cannot be made."""
KNOWN: dict[str, tuple[str, ...]] = {
    "boxnet": ("gold answers", "episode", "vector"),
    "rush_hour": ("gold answers", "episode", "vector"),
}
"""Checks that a data set does not pass."""
LIMITS = {"deadline_s": 120, "workers": 2, "memory_gib": 2}


def check(name: str, problems: int) -> dict[str, str]:
    """Return what does not hold, by check."""
    spec = EnvSpec(f"rg:{name}", "train", {**SETTINGS.get(name, {}), "verifier_limits": LIMITS, "size": 200})
    return {what: f"{split}: {trouble}" for split, what, trouble in findings(spec, sample=problems) if trouble}


def main() -> int:
    """Check the data sets."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME")
    parser.add_argument("--problems", type=int, default=6, help="problems of each split that are looked at")
    args = parser.parse_args()
    names = args.names or registry().create("family", "rg").members()
    unexpected = 0
    for name in names:
        begin = time.perf_counter()
        troubles = check(name, args.problems)
        unexpected += set(troubles) != set(KNOWN.get(name, ()))
        said = "; ".join(f"{what}: {trouble[:160]}" for what, trouble in troubles.items()) or "ok"
        print(f"{name:30} {time.perf_counter() - begin:6.1f} s  {said}", flush=True)
    print(f"{len(names)} data sets, {unexpected} with a finding that is not known or is gone")
    return 1 if unexpected else 0


if __name__ == "__main__":
    sys.exit(main())
