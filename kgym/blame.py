"""Errors of components name the component: its kind, name and distribution, and the problem that it worked on.

with blaming("shaper", shaper, problem=group.problem.id):
    rewards = list(shaper(group, group.rewards, step))

shaper 'brevity' of acme-shapers 1.2, problem aime/train/7: ZeroDivisionError: division by zero
"""

import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NoReturn

from kgym.errors import ComponentError, KgymError
from kgym.loading import prints_to_stderr
from kgym.neutral import error_line

_labels: dict[int, tuple[Callable[[], Any], str]] = {}
"""The label of each component that the registry made, by the component's id."""


def remember(component: Any, label: str) -> None:
    """Keep the label of a component for messages, for as long as the component lives."""
    key = id(component)
    try:
        alive: Callable[[], Any] = weakref.ref(component, lambda _: _labels.pop(key, None))
    except TypeError:  # of a class without weak references
        alive = lambda: component  # noqa: E731
    _labels[key] = alive, label


def label_of(kind: str, component: Any) -> str:
    """Return the label of a component: the registry's, or else its class."""
    alive, label = _labels.get(id(component), (lambda: None, ""))
    return label if label and alive() is component else f"{kind} {type(component).__name__}"


@contextmanager
def blaming(kind: str, component: Any, *, problem: str = "") -> Iterator[None]:
    """Put the name of a component before any error that it raises inside; what it prints goes to standard error."""
    try:
        with prints_to_stderr():
            yield
    except (Exception, SystemExit) as error:  # third-party code may raise anything
        blame(kind, component, error, problem=problem)


def blame(kind: str, component: Any, error: BaseException, *, problem: str = "") -> NoReturn:
    """Raise the error with the name of the component before it: a KgymError keeps its type, anything else becomes a
    ComponentError.
    """
    where = label_of(kind, component) + (f", problem {problem}" if problem else "")
    if isinstance(error, KgymError):
        if not str(error).startswith(where):
            error.args = (f"{where}: {error}",)
        raise error
    raise ComponentError(f"{where}: {error_line(error)}") from error
