"""The environment `calculator`: problems of another environment, and a tool for exact arithmetic."""

from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import Field

from kgym.envs.toolcalls import Tool, ToolError
from kgym.envs.tooltask import ToolOptions, ToolTask, text_argument
from kgym_envs.tools.expression import BadExpression, said, value

MOST_LINES = 10
PARAMETERS = {
    "type": "object",
    "properties": {
        "expression": {"type": "string", "description": "such as (12+34)*5/7, 2^10, sqrt(49), gcd(12, 18), comb(5, 2)"}
    },
    "required": ["expression"],
}


class CalculatorOptions(ToolOptions):
    """Options for the problems, and for how the calculator is called."""

    problems: str = Field("arithmetic", min_length=1)
    """Name of the environment with the problems; its verifier judges the last turn."""


class Calculator(ToolTask):
    """See `kgym.envs.tooltask.ToolTask`."""

    Options = CalculatorOptions

    def tools(self) -> Sequence[Tool]:
        """Return the calculator."""
        return (Tool("calculator", "exact arithmetic, such as (12+34)*5.", calculate, PARAMETERS, main="expression"),)


def calculate(arguments: Mapping[str, Any]) -> str:
    """Return the value of an expression, or of each of several lines. Raises ToolError.

    >>> calculate({"expression": "2^10 - 1"})
    '1023'
    """
    lines = [line for line in text_argument(arguments, "expression").splitlines() if line.strip()]
    if not 0 < len(lines) <= MOST_LINES:
        raise ToolError(
            "the expression is empty"
            if not lines
            else f"{len(lines)} lines; at most {MOST_LINES} expressions are computed"
        )
    try:
        return "\n".join(said(value(line)) for line in lines)
    except BadExpression as error:
        raise ToolError(str(error)) from None
