r"""kgym eval against lm-evaluation-harness: the same model, the same prompts, greedy, in one run on one machine.

    python benchmarks/harness.py                     makes a virtual environment for lm-eval (needs a package index)
    python benchmarks/harness.py --peer-python PY    uses an interpreter that has lm-eval 0.4.13 with transformers
    python benchmarks/harness.py --problems 500 --batch-sizes 1 64

The problems are the first of the validation split of `aime`. lm-eval gets them as its own task over a local JSON
file, with the chat template of the model, the same token budget, and a scorer that compares the integer in the last
box; kgym judges by its own verifier. Both load the model before the clock starts and take the better of two passes.
lm-eval is measured with its default batch size, 1, and with others; kgym has its defaults. Seconds of the processor
are printed with those of the clock, which are less reliable on a shared machine.
"""

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
import venv
from pathlib import Path

REQUIREMENTS = ("lm_eval==0.4.13", "accelerate")
PASSES = 2

PEER = """
import json, logging, os, sys, time
os.environ |= {"HF_HUB_OFFLINE": "1", "HF_DATASETS_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false"}
logging.disable(logging.WARNING)
request = json.loads(sys.stdin.read())
import torch
torch.set_num_threads(request["threads"])
import lm_eval
from lm_eval.models.huggingface import HFLM
from lm_eval.tasks import TaskManager

manager = TaskManager(include_path=request["folder"], include_defaults=False)
found = []
for batch_size in request["batch_sizes"]:
    model = HFLM(pretrained=request["model"], dtype="float32", device="cpu", batch_size=batch_size)
    def run(limit=None):
        begin, cpu = time.perf_counter(), time.process_time()
        results = lm_eval.simple_evaluate(
            model, tasks=["kgym_rows"], task_manager=manager, apply_chat_template=True, bootstrap_iters=0, \
log_samples=True, limit=limit,
            verbosity="ERROR",
        )
        return time.perf_counter() - begin, time.process_time() - cpu, results
    run(limit=8)
    seconds, cpu, results = min((run() for _ in range(request["passes"])), key=lambda found: found[0])
    samples = sorted(results["samples"]["kgym_rows"], key=lambda sample: sample["doc_id"])
    found.append({
        "batch_size": batch_size,
        "s": seconds,
        "cpu_s": cpu,
        "score": results["results"]["kgym_rows"]["exact_match,none"],
        "texts": [sample["resps"][0][0] for sample in samples],
    })
print("\\n" + json.dumps({"version": lm_eval.__version__, "runs": found}))
"""

TASK = """task: kgym_rows
dataset_path: json
dataset_kwargs:
  data_files:
    test: {rows}
test_split: test
output_type: generate_until
doc_to_text: "{{{{prompt}}}}"
doc_to_target: "{{{{gold}}}}"
process_results: !function scorer.process_results
generation_kwargs:
  until: ["{end}"]
  do_sample: false
  max_gen_toks: {max_tokens}
metric_list:
  - metric: exact_match
    aggregation: mean
    higher_is_better: true
"""

SCORER = r"""
import re

def process_results(doc, results):
    boxes = re.findall(r"\\boxed\{\s*(\d{1,9})\s*\}", results[0])
    return {"exact_match": float(bool(boxes) and int(boxes[-1]) == int(doc["gold"]))}
"""


