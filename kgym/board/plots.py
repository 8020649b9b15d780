"""A picture of a training run: reward and validation over the steps, from its `metrics.jsonl`."""

import re
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kgym.errors import ConfigError
from kgym.files import unwritable
from kgym.page.picture import COLOURS, PERCENT, legend_below
from kgym.runs.metrics import read_metrics

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Z_95 = 1.96
"""Half width of a 95 % interval in standard errors; validation sets have hundreds of problems."""
BLUE, ORANGE, GREEN, GREY = COLOURS[0], COLOURS[1], COLOURS[2], COLOURS[-1]
STYLE = {"axes.spines.top": False, "axes.spines.right": False, "axes.grid": True, "grid.alpha": 0.25, "font.size": 9}
"""Style of pictures in files."""
SMOOTH = 5
"""Steps in the running mean of the reward."""


def plot_run(run: Path, out: Path) -> None:
    """Draw the curves of a run folder to a PNG file (or to another format, by the suffix of `out`).

    It draws the mean reward of each step with its running mean, and the validation accuracy with 95 % intervals and the
    truncated share; if the run has them, also the chosen problems, the stages of the token budget and the audit. For a
    run on examples it draws the loss, and the share of right preferences or the norm of the gradient.
    Raises ConfigError if the run has no metrics, or the suffix is unknown, and an error of `unwritable`.
    """
    lines = read_metrics(run / "metrics.jsonl")
    if not lines:
        raise ConfigError(f"{run} has no metrics to plot: {run / 'metrics.jsonl'} is absent or empty")
    import matplotlib as mpl  # noqa: PLC0415  (heavy, and only here)

    panels = _panels(lines)
    with mpl.rc_context(STYLE):
        from matplotlib.figure import Figure  # noqa: PLC0415  (no pyplot: it would look for a display)

        rows = -(-len(panels) // 2)
        figure = Figure(figsize=(9, 3.6 * rows), dpi=150, layout="constrained")
        parts = figure.subfigures(rows, 2, squeeze=False).flatten()
        for part, draw in zip(parts, panels, strict=False):
            axes = part.subplots()
            draw(axes, lines)
            axes.locator_params(axis="x", integer=True)
        figure.suptitle(run.name or str(run), fontsize=10)
        save(figure, out)


def save(figure: "Figure", out: Path) -> None:
    """Write a figure. Raises ConfigError if the suffix is unknown, an error of `unwritable` if it cannot be written."""
    try:
        figure.savefig(out)
    except ValueError as error:
        raise ConfigError(f"cannot plot to {out}: {error}") from error
    except OSError as error:
        raise unwritable(out, error, "--plot") from error


Lines = Sequence[dict[str, Any]]


def _panels(lines: Lines) -> list[Callable[["Axes", Lines], Any]]:
    """Return the functions that draw the panels of a run, by what it has measured."""
    if "train/loss_nats" in lines[-1]:
        preferred = any("preference/accuracy_frac" in line for line in lines)
        second = (
            ("preference/accuracy_frac", "preferences that are right")
            if preferred
            else ("optim/grad_norm", "norm of the gradient")
        )
        return [partial(draw_series, key=key, unit=unit) for key, unit in (("train/loss_nats", "loss in nats"), second)]
    return [draw_reward, draw_validation, *(draw for draw, _ in more_panels(lines))]


def more_panels(lines: Lines) -> list[tuple[Callable[["Axes", Lines], None], str]]:
    """Return the functions that draw the panels which only some trainings have, with titles: chosen problems, stages,
    audit.
    """
    found: list[tuple[Callable[[Axes, Lines], None], str]] = []
    if len(_levels(lines)) > 1:
        found.append((draw_levels, "Difficulty of the chosen problems"))
    if any("sampler/chosen_success_frac" in line for line in lines):
        found.append((draw_choice, "Success on the chosen problems"))
    if any("rollout/max_tokens" in line for line in lines):
        found.append((draw_length, "Length and budget"))
    if any("audit/completions" in line for line in lines):
        found.append((draw_audit, "Verifier and audit"))
    return found


def draw_reward(axes: "Axes", lines: Lines) -> None:
    """Draw the mean reward of each step, and its running mean."""
    steps, rewards = _series(lines, "reward/mean")
    axes.plot(steps, rewards, color=GREY, linewidth=0.8, alpha=0.7, label="each step")
    smooth = [sum(rewards[max(0, i - SMOOTH + 1) : i + 1]) / min(i + 1, SMOOTH) for i in range(len(rewards))]
    axes.plot(steps, smooth, color=BLUE, linewidth=1.8, label=f"mean of {SMOOTH} steps")
    _over_steps(axes, ylabel="reward, mean over completions", title="Training")
    if steps:
        legend_below(axes)


def draw_validation(axes: "Axes", lines: Lines) -> None:
    """Draw the validation accuracy with 95 % intervals, and the truncated share if there is any."""
    measured = [line for line in lines if line.get("eval/accuracy") is not None]
    steps = [line["step"] for line in measured]
    accuracy = [100 * line["eval/accuracy"] for line in measured]
    reach = [100 * Z_95 * (line.get("eval/stderr") or 0.0) for line in measured]
    if measured:
        axes.errorbar(
            steps,
            accuracy,
            yerr=reach,
            color=ORANGE,
            marker="o",
            markersize=4,
            capsize=3,
            linewidth=1.5,
            label="accuracy, 95 % interval",
        )
    cut_steps, cut = _series(lines, "eval/truncated_frac")
    if any(cut):
        axes.plot(cut_steps, [100 * share for share in cut], color=GREY, linestyle="--", linewidth=1, label="truncated")
    _over_steps(axes, ylabel="completions, %", title="Validation")
    axes.set_ylim(*PERCENT)
    if measured:
        legend_below(axes)


def _levels(lines: Lines) -> list[int]:
    """Return the levels of difficulty that problems of a run have."""
    found = {int(match[1]) for line in lines for key in line if (match := re.fullmatch(r"level/(\d+)/answers", key))}
    return sorted(found)


def draw_levels(axes: "Axes", lines: Lines) -> None:
    """Draw the share of the completions of each step that each level of difficulty has."""
    levels = _levels(lines)
    counts = {
        int(line["step"]): [float(line.get(f"level/{level}/answers") or 0.0) for level in levels] for line in lines
    }
    counts = {step: own for step, own in counts.items() if sum(own)}
    steps = list(counts)
    below = [0.0] * len(steps)
    for number, level in enumerate(levels):
        shares = [100 * own[number] / sum(own) for own in counts.values()]
        depth = 0.15 + 0.75 * (number + 1) / len(levels)
        axes.bar(steps, shares, bottom=below, width=1.0, color=BLUE, alpha=depth, linewidth=0, label=f"level {level}")
        below = [one + other for one, other in zip(below, shares, strict=True)]
    _over_steps(axes, ylabel="completions, %", title="Difficulty of the chosen problems")
    axes.grid(visible=False)
    legend_below(axes)


def draw_choice(axes: "Axes", lines: Lines) -> None:
    """Draw the success rate of the chosen problems, before the step and in it, and the shares of new, tried and retired
    problems.
    """
    _draw_shares(
        axes,
        lines,
        {
            "episode/correct_frac": ("right in the step", BLUE, "-"),
            "sampler/chosen_success_frac": ("success rate before it", ORANGE, "-"),
            "sampler/chosen_new_frac": ("never tried before", GREY, ":"),
            "sampler/tried_frac": ("tried, of all problems", GREY, "--"),
            "sampler/retired_frac": ("retired, of all problems", GREEN, "--"),
        },
    )
    axes.set(ylabel="%", title="Success on the chosen problems")


def draw_length(axes: "Axes", lines: Lines) -> None:
    """Draw the mean length of a completion, in training and validation, and the token budget of the stages."""
    for key, label, colour, style in (
        ("rollout/max_tokens", "budget", GREY, "-"),
        ("episode/tokens_mean", "mean in training", BLUE, "-"),
        ("eval/tokens_mean", "mean in validation", ORANGE, "-"),
    ):
        steps, values = _series(lines, key)
        drawing = "steps-mid" if key == "rollout/max_tokens" else "default"
        marker = "o" if key.startswith("eval/") else None
        axes.plot(
            steps, values, color=colour, linestyle=style, drawstyle=drawing, marker=marker, markersize=4, label=label
        )
    _over_steps(axes, ylabel="tokens of a completion", title="Length and budget")
    axes.set_ylim(bottom=0)
    legend_below(axes)


def draw_audit(axes: "Axes", lines: Lines) -> None:
    """Draw how often the verifier of the rewards and the audit agree."""
    _draw_shares(
        axes,
        lines,
        {
            "audit/agreement_frac": ("agreement", BLUE, "-"),
            "audit/correct_frac": ("right, by the audit", GREEN, "-"),
            "audit/false_accept_frac": ("accepted, of the wrong ones", ORANGE, "--"),
            "audit/false_reject_frac": ("refused, of the right ones", GREY, "--"),
        },
    )
    axes.set(ylabel="completions, %", title="Verifier and audit")


def _draw_shares(axes: "Axes", lines: Lines, shown: Mapping[str, tuple[str, str, str]]) -> None:
    for key, (label, colour, style) in shown.items():
        steps, shares = _series(lines, key)
        if steps:
            axes.plot(
                steps, [100 * share for share in shares], color=colour, linestyle=style, linewidth=1.5, label=label
            )
    _over_steps(axes)
    axes.set_ylim(*PERCENT)
    legend_below(axes)


def draw_series(axes: "Axes", lines: Lines, key: str, unit: str) -> bool:
    """Draw one metric over the steps; return whether it has any value."""
    steps, values = _series(lines, key)
    axes.plot(steps, values, color=BLUE, marker="o", markersize=3, linewidth=1.5)
    _over_steps(axes, ylabel=unit)
    axes.set_ylim(bottom=min([0.0, *values]))
    return bool(steps)


def _over_steps(axes: "Axes", **settings: str) -> None:
    """Label the axis of the steps, which are whole numbers."""
    from matplotlib.ticker import MaxNLocator  # noqa: PLC0415  (heavy, and only here)

    axes.set(xlabel="step", **settings)
    axes.xaxis.set_major_locator(MaxNLocator("auto", integer=True))


def _series(lines: Lines, key: str) -> tuple[list[int], list[float]]:
    """Return the steps and values of a metric, where it is a number."""
    pairs = [(int(line["step"]), float(line[key])) for line in lines if line.get(key) is not None]
    return [step for step, _ in pairs], [value for _, value in pairs]
