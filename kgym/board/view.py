"""What `kgym runs view` shows of run folders: figures, curves and completions, as one page."""

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kgym.board.compare import compare_runs, describe_comparison, describe_difference, remarks_on
from kgym.board.plots import draw_reward, draw_series, draw_validation, more_panels
from kgym.board.rows import rows_of
from kgym.board.standings import ranked_rows
from kgym.errors import ConfigError, KgymError
from kgym.files import read_table, reading
from kgym.folders import numbered
from kgym.page.answers import COLUMNS, Answers, pack_answers
from kgym.page.board import pictures, tables
from kgym.page.document import Page
from kgym.page.picture import Picture, drawing, new_figure, picture
from kgym.runs.answers import answer_files, read_answers
from kgym.runs.episodes import turns_of
from kgym.runs.folder import RunFolder
from kgym.runs.manifest import KIND, adapter_of, kind_of, labelled_specs
from kgym.runs.metrics import read_metrics
from kgym.score.results import counted_score
from kgym.score.store import read_results
from kgym.types import VerifyItem
from kgym.verify.service import load_verifier

if TYPE_CHECKING:
    from pandas import DataFrame

SERIES = {
    "episode/tokens_mean": ("Length of completions", "tokens, mean"),
    "policy/entropy_nats": ("Entropy", "nats a token"),
    "policy/kl_nats": ("KL from the start of a step", "nats a token"),
    "optim/grad_norm": ("Norm of the gradient", "before clipping"),
    "train/loss_nats": ("Loss", "nats"),
    "preference/accuracy_frac": ("Preferences that are right", "share"),
}
"""Metrics that get a picture in addition to reward and validation, if a run has them."""


def run_page(folders: Sequence[Path], *, most_answers: int | None = None) -> Page:
    """Return the page of run folders of `kgym eval` and `kgym train`; a training is shown with the evaluations in its
    folder `eval`.

    A training without evaluations shows the completions of its first and last step. Raises ConfigError if a folder is
    not a run folder or contains nothing to show.
    """
    trainings = [folder for folder in folders if _manifest(folder).get("kind") != KIND]
    evaluations = [folder for folder in folders if folder not in trainings]
    left_out = []
    for folder in trainings:
        readable, odd = _scored(folder)
        evaluations += readable
        left_out += odd
    evaluations = list(dict.fromkeys(evaluations))
    for folder in evaluations:
        read_results(folder)  # refuse an unfinished evaluation before any work
    names = names_of([*trainings, *evaluations]) | labels_of(evaluations)
    curves = [
        image
        for folder in trainings
        for image in _curves(folder, of=f", {names[folder]}" if len(trainings) > 1 else "")
    ]
    rows = _rows(evaluations, names)
    answers = _answers(trainings, evaluations, names, most_answers)
    if not (curves or rows or answers):
        raise ConfigError(f"{folders[0]} contains nothing to show yet: neither metrics nor completions")
    return Page(
        title=" and ".join(names[folder] for folder in folders),
        lead=[*(_what(folder, names[folder]) for folder in folders), *_difference(evaluations, names), *left_out],
        facts=_facts(trainings[0]) if len(folders) == 1 and trainings else (),
        tables=tables(rows),
        pictures=[
            *curves,
            *pictures(
                rows, {place: read_results(Path(row["run"])).get("maj_at_k", {}) for place, row in enumerate(rows)}
            ),
        ],
        answers=answers,
    )


def _manifest(folder: Path) -> dict[str, Any]:
    return RunFolder(folder).read_manifest()


def _scored(training: Path) -> tuple[list[Path], list[str]]:
    """Return the finished evaluations in a training's folder `eval`, those of its initial model first, and why some
    are left out.
    """
    start = _manifest(training)["config"]["model"]
    models: dict[Path, str] = {}
    odd = []
    for results in sorted(training.glob("eval/*/results.json")):
        folder = results.parent
        try:
            read_results(folder)
            models[folder] = _manifest(folder)["request"]["model"]
        except (KgymError, OSError, KeyError) as error:
            odd.append(f"eval/{folder.name} is left out: {error}")
    return sorted(models, key=lambda folder: (models[folder] != start, folder.name)), odd


