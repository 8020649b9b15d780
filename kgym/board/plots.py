"""A picture of a training run: reward and validation over the steps, from its `metrics.jsonl`."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kgym.errors import ConfigError, RunError
from kgym.page.picture import COLOURS, PERCENT, legend_below
from kgym.runs.metrics import read_metrics

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Z_95 = 1.96
"""Half width of a 95 % interval in standard errors; validation sets have hundreds of problems."""
BLUE, ORANGE, GREY = COLOURS[0], COLOURS[1], COLOURS[-1]
SMOOTH = 5
"""Steps in the running mean of the reward."""


def plot_run(run: Path, out: Path) -> None:
    """Draw the curves of a run folder to a PNG file (or what else the suffix of `out` says).

    Left: mean reward of each step, and its running mean. Right: validation accuracy with 95 % intervals, and the truncated share. Of a run
    on examples: the loss, and the share of the preferences that are right or the norm of the gradient.
    Raises ConfigError if the run has no metrics, or the suffix is unknown; RunError if the file cannot be written.
    """
    lines = read_metrics(run / "metrics.jsonl")
    if not lines:
        raise ConfigError(f"{run} has no metrics to plot: {run / 'metrics.jsonl'} is absent or empty")
    import matplotlib as mpl  # noqa: PLC0415  (heavy, and only here)

    with mpl.rc_context({"axes.spines.top": False, "axes.spines.right": False, "axes.grid": True, "grid.alpha": 0.25, "font.size": 9}):
        from matplotlib.figure import Figure  # noqa: PLC0415  (no pyplot: it would look for a display)

        figure = Figure(figsize=(9, 3.6), dpi=150, layout="constrained")
        left, right = (part.subplots() for part in figure.subfigures(1, 2, squeeze=False)[0])
        if "train/loss_nats" in lines[-1]:
            draw_series(left, lines, "train/loss_nats", "loss in nats")
            if not draw_series(right, lines, "preference/accuracy_frac", "preferences that are right"):
                draw_series(right, lines, "optim/grad_norm", "norm of the gradient")
        else:
            draw_reward(left, lines)
            draw_validation(right, lines)
        figure.suptitle(run.name or str(run), fontsize=10)
        try:
            figure.savefig(out)
        except ValueError as error:
            raise ConfigError(f"cannot plot to {out}: {error}") from error
        except OSError as error:
            raise RunError(f"cannot write {out}: {error.strerror}") from error


def draw_reward(axes: "Axes", lines: Sequence[dict[str, Any]]) -> None:
    """Draw the mean reward of each step, and its running mean."""
    steps, rewards = _series(lines, "reward/mean")
    axes.plot(steps, rewards, color=GREY, linewidth=0.8, alpha=0.7, label="each step")
    smooth = [sum(rewards[max(0, i - SMOOTH + 1) : i + 1]) / min(i + 1, SMOOTH) for i in range(len(rewards))]
    axes.plot(steps, smooth, color=BLUE, linewidth=1.8, label=f"mean of {SMOOTH} steps")
    axes.set(xlabel="step", ylabel="reward, mean over answers", title="Training")
    if steps:
        legend_below(axes)


def draw_validation(axes: "Axes", lines: Sequence[dict[str, Any]]) -> None:
    """Draw the validation accuracy with 95 % intervals, and the truncated share if there is any."""
    measured = [line for line in lines if line.get("eval/accuracy") is not None]
    steps = [line["step"] for line in measured]
    accuracy = [100 * line["eval/accuracy"] for line in measured]
    reach = [100 * Z_95 * (line.get("eval/stderr") or 0.0) for line in measured]
    if measured:
        axes.errorbar(
            steps, accuracy, yerr=reach, color=ORANGE, marker="o", markersize=4, capsize=3, linewidth=1.5, label="accuracy, 95 % interval"
        )
    cut_steps, cut = _series(lines, "eval/truncated_frac")
    if any(cut):
        axes.plot(cut_steps, [100 * share for share in cut], color=GREY, linestyle="--", linewidth=1, label="truncated")
    axes.set(xlabel="step", ylabel="answers, %", title="Validation")
    axes.set_ylim(*PERCENT)
    if measured:
        legend_below(axes)


def draw_series(axes: "Axes", lines: Sequence[dict[str, Any]], key: str, unit: str) -> bool:
    """Draw one metric over the steps; return whether there was any of it."""
    steps, values = _series(lines, key)
    axes.plot(steps, values, color=BLUE, marker="o", markersize=3, linewidth=1.5)
    axes.set(xlabel="step", ylabel=unit)
    axes.set_ylim(bottom=min([0.0, *values]))
    return bool(steps)


def _series(lines: Sequence[dict[str, Any]], key: str) -> tuple[list[int], list[float]]:
    """Steps and values of a metric, where it is a number."""
    pairs = [(int(line["step"]), float(line[key])) for line in lines if line.get(key) is not None]
    return [step for step, _ in pairs], [value for _, value in pairs]
