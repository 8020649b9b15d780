"""Options of an engine that renders prompts by the model's chat template."""

from typing import Any

from pydantic import Field

from kgym.options import Options
from kgym.types import TemplateOptions


class AcmeOptions(Options):
    """Options of an engine."""

    template: dict[str, Any] = Field(default_factory=dict)
    """Values of the template's variables, such as `enable_thinking=false`."""


assert isinstance(AcmeOptions(template={"enable_thinking": False}), TemplateOptions)