def names_of(folders: Sequence[Path]) -> dict[Path, str]:
    """Return a short name for each folder: its own, with as many parent folders as are needed to tell them apart.

    >>> list(names_of([Path("a/eval/after"), Path("b/eval/after"), Path("b")]).values())
    ['a/eval/after', 'b/eval/after', 'b']
    """
    parts = {folder: folder.resolve().parts for folder in folders}
    names = {}
    for folder, own in parts.items():
        twins = [other for other in parts.values() if other != own]
        length = next((n for n in range(1, len(own)) if all(other[-n:] != own[-n:] for other in twins)), len(own))
        names[folder] = "/".join(own[-length:])
    return names


def labels_of(evaluations: Sequence[Path]) -> dict[Path, str]:
    """Return the labels (`kgym eval --label`) of the evaluations whose label is unique: a label says more than a
    folder's name.
    """
    named = {
        folder: (str(read_results(folder)["model"]), str(_manifest(folder)["request"]["model"]))
        for folder in evaluations
    }
    times = Counter(label for label, _ in named.values())
    return {folder: label for folder, (label, model) in named.items() if label != model and times[label] == 1}


def _what(folder: Path, name: str) -> str:
    manifest = _manifest(folder)
    if manifest.get("kind") == KIND:
        return f"{name}: {manifest['request']['model']} on {manifest['benchmark']}"
    config = manifest["config"]
    steps = int((read_metrics(folder / "metrics.jsonl") or [{"step": 0}])[-1]["step"])
    how = config["algo"]["name"] if "algo" in config else manifest["kind"]
    trained = f"{config['model']} trained on {' and '.join(manifest['specs']) or 'examples'} with {how}"
    return f"{trained}, {steps} of {config['train']['steps']} steps"


def _difference(evaluations: Sequence[Path], names: Mapping[Path, str]) -> list[str]:
    """Return a line on how much two evaluations differ, or why they are not compared; [] unless there are two."""
    if len(evaluations) != 2:
        return []
    try:
        found = compare_runs(*evaluations)
    except ConfigError as error:
        return [f"no difference is shown: {error}"]
    return [
        f"{names[evaluations[0]]} to {names[evaluations[1]]}: "
        f"{'; '.join([describe_comparison(found), *remarks_on(found)])}"
    ]


def _facts(folder: Path) -> list[tuple[str, str]]:
    manifest = _manifest(folder)
    config = manifest["config"]
    facts = {"model": config["model"], "environment": " and ".join(manifest["specs"]) or "none"}
    if kind_of(manifest) == "train":
        rollout = config["rollout"]
        facts |= {
            "algorithm": config["algo"]["name"],
            "batch": f"{rollout['problems_per_step']} problems × {rollout['group_size']} completions",
        }
    else:
        kind = kind_of(manifest)
        facts |= {"algorithm": kind, "batch": f"{config.get(kind, {}).get('batch_size', '?')} examples"}
    facts |= {"adapter": adapter} if (adapter := adapter_of(manifest)) else {}
    facts |= {"learning rate": f"{config['train']['lr']:g}", "seed": config["seed"]}
    summary = folder / "summary.json"
    remedy = "remove it, and kgym train --resume writes it again"
    stored = read_table(summary, remedy=remedy) if summary.exists() else {}
    if stored.get("gain") is not None:
        told = {
            "difference": "gain",
            "interval": "gain_interval_95",
            "p_value": "p_value",
            "name": "test",
            "n": "n_problems",
        }
        with reading(summary, remedy=remedy):
            facts["gain on validation"] = describe_difference(**{name: stored[key] for name, key in told.items()})
    return [(name, str(value)) for name, value in facts.items()]


def _curves(folder: Path, of: str) -> list[Picture]:
    lines = read_metrics(folder / "metrics.jsonl")
    if not lines:
        return []
    images = []
    with drawing():
        rewarded = any(
            "reward/mean" in line or "eval/accuracy" in line for line in lines
        )  # False for a run on examples
        for draw, title in ((draw_reward, "Reward in training"), (draw_validation, "Validation")) if rewarded else ():
            figure = new_figure()
            draw(figure.subplots(), lines)
            figure.axes[0].set_title("")
            images.append(picture(figure, title + of, _in_words(title, lines)))
        for draw_more, title in more_panels(lines):
            figure = new_figure(height=4.0)
            draw_more(figure.subplots(), lines)
            figure.axes[0].set_title("")
            images.append(picture(figure, title + of, f"{title}, over the steps"))
        for key, (title, unit) in SERIES.items():
            figure = new_figure()
            if draw_series(figure.subplots(), lines, key, unit):
                images.append(picture(figure, title + of, _in_words(title, lines, key)))
    return images


