"""An engine that refuses models of other families, without loading their weights."""

import json
from pathlib import Path
from typing import Any

from kgym.errors import ConfigError
from kgym.models.names import resolve_model
from kgym.types import ChecksModel


class LlamaOnly:
    """The part of an engine's class that checks."""

    @classmethod
    def check(cls, options: Any, model_folder: str) -> None:
        """Raise ConfigError for a model that this engine cannot load."""
        kind = json.loads((Path(model_folder) / "config.json").read_text())["model_type"]
        if kind != "llama":
            raise ConfigError(
                f"{model_folder} is a {kind} model; this engine samples from llama models only"
            )


assert isinstance(LlamaOnly, ChecksModel)
LlamaOnly.check(None, str(resolve_model("nano")))
