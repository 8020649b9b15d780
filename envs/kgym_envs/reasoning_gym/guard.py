"""Let the scorers of reasoning-gym evaluate numbers, lists and formulas, and never code.

Scorers of several data sets call `eval`, or sympy's `parse_expr`, which also evaluates, on the text of a model. An
answer could run any program, read the gold answer from the scorer's variables, or change the scorer. `install` replaces
both functions in the process that judges.
"""

import ast
import re
import sys
from typing import Any

_LITERALS = (
    *(ast.Expression, ast.Constant, ast.List, ast.Tuple, ast.Set, ast.Dict, ast.Load),
    *(ast.BinOp, ast.UnaryOp, ast.operator, ast.unaryop),
)
_FORMULA = re.compile(r"[A-Za-z0-9_\s+\-*/^().,!=]*")
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_LONE = re.compile(r"[A-Za-z][A-Za-z0-9]*")
_ATTRIBUTE = re.compile(r"\.\s*[A-Za-z_]")
_SYMBOL = re.compile(r"[A-Za-z][0-9]{0,3}")
_FUNCTIONS = frozenset(
    """
    sqrt exp log ln sin cos tan cot sec csc asin acos atan acot asec acsc arcsin arccos arctan sinh cosh
    tanh coth sech csch asinh acosh atanh erf erfi Abs sign factorial binomial pi alpha beta gamma theta
    """.split()  # noqa: SIM905
)
"""Allowed names of more than one letter."""


def evaluate(text: Any, *_: Any) -> Any:
    """Return the value of numbers, texts and lists of them, with arithmetic. Raises ValueError for anything else.

    >>> evaluate("[1 + 1, 'a']")
    [2, 'a']
    """
    tree = ast.parse(str(text).strip(), mode="eval")
    for node in ast.walk(tree):
        if not isinstance(node, _LITERALS):
            raise ValueError(f"{type(node).__name__} is not evaluated; write numbers, texts and lists")
    return eval(compile(tree, "<answer>", "eval"), {"__builtins__": {}})  # noqa: S307  (it has no name or call)


def check_formula(text: str) -> None:
    """Raise ValueError for a text that is not a formula of numbers, variables of one letter and known functions.

    >>> check_formula("2*x**3 + sin(x)/3 + C")
    """
    if _LONE.fullmatch(text):  # sympy itself parses such names, and a name that is not called does nothing
        return
    names = _NAME.findall(text)
    strange = [name for name in names if not (_SYMBOL.fullmatch(name) or name in _FUNCTIONS)]
    if strange or not _FORMULA.fullmatch(text) or _ATTRIBUTE.search(text):
        raise ValueError(f"not a formula: {(strange or [text[:40]])[0]!r}")


def install() -> None:
    """Replace `eval` in the modules of reasoning-gym that are loaded, and sympy's `parse_expr` in this process."""
    import sympy  # noqa: PLC0415
    from sympy.parsing import sympy_parser  # noqa: PLC0415

    original = sympy_parser.parse_expr

    def parse_expr(s: str, *args: Any, **kwargs: Any) -> Any:
        check_formula(str(s))
        return original(str(s), *args, **kwargs)

    for holder in (
        sympy,
        sympy_parser,
        *(module for name, module in list(sys.modules.items()) if name.startswith("reasoning_gym.")),
    ):
        if getattr(holder, "parse_expr", None) is original:
            vars(holder)["parse_expr"] = parse_expr
        if holder.__name__.startswith("reasoning_gym."):
            vars(holder)["eval"] = evaluate