def _in_words(title: str, lines: Sequence[Mapping[str, Any]], key: str | None = None) -> str:
    key = key or ("eval/accuracy" if title == "Validation" else "reward/mean")
    known = [(line["step"], line[key]) for line in lines if line.get(key) is not None]
    return f"{title}: " + (
        f"{known[0][1]:.3g} at step {known[0][0]}, {known[-1][1]:.3g} at step {known[-1][0]}"
        if known
        else "not measured"
    )


def _rows(evaluations: Sequence[Path], names: Mapping[Path, str]) -> list[dict[str, Any]]:
    """Return rows of a board, named by their folders: the models before and after may have the same name."""
    rows = []
    for folder in evaluations:
        (row,), _ = rows_of(folder)
        said = row["model"] if row["model"] != names[folder] else str(folder)
        rows.append(row | {"model": names[folder], "note": said})
    return ranked_rows(rows)


def _answers(
    trainings: Sequence[Path], evaluations: Sequence[Path], names: Mapping[Path, str], most: int | None
) -> Answers | None:
    runs = []
    for folder in evaluations:
        frame = _frame(answer_files(folder), {"": _rule(folder)})
        runs.append((names[folder], _explained(frame, _judge_of(folder))))
    if not runs:
        for folder in trainings:
            steps = list(numbered(folder / "episodes", "step", ".parquet").items())
            named = f"{names[folder]}, " if len(trainings) > 1 else ""
            manifest = _manifest(folder)
            rules = {label: spec.settings.get("truncated", "zero") for label, spec in labelled_specs(manifest).items()}
            for step, path in dict([*steps[:1], *steps[-1:]]).items():
                runs.append((f"{named}step {step}", _explained(_frame([path], rules), _judges_in(manifest))))
    return pack_answers(runs, most) if any(len(frame) for _, frame in runs) else None


_EXPLAINED = 500
"""Completions of an evaluation, or of a step, that are judged once more to explain their verdicts."""
_Judge = tuple[str, Mapping[str, Any]]
"""The name of a verifier, and its options."""


def _judge_of(folder: Path) -> dict[str, _Judge]:
    (row,), _ = rows_of(folder)
    (spec,) = labelled_specs(_manifest(folder)).values()
    return {"": (row["verifier"], spec.settings.get("verifier_options") or {})}


def _judges_in(manifest: Mapping[str, Any]) -> dict[str, _Judge]:
    """Return the verifiers of a training by the labels of its environments."""
    judges: dict[str, _Judge] = {}
    for label, spec in labelled_specs(manifest).items():
        facts = manifest.get("env") or {}
        facts = facts.get(label) or {} if label else facts
        if name := facts.get("verifier") or spec.settings.get("verifier"):
            judges[label] = (name, spec.settings.get("verifier_options") or {})
    return judges


def _explained(frame: "DataFrame", judges: Mapping[str, _Judge]) -> "DataFrame":
    """Return the completions with `trace`: how the first of those that were not right were judged, from verifiers with
    the option `explain`.
    """
    rows = frame[frame["status"].isin(("wrong", "no_answer")) & (frame["trace"] == "")].head(_EXPLAINED)
    labels = rows["env"].fillna("")
    for label, (name, options) in judges.items():
        try:
            verifier = load_verifier(name, {**options, "explain": True})
        except KgymError:  # it has no such option, or is not installed here
            continue
        own = rows[labels == label]
        items = []
        for row in own.to_dict("records"):
            turns, last = turns_of(row["text"], row["pieces"])
            items.append(VerifyItem(row["gold"], last, row["question"], turns=turns))
        frame.loc[own.index, "trace"] = [verdict.trace for verdict in verifier.verify_many(items)]
    return frame


def _rule(folder: Path) -> str:
    return str(_manifest(folder)["request"]["truncated"])


def _frame(parts: Sequence[Path], rules: Mapping[str, str]) -> "DataFrame":
    import numpy as np  # noqa: PLC0415
    import pandas as pd  # noqa: PLC0415  (heavy)

    columns = [name for name in dict.fromkeys((*COLUMNS, "score", "env", "pieces", "trace")) if name != "worth"]
    frame = read_answers(parts, columns, remedy="remove it to see the others").to_pandas()
    labels = frame["env"].fillna("")
    worth = pd.Series(np.nan, index=frame.index)
    for label, rule in rules.items():
        own = labels == label
        worth[own] = counted_score(frame[own], rule)
    return frame.assign(worth=worth)
