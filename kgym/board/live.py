"""What a live page shows of runs in progress: how far they are, their curves, what is wrong, the newest completions.

Only what a page draws is sent, as plain values. It is read from the files of a run alone, so a viewer does not disturb
the run. The lock of a run in progress is not touched: Linux lists the process that holds it.
"""

import hashlib
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kgym.board.view import SERIES, names_of
from kgym.errors import KgymError
from kgym.folders import numbered
from kgym.runs.answers import answer_files, read_answers
from kgym.runs.folder import RunFolder
from kgym.runs.manifest import KIND, adapter_of, kind_of
from kgym.runs.metrics import read_metrics
from kgym.score.results import counted_score
from kgym.train.rl.diagnosis import diagnose

LOCKS = Path("/proc/locks")
SHOWN: dict[str, tuple[str, str]] = {
    "reward/mean": ("Reward in training", "mean"),
    "eval/accuracy": ("Validation", "%"),
    "episode/correct_frac": ("Correct in training", "%"),
    **SERIES,
    "episode/truncated_frac": ("Truncated", "%"),
    "verdict/unscored_frac": ("Unscored", "%"),
    "speed/tokens_per_s": ("Speed", "tokens/s"),
}
"""Metrics that get a picture, with heading and unit; every other accuracy gets one too. A metric in `%` is stored as a
share.
"""
PARTS = ("time/rollout_s", "time/train_s", "time/eval_s", "time/bench_s")
"""Parts of a step, in seconds."""
MOST_COMPLETIONS = 4
MOST_CHARACTERS = 4000
"""Longest text of a completion; of a longer one the end is kept."""


@dataclass(frozen=True)
class Progress:
    """How far a run is."""

    what: str
    state: str
    """`running`, `finished`, `not running`, or "" if the system does not tell."""
    done: int
    total: int
    unit: str
    """Unit of `done` and `total`: `steps` or `completions`."""


def seen(folders: Sequence[Path]) -> str:
    """Return a text that changes when a file of one of the runs changes, or when a run begins or ends."""
    facts = []
    for folder in folders:
        files = [folder / name for name in ("manifest.json", "metrics.jsonl", "summary.json", "results.json")]
        for file in [*files, *answer_files(folder)[-1:]]:
            if file.is_file():
                stat = file.stat()
                facts.append(f"{file}:{stat.st_mtime_ns}:{stat.st_size}")
        facts.append(f"{folder}:{_held(folder)}")
    return hashlib.sha256("\n".join(facts).encode()).hexdigest()[:16]


def state_of(folders: Sequence[Path]) -> dict[str, Any]:
    """Return what the page shows. A run that cannot be read has its error instead."""
    before = seen(folders)  # what is written while the files are read is new at the next call
    names = names_of(folders)
    runs = []
    for folder in folders:
        try:
            runs.append({"name": names[folder]} | _run(folder))
        except (KgymError, OSError) as error:
            runs.append({"name": names[folder], "error": str(error)})
    keys = dict.fromkeys(key for run in runs for key in run.get("curves", ()))
    ordered = [key for key in SHOWN if key in keys] + [key for key in keys if key not in SHOWN]
    titles = {key: SHOWN.get(key, (key.removesuffix("/accuracy"), "%")) for key in ordered}
    return {
        "seen": before,
        "runs": runs,
        "charts": [{"key": key, "title": t, "unit": u} for key, (t, u) in titles.items()],
    }


def _run(folder: Path) -> dict[str, Any]:
    manifest = RunFolder(folder).read_manifest()
    lines = read_metrics(folder / "metrics.jsonl")
    progress = _evaluation(folder, manifest) if kind_of(manifest) == KIND else _training(folder, manifest, lines)
    return {
        **vars(progress),
        "facts": _facts(folder, manifest, lines),
        "curves": _curves(lines),
        "hints": _hints(manifest, lines),
        "completions": _completions(folder, manifest),
    }


def _training(folder: Path, manifest: Mapping[str, Any], lines: Sequence[Mapping[str, float]]) -> Progress:
    config = manifest["config"]
    how = config["algo"]["name"] if "algo" in config else kind_of(manifest)
    where = " and ".join(manifest["specs"]) or "examples"
    done, total = (int(lines[-1]["step"]) if lines else 0), int(config["train"]["steps"])
    ended = (folder / "summary.json").is_file() and done >= total
    what = f"{config['model']} trained on {where} with {how}"
    return Progress(what, _state(folder, ended=ended), done, total, "steps")


