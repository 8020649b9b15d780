"""Make problems from a reference solution: the statement, the hidden tests and the worked solution, as a function or as
a program.
"""

import inspect
import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, get_type_hints

from kgym.envs.generated import Draft
from kgym.judging.cases import Cases, Compare
from kgym_envs.code.drawing import Case, Inputs, Params

N_CASES = 16
TYPES = {int: "a whole number", str: "a text", bool: "whether it holds", list[int]: "a list of whole numbers"}
READ = {int: "int(input())", str: "input()", list[int]: "[int(word) for word in input().split()]"}
READ_AS = {int: "a whole number", str: "a text", list[int]: "whole numbers with blanks between them"}
PRINT = {int: "print({})", str: "print({})", bool: 'print("yes" if {} else "no")', list[int]: "print(*{})"}
PRINT_AS = {int: "", str: "", bool: ", as yes or no", list[int]: ", with blanks between them"}


@dataclass(frozen=True)
class Spec:
    """A family of programming problems."""

    function: Callable[..., Any]
    """The reference solution: one argument, and the parameters of the problem as keywords. It is also the worked
    solution.
    """
    asks: str
    """The requested result, as the object of `return` or `print`, with the parameters in braces."""
    inputs: Inputs
    """Draws an input at a level."""
    params: Params
    """Draws the parameters."""
    edges: tuple[Case, ...] = ()
    """Inputs that are always among the tests."""
    compare: Compare = "tokens"
    checker: str = ""
    """Source of a checker, with the parameters in braces, for problems with several right outputs."""

    @property
    def name(self) -> str:
        """Name of the reference solution."""
        return self.function.__name__

    @property
    def types(self) -> tuple[str, Any, Any]:
        """The name and type of the argument, and the type of the result."""
        hints = get_type_hints(self.function)
        name = next(iter(inspect.signature(self.function).parameters))
        return name, hints[name], hints["return"]

    def draft(self, rng: random.Random, level: int) -> Draft:
        """Return a problem."""
        params = self.params(rng)
        form = rng.choice(("call", "stdin"))
        inputs = [*self.edges, *(self.inputs(rng, level) for _ in range(N_CASES))]
        cases = [(given, self.function(*given, **params)) for given in inputs]
        example = cases[len(self.edges)]
        make = self._as_function if form == "call" else self._as_program
        question, tests, solution = make(params, cases, example)
        return Draft(tuple(f"{name}={value}" for name, value in params.items()), question, tests.gold(), solution)

    def source(self, params: dict[str, int], function: str = "") -> str:
        """Return the reference solution as the function `solve`; `function` is used instead of its source if given."""
        name, _, _ = self.types
        keywords = ", ".join(f"{key}={value}" for key, value in params.items())
        text = function or inspect.getsource(self.function)
        return f"{text.rstrip()}\n\n\ndef solve({name}):\n    return {self.name}({name}, {keywords})\n"

    def _tests(self, kind: Any, cases: list[tuple[Any, Any]], params: dict[str, int]) -> Cases:
        checker = self.checker.replace("{k}", str(params.get("k", "")))
        function = "solve" if kind == "call" else ""
        return Cases(kind, tuple(cases), function=function, compare=self.compare, checker=checker)

    def _as_function(
        self, params: dict[str, int], cases: list[tuple[Case, Any]], example: tuple[Case, Any]
    ) -> tuple[str, Cases, str]:
        name, given, result = self.types
        asks = self.asks.format(**params)
        question = (
            f"Write a function solve({name}) in Python, where {name} is {TYPES[given]}. It returns {asks} "
            f"({TYPES[result]}).\nExample: solve({example[0][0]!r}) returns {example[1]!r}."
        )
        return (
            question,
            self._tests("call", [(list(args), value) for args, value in cases], params),
            _fenced(self.source(params)),
        )

    def _as_program(
        self, params: dict[str, int], cases: list[tuple[Case, Any]], example: tuple[Case, Any]
    ) -> tuple[str, Cases, str]:
        name, given, result = self.types
        as_texts = [(f"{_line(args[0])}\n", _printed(value)) for args, value in cases]
        question = (
            f"Write a program in Python that reads one line, {READ_AS[given]} ({name}), and prints "
            f"{self.asks.format(**params)}"
            f"{PRINT_AS[result]}.\nExample: for the input\n{_line(example[0][0])}\nit prints\n{_printed(example[1])}"
        )
        call = f"solve({READ[given]})"
        tests = self._tests("stdin", as_texts, params)
        if self.compare == "unordered":  # the numbers of one line
            tests = Cases("stdin", tests.cases, checker=UNORDERED)
        return question, tests, _fenced(f"{self.source(params)}\n\n{PRINT[result].format(call)}\n")


UNORDERED = 'import sys\nsys.exit(sorted(open("output").read().split()) != sorted(open("expected").read().split()))\n'


def _fenced(source: str) -> str:
    return f"```python\n{source}```"


def _line(value: Any) -> str:
    return " ".join(map(str, value)) if isinstance(value, list) else str(value)


def _printed(value: Any) -> str:
    return ("yes" if value else "no") if isinstance(value, bool) else _line(value)
