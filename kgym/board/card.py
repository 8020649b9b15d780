"""The model card of a training: README.md of its newest checkpoint, with the YAML that the Hugging Face Hub reads.

    base, environment, algorithm, data; scores with intervals and comparability hashes; command, configuration; versions

The scores come from every `kgym eval`, in a folder below the run or next to it, whose model has the same fingerprint as
the checkpoint. A card is public: it shows only the last part of a path, no server and no tracker. Its last line has its
own sha256, which shows whether the card was edited by hand.
"""

import hashlib
import json
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from kgym.errors import ConfigError, KgymError
from kgym.files import reading, write_atomic
from kgym.keys import to_toml
from kgym.models.names import ADAPTER, HUB_ID, model_fingerprint, resolve_model
from kgym.models.weightcheck import check_weight_files
from kgym.neutral import for_markdown
from kgym.options import validated
from kgym.runs.folder import RunFolder, run_folders
from kgym.runs.manifest import KIND, adapter_of, kind_of, read_manifest
from kgym.runs.stored import MODELS
from kgym.score.comparability import SHORT
from kgym.score.results import EvalResult
from kgym.score.store import read_results

CARD = "README.md"
_SEAL = re.compile(r"\n<!-- kgym card, sha256 of what is above: ([0-9a-f]{64}) -->\n\Z")
TASKS = {"rm": "text-classification"}
"""Pipeline tags of the hub; all other kinds of run are tagged text-generation."""


@dataclass(frozen=True)
class Score:
    """A result on the card."""

    benchmark: str
    result: EvalResult
    seed: int


@dataclass(frozen=True)
class Card:
    """A card and where it belongs."""

    checkpoint: Path
    text: str = field(repr=False)
    scores: tuple[Score, ...] = ()

    @property
    def path(self) -> Path:
        """Path of the file."""
        return self.checkpoint / CARD

    def write(self, *, force: bool = False) -> None:
        """Write the card. Unless `force`, raises ConfigError for an existing one that was edited by hand."""
        if self.path.exists() and not force and not is_ours(self.path):
            raise ConfigError(f"{self.path} was written or edited by hand; move it away, or overwrite it with --force")
        write_atomic(self.path, self.text)


def is_ours(path: Path) -> bool:
    """Whether a card is unchanged since kgym wrote it."""
    text = path.read_text(encoding="utf-8", errors="replace")
    found = _SEAL.search(text)
    return found is not None and _digest(text[: found.start()]) == found[1]


def card_of(run: Path) -> Card:
    """Return the card of the newest checkpoint of a run.

    Raises ConfigError if the folder is not a training or has no checkpoint, or if weights are missing, damaged or not
    finite.
    """
    manifest = RunFolder(run).read_manifest()
    if kind_of(manifest) == KIND:
        raise ConfigError(f"{run} is an evaluation; name a training: its card shows its evaluations")
    checkpoint = Path(resolve_model(str(run)))
    check_weight_files(checkpoint)
    scores = tuple(_scores(run, model_fingerprint(str(checkpoint))))
    body = "\n".join(_lines(run, manifest, checkpoint, scores))
    text = f"---\n{_front_matter(manifest, checkpoint, scores)}\n---\n\n{body}"
    return Card(checkpoint, f"{text}\n<!-- kgym card, sha256 of what is above: {_digest(text)} -->\n", scores)


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def _scores(run: Path, fingerprint: str) -> Iterator[Score]:
    """Yield the evaluations of the model with this fingerprint, below the run and next to it, without duplicates."""
    known: set[tuple[str, str, int, int]] = set()
    for folder in [
        *sorted(path.parent for path in run.glob("eval/*/results.json")),
        *run_folders(run.resolve().parent),
    ]:
        try:
            manifest = read_manifest(folder)
            if kind_of(manifest) != KIND or manifest["request"].get("model_sha256") != fingerprint:
                continue
            stored = read_results(folder)
        except (KgymError, OSError):  # a damaged folder of another run, or one that has not ended
            continue
        result = EvalResult.from_json(stored)
        key = (str(stored["benchmark"]), result.comparability, result.samples, int(stored["seed"]))
        if key not in known:
            known.add(key)
            yield Score(str(stored["benchmark"]), result, int(stored["seed"]))


