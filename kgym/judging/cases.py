"""The hidden tests of a programming problem, as the text of its gold answer.

    {"kind": "stdin", "cases": [["2 3\\n", "5\\n"]], "compare": "tokens", "time_s": 2.0}
    {"kind": "call", "function": "add", "cases": [[[2, 3], 5]]}
    {"kind": "asserts", "function": "add", "cases": [["assert add(2, 3) == 5", null]], "before": "import math"}

A problem with several right outputs says how they are compared, or has a checker: a Python program that reads the files
`input`, `expected` and `output` in its folder and ends with exit code 0 for right and 1 for wrong. It runs in its own
sandbox.
"""

import json
from dataclasses import asdict, dataclass, fields
from typing import Any, Literal, get_args

Kind = Literal["stdin", "call", "asserts"]
Compare = Literal["tokens", "lines", "unordered", "close"]


@dataclass(frozen=True)
class Cases:
    """The tests of one problem. Raises ValueError for invalid tests."""

    kind: Kind
    """`stdin`: the program reads its input and prints its output. `call`: a function is called, with JSON values.
    `asserts`: statements in another sandbox call the function; plain Python values are sent between the two.
    """
    cases: tuple[tuple[Any, Any], ...]
    """Input and output; arguments and result; statements and None."""
    function: str = ""
    """Name of the function, for `call` and `asserts`; it may be a method of a class `Solution`."""
    compare: Compare = "tokens"
    """`tokens`: equal except for white space between words (for results: equal). `lines`: equal except for white space
    at the ends of lines. `unordered`: the lines, or the elements of the result, in any order. `close`: numbers may
    differ by one millionth.
    """
    checker: str = ""
    """Source of a program that compares instead."""
    before: str = ""
    """Source that is inserted before the program, such as imports that the problem names."""
    time_s: float = 4.0
    """Seconds of processor time for each case."""
    memory_mib: int = 256

    def __post_init__(self) -> None:
        if self.kind not in get_args(Kind):
            raise ValueError(f"kind={self.kind!r} must be one of {', '.join(get_args(Kind))}")
        if self.compare not in get_args(Compare):
            raise ValueError(f"compare={self.compare!r} must be one of {', '.join(get_args(Compare))}")
        if not self.cases:
            raise ValueError("a problem needs at least one case")
        if self.kind != "stdin" and not self.function.isidentifier():
            raise ValueError(f"function={self.function!r} is not the name of a function")
        for one, other in self.cases:
            if (self.kind == "stdin" and not (isinstance(one, str) and isinstance(other, str))) or (
                self.kind == "call" and not isinstance(one, list)
            ):
                raise ValueError(f"a case of kind {self.kind} cannot be {str([one, other])[:80]}")
        if not (0 < self.time_s <= 600 and 16 <= self.memory_mib <= 1 << 16):
            raise ValueError(f"time_s={self.time_s}, memory_mib={self.memory_mib}: limits are out of range")

    def gold(self) -> str:
        """Return the tests as the text of a gold answer; fields with default values are left out."""
        usual = {field.name: field.default for field in fields(self)}
        values = {name: value for name, value in asdict(self).items() if value != usual[name]}
        return json.dumps(values, separators=(",", ":"), ensure_ascii=False)

    @classmethod
    def of(cls, gold: str) -> "Cases":
        """Return the tests of a gold answer. Raises ValueError for any other text."""
        try:
            values = json.loads(gold)
            values["cases"] = tuple((one, other) for one, other in values["cases"])
            return cls(**values)
        except (TypeError, KeyError, RecursionError) as error:
            raise ValueError(f"not the tests of a programming problem: {error}") from error
