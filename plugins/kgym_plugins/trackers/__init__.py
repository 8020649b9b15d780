"""The trackers that come with kgym."""

from collections.abc import Iterator

from kgym.hookspecs import Component, TrackerInfo, hookimpl

kgym_api = 1


@hookimpl
def kgym_components() -> Iterator[Component]:
    """Yield the trackers that come with kgym."""
    yield TrackerInfo(
        name="jsonl", target="kgym_plugins.trackers.jsonl:JsonlTracker", summary="one file of JSON lines for many runs"
    )
    yield TrackerInfo(
        name="tensorboard",
        target="kgym_plugins.trackers.tensorboard:TensorBoardTracker",
        summary="TensorBoard event files in the run folder",
        needs=("tensorboard",),
        extra="tensorboard",
    )
    yield TrackerInfo(
        name="wandb",
        target="kgym_plugins.trackers.wandb:WandbTracker",
        summary="Weights & Biases",
        needs=("wandb",),
        extra="wandb",
    )
    yield TrackerInfo(
        name="trackio",
        target="kgym_plugins.trackers.trackio:TrackioTracker",
        summary="Trackio, on this machine or a space",
        needs=("trackio",),
        extra="trackio",
    )
    yield TrackerInfo(
        name="mlflow",
        target="kgym_plugins.trackers.mlflow:MlflowTracker",
        summary="an MLflow store or server",
        needs=("mlflow",),
        extra="mlflow",
    )