# --- what the hub reads -----------------------------------------------------------------------------------------------


def _front_matter(manifest: Mapping[str, Any], checkpoint: Path, scores: Sequence[Score]) -> str:
    from huggingface_hub import EvalResult as HubResult  # noqa: PLC0415  (takes a while to load)
    from huggingface_hub import ModelCardData  # noqa: PLC0415

    config, kind = manifest["config"], kind_of(manifest)
    base = str(config["model"])
    on_hub = HUB_ID.fullmatch(base) and not Path(base).exists()
    adapter = (checkpoint / ADAPTER).is_file()
    results = [
        HubResult(
            task_type="text-generation",
            dataset_type=_plain_id(score.benchmark),
            dataset_name=score.benchmark,
            dataset_split=str(score.result.facts["split"]),
            metric_type="accuracy",
            metric_name=f"avg@{score.result.samples}",
            metric_value=round(100 * score.result.accuracy, 2),
        )
        for score in scores
    ]
    data = ModelCardData(
        base_model=base if on_hub else None,
        library_name="peft" if adapter else "transformers",
        pipeline_tag=TASKS.get(kind, "text-generation"),
        tags=["kgym", kind if kind != "train" else "reinforcement-learning", *_how(manifest)],
        model_name=_name(manifest) if results else None,
        eval_results=results or None,
    )
    return data.to_yaml().strip()


def _plain_id(name: str) -> str:
    return re.sub(r"[^A-Za-z0-9._-]+", "-", name)


def _how(manifest: Mapping[str, Any]) -> list[str]:
    return [str(manifest["config"]["algo"]["name"])] if "algo" in manifest["config"] else []


def _where(manifest: Mapping[str, Any]) -> str:
    return " and ".join(manifest["specs"]) or "examples"


def _name(manifest: Mapping[str, Any]) -> str:
    how = " ".join(_how(manifest)) or kind_of(manifest)
    return f"{public(str(manifest['config']['model']))}, {how} on {_where(manifest)}"


# --- what people read -------------------------------------------------------------------------------------------------


def _lines(run: Path, manifest: Mapping[str, Any], checkpoint: Path, scores: Sequence[Score]) -> list[str]:
    kind = kind_of(manifest)
    named = for_markdown(_name(manifest))
    lines = [f"# {named}", "", f"Trained with kgym, a gym for LLM reasoning, by `kgym {kind}`.", ""]
    lines += _table(("", ""), _facts(manifest, checkpoint))
    lines += ["", "## Scores", "", *_score_lines(scores)]
    if validations := list(_validations(run, checkpoint)):
        lines += ["", "Validation in training, at this checkpoint:", ""]
        lines += _table(("problems of", "before", "after", "95 % interval", "problems", "comparability"), validations)
    return [*lines, "", "## How it was made", "", *_command(manifest), "", "## Versions", "", *_versions(manifest)]


def _facts(manifest: Mapping[str, Any], checkpoint: Path) -> list[tuple[str, str]]:
    config = manifest["config"]
    facts = {
        "base model": public(str(config["model"])) + _short(", sha256 ", manifest.get("fingerprints", {}).get("model")),
        "adapter": adapter_of(manifest),
        "environment": _where(manifest),
        "algorithm": " ".join(_how(manifest)) or kind_of(manifest),
        "data": "; ".join(_data(manifest)),
        "steps": checkpoint.name.removeprefix("step-"),
        "learning rate": f"{config['train']['lr']:g}",
        "seed": str(config["seed"]),
        "sha256 of this model": model_fingerprint(str(checkpoint))[:SHORT],
    }
    return [(name, for_markdown(value)) for name, value in facts.items() if value]


def _data(manifest: Mapping[str, Any]) -> Iterator[str]:
    """Yield what the problems were: split, verifier, token budget and hash of the data of each environment."""
    env = manifest.get("env") or {}
    for facts in [env] if "env_id" in env else env.values():
        if isinstance(facts, Mapping) and "env_id" in facts:
            data = _short(", data sha256 ", facts.get("data_sha256"))
            budget = f", {facts['max_tokens']} tokens" if facts.get("max_tokens") else ""
            yield f"{facts['env_id']}, split {facts['split']}, verifier {facts['verifier']}{budget}{data}"


