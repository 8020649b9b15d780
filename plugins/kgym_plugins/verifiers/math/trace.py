"""What each stage made of a gold answer and a response: what `kgym verify --explain` prints."""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field

_SHOWN = 300


@dataclass(frozen=True)
class Step:
    """What one stage made of one text."""

    about: str
    """`gold`, `response` or `both`."""
    stage: str
    """find, clean, phrases, grammar, values or compare: the folder in which to look."""
    text: str


@dataclass
class Trace:
    """The steps of one judgement, in order."""

    steps: list[Step] = field(default_factory=list)
    about: str = "response"

    def __str__(self) -> str:
        """One line for each step; what is said of the same text and stage is under it."""
        lines = []
        before = ("", "")
        for step in self.steps:
            about = step.about if step.about != before[0] else ""
            stage = step.stage if (step.about, step.stage) != before else ""
            lines.append(f"{about:<9} {stage:<8} {step.text}")
            before = (step.about, step.stage)
        return "\n".join(lines)


_current: ContextVar[Trace | None] = ContextVar("kgym_math_trace", default=None)


@contextmanager
def tracing() -> Iterator[Trace]:
    """Collect what the stages note."""
    trace = Trace()
    token = _current.set(trace)
    try:
        yield trace
    finally:
        _current.reset(token)


def note(stage: str, *parts: object) -> None:
    """Add a step, if anybody collects them; parts become text only then."""
    trace = _current.get()
    if trace is not None:
        text = " ".join(map(str, parts)).replace("\n", "\\n")
        step = Step(trace.about, stage, text if len(text) <= _SHOWN else text[:_SHOWN] + " ...")
        if trace.steps[-1:] != [step]:  # the value of a phrase is that of its formula
            trace.steps.append(step)


def about(what: str) -> None:
    """Say of which text the next steps are."""
    trace = _current.get()
    if trace is not None:
        trace.about = what


def is_tracing() -> bool:
    """Whether anybody collects steps."""
    return _current.get() is not None
