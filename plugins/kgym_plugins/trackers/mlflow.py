"""MLflow: a store on this machine or a server."""

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import Field

from kgym.options import Options
from kgym_plugins.trackers.records import finite, flat, remember, remembered, run_name

LONGEST_PARAMETER = 6000
"""Most characters of a parameter's value in MLflow."""
MOST_PARAMETERS = 100
"""Most parameters in one call of MLflow."""


class MlflowOptions(Options):
    """A run in MLflow."""

    experiment: str = Field("kgym", min_length=1)
    """Experiment of the run; created if it does not exist."""
    tracking_uri: str | None = None
    """Address of the store, `sqlite:///mlflow.db` or `https://...`; without it, MLFLOW_TRACKING_URI or MLflow's
    default.
    """


class MlflowTracker:
    """Logs to one run of MLflow, which a resumed run continues; if a step is taken again, MLflow keeps both values."""

    Options = MlflowOptions

    def __init__(self, options: MlflowOptions, run_folder: Path, config: Mapping[str, Any]) -> None:
        from mlflow import MlflowClient  # noqa: PLC0415  (an extra)
        from mlflow.entities import Param  # noqa: PLC0415

        self.client = MlflowClient(options.tracking_uri)
        known = remembered(run_folder, "mlflow")
        if known is not None:
            self.run_id = known
            self.client.update_run(known, status="RUNNING")
            return
        experiment = self.client.get_experiment_by_name(options.experiment)
        experiment_id = (
            experiment.experiment_id if experiment is not None else self.client.create_experiment(options.experiment)
        )
        self.run_id = self.client.create_run(experiment_id, run_name=run_name(run_folder)).info.run_id
        parameters = [Param(key, str(value)[:LONGEST_PARAMETER]) for key, value in flat(config).items()]
        for start in range(0, len(parameters), MOST_PARAMETERS):
            self.client.log_batch(self.run_id, params=parameters[start : start + MOST_PARAMETERS])
        remember(run_folder, "mlflow", self.run_id)

    def log(self, step: int, metrics: Mapping[str, float]) -> None:
        """Log a step."""
        from mlflow.entities import Metric  # noqa: PLC0415

        now = int(1000 * time.time())
        self.client.log_batch(
            self.run_id, metrics=[Metric(key, value, now, step) for key, value in finite(metrics).items()]
        )

    def close(self, *, failed: bool) -> None:
        """Say how the run ended."""
        self.client.set_terminated(self.run_id, status="FAILED" if failed else "FINISHED")
