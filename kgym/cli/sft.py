"""`kgym sft`: supervised fine-tuning of a model on worked solutions, of an environment or from a file, or on stored completions."""

import argparse
import hashlib
from pathlib import Path
from typing import TYPE_CHECKING

from kgym.cli import supervised
from kgym.cli.following import how_to_score

if TYPE_CHECKING:
    from kgym.envs.spec import EnvSpec
    from kgym.train.supervised.sft import Examples


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    parser.add_argument("--model", metavar="NAME|DIR|HUB_ID", default="nano", help="model to start from (default: nano)")
    data = parser.add_mutually_exclusive_group(required=True)
    data.add_argument("--env", metavar="NAME", help="learn the worked solutions of an environment's train split")
    data.add_argument(
        "--data", metavar="FILE.jsonl", type=Path, help='learn lines of {"question", "solution"}; "prompt" may stand for "question"'
    )
    data.add_argument(
        "--episodes", metavar="RUN", type=Path, help="learn the correct completions that a run of kgym train or kgym eval has stored"
    )
    supervised.configure(parser, key="sft", steps=1000, batch=64, lr="1e-3")


def run(args: argparse.Namespace) -> int:
    """Fine-tune, and say where the model lies."""
    from kgym.envs.spec import EnvSpec
    from kgym.models.names import resolve_model
    from kgym.options import validated

    values = supervised.settings(args, "env", "sft")
    from kgym.train.supervised.sft import SFTOptions, finetune

    options = validated(SFTOptions, values["sft"])
    model = resolve_model(args.model)
    sampled = supervised.can_be_sampled(model)
    spec = supervised.asked_spec(args, values)
    examples, data, facts = _examples(args, spec, options.seed)
    with supervised.interruptible(args):
        summary = finetune(
            model,
            examples,
            args.out,
            options,
            data=data,
            facts=facts,
            dtype=args.dtype,
            device=args.device,
            resume=args.resume,
            report=supervised.reporter(args, options, "sft", "a token"),
        )
    following = how_to_score(str(summary["model"]), (spec or EnvSpec("aime")).with_split("validation")) if sampled else ""
    return supervised.conclude(args, summary, following)


def _examples(args: argparse.Namespace, spec: "EnvSpec | None", seed: int) -> tuple["Examples", str, dict[str, str]]:
    """Return the examples, a text that tells them from others, and what is put around them."""
    from kgym.train.supervised.fit import shuffled
    from kgym.train.supervised.sft import read_examples, sampled_examples, solved_examples

    if args.episodes is not None:
        sampled = sampled_examples(args.episodes)
        digest = hashlib.sha256(repr([(one.problem_id, one.token_ids) for one in sampled]).encode()).hexdigest()
        return shuffled(sampled, seed=seed), f"sha256:{digest}", {}
    if spec is None:
        rows = read_examples(args.data)
        return shuffled(rows, seed=seed), f"sha256:{hashlib.sha256(args.data.read_bytes()).hexdigest()}", {}
    setup = spec.setup()
    data = f"{spec.name} {setup.source.fingerprint}"
    return solved_examples(setup, seed=seed), data, {"prompt_sha256": setup.prompt_sha256}
