"""What a slow verifier adds to a step: each completion judged as it ends, against all of them after the last.

    python benchmarks/judging.py        16 problems x 4 attempts, a verifier that sleeps 2 s, 64 workers
    python benchmarks/judging.py --seconds 0.5 --workers 8

Both sides are measured in one run. They generate the same completions with the built-in model and judge them with
the same pool of workers. The first plays them as every command of kgym does. The second asks the verifier for all
verdicts at once, after the last completion.
"""

import argparse
import json
import math
import sys
import time
from pathlib import Path
from typing import Any

PLUGIN = """
import time
from kgym.hookspecs import VerifierInfo, hookimpl
from kgym.options import Options
from kgym.types import Verdict

kgym_api = 1


@hookimpl
def kgym_components():
    yield VerifierInfo(name="sleepy", target="sleepy:Sleepy", summary="takes its time")


class Sleepy:
    class Options(Options):
        seconds: float = 2.0

    def __init__(self, options):
        self.seconds = options.seconds

    def verify_many(self, items):
        verdicts = []
        for _ in items:
            time.sleep(self.seconds)
            verdicts.append(Verdict("correct"))
        return verdicts
"""


def main() -> None:
    """Measure and print a table and one line of JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--problems", type=int, default=16)
    parser.add_argument("--attempts", type=int, default=4)
    parser.add_argument("--seconds", type=float, default=2.0)
    parser.add_argument("--workers", type=int, default=64)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--folder", type=Path, default=Path("runs/benchmark-judging"))
    args = parser.parse_args()
    args.folder.mkdir(parents=True, exist_ok=True)
    (args.folder / "sleepy.py").write_text(PLUGIN)

    from kgym.envs.spec import EnvSpec
    from kgym.models.names import resolve_model
    from kgym.registry import configure
    from kgym.rollout.engine import make_engine
    from kgym.rollout.episodes import play_groups
    from kgym.types import Sampling, Verdict, VerifyItem

    configure([str(args.folder / "sleepy.py")])
    setups = {
        name: EnvSpec(
            "aime",
            settings={
                "difficulty": 3,
                "verifier": "sleepy",
                "verifier_options": {"seconds": seconds},
                "verifier_limits": {"workers": args.workers, "deadline_s": 60 + args.seconds},
            },
        ).setup()
        for name, seconds in (("slow", args.seconds), ("instant", 0.0))
    }
    # a few at a time, as with long completions
    engine = make_engine("transformers", {"max_batch": 16}, resolve_model("nano"))

    def played(setup: Any, seed: int) -> tuple[float, int]:
        begin = time.perf_counter()
        groups = play_groups(
            setup,
            engine,
            range(args.problems),
            attempts=range(args.attempts),
            sampling=Sampling(),
            seed_parts=(seed, "bench"),
        )
        assert all(
            episode.verdict == Verdict("correct")
            for group in groups
            for episode in group.episodes
            if episode.terminated
        )
        return time.perf_counter() - begin, sum(episode.terminated for group in groups for episode in group.episodes)

    n = args.problems * args.attempts
    for setup in setups.values():  # the workers start
        setup.verifier.verify_many([VerifyItem("1", "1")] * args.workers)
    rows = []
    for seed in range(args.rounds):
        generate_s, n_judged = played(setups["instant"], seed)
        meanwhile_s, _ = played(setups["slow"], seed)
        begin = time.perf_counter()
        setups["slow"].verifier.verify_many([VerifyItem("1", "1")] * n_judged)
        after_s = generate_s + time.perf_counter() - begin
        rows.append({"generate_s": generate_s, "meanwhile_s": meanwhile_s, "after_s": after_s, "judged": n_judged})
        print(
            f"{n} completions in {generate_s:5.1f} s | judged meanwhile {meanwhile_s:5.1f} s "
            f"(+{meanwhile_s - generate_s:.1f}) | "
            f"judged afterwards {after_s:5.1f} s (+{after_s - generate_s:.1f}) | one by one "
            f"{generate_s + n_judged * args.seconds:.0f} s"
        )
    added = [row["meanwhile_s"] - row["generate_s"] for row in rows]
    after = [row["after_s"] - row["generate_s"] for row in rows]
    summary = {
        "seconds": args.seconds,
        "workers": args.workers,
        "added_s": sorted(added)[len(added) // 2],
        "rows": rows,
    }
    summary["ratio_of_added"] = math.fsum(after) / math.fsum(added)
    json.dump(summary, sys.stdout)
    print()


if __name__ == "__main__":
    main()