def main() -> int:
    """Run both, and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="nano", help="name or folder (default: nano)")
    parser.add_argument("--problems", type=int, default=200)
    parser.add_argument("--threads", type=int, default=1, help="threads of torch for both harnesses")
    parser.add_argument(
        "--batch-sizes", type=int, nargs="+", default=[1, 16, 64], help="batch sizes of lm-eval, whose default is 1"
    )
    parser.add_argument("--peer-python", type=Path, help="interpreter that has lm-eval")
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        python = args.peer_python or peer_environment(folder)
        ours, rows = run_kgym(args.model, args.problems, args.threads)
        theirs = run_peer(python, folder, rows, ours, args)
    for run in (ours, *theirs["runs"]):
        run["samples_per_s"] = len(rows) / run["s"]
        run["kgym_times_faster"], run["kgym_times_less_cpu"] = run["s"] / ours["s"], run["cpu_s"] / ours["cpu_s"]
    figures, ratios = ("samples_per_s", "s", "cpu_s", "score"), ("kgym_times_faster", "kgym_times_less_cpu")
    report = {
        "machine": f"{os.cpu_count()} cores, {platform.machine()}, Python {platform.python_version()}, threads "
        f"{args.threads}",
        "problems": len(rows),
        "max_tokens": ours["max_tokens"],
        "same_answers": min(
            sum(one == two for one, two in zip(ours["texts"], run["texts"], strict=True)) for run in theirs["runs"]
        ),
        "kgym": {key: ours[key] for key in figures},
        f"lm-eval {theirs['version']}": [
            {key: run[key] for key in ("batch_size", *figures, *ratios)} for run in theirs["runs"]
        ],
    }
    if args.json:
        print(json.dumps(report, indent=2))
    else:
        show(report)
    return 0


def run_kgym(model: str, problems: int, threads: int) -> tuple[dict, list[dict]]:
    """Score by the harness of kgym; return the result, and the rows that were asked."""
    import torch

    from kgym.envs.spec import EnvSpec
    from kgym.models.names import resolve_model
    from kgym.rollout.engine import make_engine
    from kgym.score.harness import Evaluation
    from kgym.types import Sampling

    torch.set_num_threads(threads)
    engine = make_engine("transformers", {"device": "cpu"}, resolve_model(model))
    greedy, validation = Sampling(temperature=0.0), EnvSpec("aime", "validation")
    Evaluation(validation, problems=8, sampling=greedy).run(engine)
    best = None
    for _ in range(PASSES):
        evaluation, kept = Evaluation(validation, problems=problems, sampling=greedy), Kept()
        begin, cpu_begin = time.perf_counter(), time.process_time()
        result = evaluation.run(engine, store=kept)
        seconds, cpu = time.perf_counter() - begin, time.process_time() - cpu_begin
        if best is None or seconds < best["s"]:
            end = engine.tokenizer.eos_token
            places = {evaluation.source[index].id: index for index in evaluation.indices}
            answers = sorted(kept.rows, key=lambda row: places[row["problem_id"]])
            texts = [row["text"].removesuffix(end) for row in answers]
            best = {
                "s": seconds,
                "cpu_s": cpu,
                "score": result.accuracy,
                "texts": texts,
                "end": end,
                "model": resolve_model(model),
            }
            best["max_tokens"] = result.facts["max_tokens"]
    rows = []
    for row in answers:
        (message,) = row["prompt"]  # one user message: what lm-eval renders by the same template
        rows.append({"prompt": message["content"], "gold": row["gold"]})
    return best, rows


class Kept:
    """A store in memory."""

    def __init__(self) -> None:
        self.rows: list = []

    def add(self, answers) -> None:
        """Keep them."""
        self.rows += answers.to_pylist()

    def count(self, usage: dict) -> None:
        """Leave out what the engine counts."""

    def frame(self) -> None:
        """Nothing was there before."""


def run_peer(python: Path, folder: Path, rows: list[dict], ours: dict, args: argparse.Namespace) -> dict:
    """Score by lm-eval; return its runs with their texts."""
    (folder / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (folder / "tasks").mkdir()
    task = TASK.format(rows=folder / "rows.jsonl", max_tokens=ours["max_tokens"], end=ours["end"])
    (folder / "tasks" / "kgym_rows.yaml").write_text(task)
    (folder / "tasks" / "scorer.py").write_text(SCORER)
    request = {
        "folder": str(folder / "tasks"),
        "model": ours["model"],
        "threads": args.threads,
        "batch_sizes": args.batch_sizes,
    }
    environ = os.environ | {"HF_HOME": str(folder / "cache"), "OMP_NUM_THREADS": str(args.threads)}
    done = subprocess.run(
        [python, "-c", PEER],
        input=json.dumps(request | {"passes": PASSES}),
        env=environ,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        sys.exit(f"lm-eval ended with {done.returncode}:\n{done.stderr[-3000:]}")
    return json.loads(done.stdout.strip().splitlines()[-1])


def peer_environment(folder: Path) -> Path:
    """Make a virtual environment with lm-eval and the torch and transformers of this one; return its interpreter."""
    import torch
    import transformers

    venv.create(folder / "peer", with_pip=True)
    python = folder / "peer" / "bin" / "python"
    wanted = [*REQUIREMENTS, f"torch=={torch.__version__}", f"transformers=={transformers.__version__}"]
    subprocess.run(
        [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *wanted],
        check=True,
        stdout=sys.stderr,
    )
    return python


def show(report: dict) -> None:
    """Print the table."""
    print(f"{report['problems']} problems, greedy, up to {report['max_tokens']} tokens; {report['machine']}\n")
    print(f"{'':<32}{'samples/s':>10}{'seconds':>9}{'of CPU':>8}{'score':>8}   kgym is")
    for name, runs in report.items():
        for run in [runs] if name == "kgym" else runs if name.startswith("lm-eval") else []:
            label = name + (f", batch size {run['batch_size']}" if "batch_size" in run else "")
            line = f"{label:<32}{run['samples_per_s']:>10.1f}{run['s']:>9.1f}{run['cpu_s']:>8.1f}{run['score']:>8.1%}"
            if "batch_size" in run:
                line += (
                    f"   {run['kgym_times_faster']:.1f} times faster, "
                    f"{run['kgym_times_less_cpu']:.1f} times by CPU time"
                )
            print(line)
    print(f"\nthe same completion for {report['same_answers']} of {report['problems']} problems")


if __name__ == "__main__":
    sys.exit(main())
