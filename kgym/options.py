"""The base of every component's options: a pydantic model whose field docstrings are the help text."""

from pydantic import BaseModel, ConfigDict


class Options(BaseModel):
    """Options of a component: frozen, unknown keys refused, each field explained by the string under it."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True, validate_default=True)