def _short(before: str, digest: Any) -> str:
    return f"{before}{str(digest)[:SHORT]}" if digest else ""


def _score_lines(scores: Sequence[Score]) -> list[str]:
    if not scores:
        return ["This model has not been scored by `kgym eval`."]
    rows = []
    for score in scores:
        result = score.result
        low, high = result.interval
        cells = (
            f"{100 * result.accuracy:.1f} % (avg@{result.samples})",
            f"{100 * low:.1f} to {100 * high:.1f} %",
            str(result.n_problems),
        )
        shares = [f"{100 * share:.1f} %" for share in (result.truncated_frac, result.unscored_frac)]
        rows.append((for_markdown(score.benchmark), *cells, *shares, f"`{result.comparability[:SHORT]}`"))
    heads = ("benchmark", "accuracy", "95 % interval", "problems", "truncated", "unscored", "comparability")
    note = "Scores with the same comparability hash have the same data, prompt, verifier, budget and sampling."
    return [*_table(heads, rows), "", note]


def _validations(run: Path, checkpoint: Path) -> Iterator[tuple[str, ...]]:
    """Yield a row for each validation and benchmark that was run at the step of the checkpoint."""
    name = f"step-{int(checkpoint.name.removeprefix('step-')):05d}.json"
    for file in [run / "eval" / name, *sorted(run.glob(f"eval/*/{name}"))]:
        if not file.is_file():
            continue
        after, first = _result(file), file.with_name("step-00000.json")
        before = f"{100 * _result(first).accuracy:.1f} %" if first.is_file() else "-"
        low, high = after.interval
        interval = f"{100 * low:.1f} to {100 * high:.1f} %" if math.isfinite(low) else "-"
        label = file.parent.name if file.parent.name != "eval" else f"validation ({after.facts['env_id']})"
        figures = (before, f"{100 * after.accuracy:.1f} %", interval, str(after.n_problems))
        yield for_markdown(label), *figures, f"`{after.comparability[:SHORT]}`"


def _result(file: Path) -> EvalResult:
    with reading(file, remedy="remove it to make the card without its figures"):
        return EvalResult.from_json(json.loads(file.read_text(encoding="utf-8")))


def _command(manifest: Mapping[str, Any]) -> list[str]:
    """Return the command and the configuration that it reads, without trackers and without paths of folders."""
    kind = kind_of(manifest)
    config = {key: value for key, value in manifest["config"].items() if key != "trackers"}
    text = to_toml(validated(MODELS[kind], _public(config)))
    return [
        "```",
        f"kgym {kind} --config kgym.toml",
        "```",
        "",
        "with `kgym.toml`:",
        "",
        "```toml",
        text.rstrip(),
        "```",
    ]


def public(value: str) -> str:
    """Return a text without the folders and servers of its author.

    >>> public("/home/me/models/mine"), public("acme/model"), public("../runs/mine"), public("http://10.0.0.7:8000/v1")
    ('mine', 'acme/model', 'mine', 'http://HOST')
    """
    if "://" in value:
        return re.sub(r"(?<=://)\S*", "HOST", value)
    path = Path(value).expanduser()
    on_disk = path.is_absolute() or value.startswith((".", "~")) or ("/" in value and path.exists())
    return path.name if on_disk and path.name else value


def _public(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _public(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_public(item) for item in value]
    return public(value) if isinstance(value, str) and "\n" not in value and len(value) < 500 else value


def _versions(manifest: Mapping[str, Any]) -> list[str]:
    checkout = manifest.get("checkout") or {}
    changed = ", with changes" if checkout.get("dirty") else ""
    commit = f" (commit {checkout['commit'][:SHORT]}{changed})" if checkout.get("commit") else ""
    found = [
        f"{name} {version}{commit if name == 'kgym' else ''}" for name, version in manifest.get("versions", {}).items()
    ]
    plugins = sorted(
        {str(maker) for maker in manifest.get("components", {}).values() if not str(maker).startswith("kgym ")}
    )
    gpus = ", ".join((manifest.get("machine") or {}).get("gpus", [])) or "CPU"
    return [for_markdown("; ".join([*found, *plugins, gpus]))]


def _table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    return [f"| {' | '.join(heads)} |", "|" + "---|" * len(heads), *(f"| {' | '.join(row)} |" for row in rows)]
