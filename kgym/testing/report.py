"""The arguments and the report of every kit of checks.

    report = check_sampler("mine", options={"pool": 100})     # the name under which it is registered
    report = check_sampler(Mine, options={"pool": 100})       # the class that `target` of its record names
    report = check_sampler(mine)                              # an instance

A kit makes all of its checks. It then returns a `Report` if all passed, or raises a `ConformanceError`, an
AssertionError with every failure in its message.
"""

import copy
import reprlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Self

from kgym.errors import ConfigError
from kgym.neutral import error_line
from kgym.options import Options, for_run, validated
from kgym.registry import registry

RUN_STEPS = 8
"""Steps of the assumed run: options that are shares of a run become numbers of its steps."""


class ConformanceError(AssertionError):
    """A component does not keep the contract of its kind; `report` has the failures."""

    def __init__(self, report: "Report") -> None:
        super().__init__(
            "\n".join([f"{report.kind} {report.name} does not conform:", *(f"  {text}" for text in report.failures)])
        )
        self.report = report

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle with the report: pytest-xdist sends errors between processes."""
        return ConformanceError, (self.report,)


@dataclass
class Report:
    """The result of a kit."""

    kind: str
    name: str
    passed: list[str] = field(default_factory=list)
    """Names of the checks that passed."""
    failures: list[str] = field(default_factory=list)
    """One line for each check that failed; empty if the component conforms."""
    figures: dict[str, float] = field(default_factory=dict)
    """Counts and measurements (`attacks`, `slowest_s`)."""

    @contextmanager
    def check(self, what: str) -> Iterator[None]:
        """Make one check: an AssertionError inside is a failure, and so is any other exception of a component."""
        try:
            yield
        except AssertionError as error:
            self.failures.append(f"{what}: {shortened(' '.join(str(error).split()) or 'it does not hold', 300)}")
        except (Exception, SystemExit) as error:  # third-party code may raise anything
            self.failures.append(f"{what}: it raised {error_line(error, 300)}")
        else:
            self.passed.append(what)

    def finish(self) -> Self:
        """Return the report. Raises ConformanceError if anything failed."""
        if self.failures:
            raise ConformanceError(self)
        return self


def maker(kind: str, subject: Any, options: Mapping[str, Any] | None = None) -> Callable[..., Any]:
    """Return a function that makes another instance of the component; its arguments are those that follow the options.

    For an instance it makes copies. Raises ConfigError for options that the component does not take, or for options
    with an instance.
    """
    if isinstance(subject, str):
        named = for_run(registry().options(kind, subject, options), RUN_STEPS)
        return lambda *context: registry().construct(kind, subject, named, *context)
    if isinstance(subject, type):
        checked = for_run(validated(getattr(subject, "Options", Options), options or {}, kind), RUN_STEPS)
        return lambda *context: subject(checked, *context)
    if options:
        raise ConfigError(
            f"options={options!r}: an instance of {type(subject).__name__} has its options; give the class instead"
        )
    return lambda *context: copy.deepcopy(subject)


def name_of(subject: Any) -> str:
    """Return the name of a component in a report."""
    if isinstance(subject, str):
        return subject
    return str(getattr(subject, "__name__", type(subject).__name__))


def shortened(text: str, at_most: int = 100) -> str:
    """Return a text, with its middle left out if it is longer than `at_most`."""
    return (
        text
        if len(text) <= at_most
        else f"{text[: at_most // 2]} ... {text[-(at_most // 3) :]} ({len(text):,} characters)"
    )


def shown(value: Any, at_most: int = 100) -> str:
    """Return a value as a line of printable characters, shortened."""
    return shortened(ascii(value) if isinstance(value, str) else reprlib.repr(value), at_most)