def _evaluation(folder: Path, manifest: Mapping[str, Any]) -> Progress:
    request = manifest["request"]
    done = sum(_rows(file) for file in answer_files(folder))
    total = int(request.get("n_problems", 0)) * int(manifest.get("samples", 1))
    ended = (folder / "results.json").is_file()
    what = f"{request['model']} on {manifest['benchmark']}"
    return Progress(what, _state(folder, ended=ended), done, done if ended else max(total, done), "completions")


def _rows(file: Path) -> int:
    import pyarrow.parquet as pq  # noqa: PLC0415  (heavy)

    return int(pq.read_metadata(file).num_rows)


def _state(folder: Path, *, ended: bool) -> str:
    if ended:
        return "finished"
    held = _held(folder)
    return "" if held is None else "running" if held else "not running"


def _held(folder: Path) -> bool | None:
    """Whether a process holds the lock of a run; None if the system does not tell."""
    try:
        stat = (folder / ".lock").stat()
        listed = LOCKS.read_text(encoding="utf-8")
    except FileNotFoundError:
        return None if not LOCKS.exists() else False
    except OSError:
        return None
    place = f"{os.major(stat.st_dev):02x}:{os.minor(stat.st_dev):02x}:{stat.st_ino}"
    return any(place in line.split() for line in listed.splitlines())


def _facts(folder: Path, manifest: Mapping[str, Any], lines: Sequence[Mapping[str, float]]) -> list[tuple[str, str]]:
    if kind_of(manifest) == KIND:
        return _score_so_far(folder, manifest)
    config = manifest["config"]
    facts = {
        "learning rate": f"{config['train']['lr']:g}",
        "seed": str(config["seed"]),
        "adapter": adapter_of(manifest),
    }
    newest = lines[-1] if lines else {}
    seconds = [sum(line.get(key) or 0.0 for key in PARTS) for line in lines[-10:]]
    left = int(config["train"]["steps"]) - int(newest.get("step", 0))
    if any(seconds) and left > 0:
        facts["left, at the pace of the last steps"] = _clock(left * sum(seconds) / len(seconds))
    return [(name, value) for name, value in facts.items() if value]


def _score_so_far(folder: Path, manifest: Mapping[str, Any]) -> list[tuple[str, str]]:
    files = answer_files(folder)
    if not files:
        return []
    columns = ("score", "truncated", "finish_reason")
    frame = read_answers(files, columns, remedy="remove it to see the others").to_pandas()
    score = counted_score(frame, str(manifest["request"]["truncated"])).dropna()
    cut = float(frame["truncated"].mean())
    facts = [("truncated", f"{cut:.1%}")]
    return [("accuracy so far", f"{score.mean():.1%} of {len(score)} completions"), *facts] if len(score) else facts


def _clock(seconds: float) -> str:
    minutes, hours = round(seconds / 60) % 60, round(seconds / 60) // 60
    return f"{hours} h {minutes} min" if hours else f"{minutes} min" if seconds >= 60 else f"{round(seconds)} s"


def _curves(lines: Sequence[Mapping[str, float]]) -> dict[str, list[tuple[int, float]]]:
    """Return steps and values of each metric that is shown."""
    keys = dict.fromkeys(key for line in lines for key in line if key in SHOWN or key.endswith("/accuracy"))
    curves = {key: [(int(line["step"]), line[key]) for line in lines if line.get(key) is not None] for key in keys}
    return {key: points for key, points in curves.items() if points}


def _hints(manifest: Mapping[str, Any], lines: Sequence[Mapping[str, float]]) -> list[str]:
    if kind_of(manifest) != "train":
        return []
    found = diagnose(lines, max_grad_norm=manifest["config"]["train"]["max_grad_norm"])
    return [f"{_when(each.first, each.last)}: {each.hint}" for each in found]


def _when(first: int, last: int) -> str:
    return f"step {first}" if first == last else f"steps {first} to {last}"


def _completions(folder: Path, manifest: Mapping[str, Any]) -> list[dict[str, str]]:
    """Return some completions of the newest file."""
    files = answer_files(folder)[-1:]
    if not files:
        return []
    columns = ("problem_id", "question", "gold", "text", "answer", "status", "tokens")
    rows = read_answers(files, columns, remedy="remove it to see the others").slice(0, MOST_COMPLETIONS).to_pylist()
    steps = numbered(folder / "episodes", "step", ".parquet")
    when = f"step {max(steps)}" if steps and kind_of(manifest) != KIND else ""
    return [{key: _bounded(row[key]) for key in columns} | {"when": when} for row in rows]


def _bounded(value: Any) -> str:
    text = "" if value is None else str(value)
    return text if len(text) <= MOST_CHARACTERS else f"[...]{text[-MOST_CHARACTERS:]}"
