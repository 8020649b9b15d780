"""Verdicts, and the verifiers that return them."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, Protocol

from kgym.types.problems import Chat

if TYPE_CHECKING:  # it takes a while to import
    from concurrent.futures import Future


@dataclass(frozen=True)
class VerifyItem:
    """One completion to judge. `response` is the untrusted text of a model."""

    gold: str
    response: str
    question: str = ""
    """For verifiers that recognise an echo of the question."""
    problem_id: str = ""
    """Names the problem in messages; a verdict does not depend on it."""
    turns: Chat = ()
    """Turns before `response`, as messages: those of the policy and the replies of the environment. () where the
    environment has not replied.
    """


Status = Literal["correct", "wrong", "no_answer", "unscored"]


@dataclass(frozen=True)
class Verdict:
    """A verifier's finding. It has no truth value, since there are more than two: compare `status`, or ask `scored`."""

    status: Status
    reason: str = ""
    """The rule that decided (`integer`, `hedged`), or why there is no score (`timeout`)."""
    answer: str | None = None
    """The answer as it was extracted from the completion, unchanged."""
    normal: str | None = None
    """The answer in the verifier's normal form; equal forms are the same answer."""
    seconds: float = field(default=0.0, compare=False)
    partial: float | None = None
    """A score in [0, 1] from verifiers that give partial credit; it counts for every status. None from others."""
    trace: str = field(default="", compare=False)
    """How the verifier came to its finding, one step a line, if it was asked to explain; for a program, the case that
    it failed.
    """

    def __post_init__(self) -> None:
        """Raises ValueError for an unknown status, or an unscored verdict without its reason."""
        if self.status not in ("correct", "wrong", "no_answer", "unscored"):
            raise ValueError(f"verdict status {self.status!r} must be one of correct, wrong, no_answer, unscored")
        if self.status == "unscored" and not self.reason:
            raise ValueError("an unscored verdict needs its reason")
        if self.partial is not None and not 0.0 <= self.partial <= 1.0:
            raise ValueError(f"partial={self.partial} is not in [0, 1]")

    def __bool__(self) -> bool:
        """Raise: `if verdict:` would take a timeout for a wrong answer, or the reverse."""
        raise TypeError("a Verdict has no truth value; compare verdict.status or ask verdict.scored")

    @property
    def scored(self) -> bool:
        """Whether the completion was judged at all."""
        return self.status != "unscored"

    @property
    def correct(self) -> bool | None:
        """True, False, or None if unscored."""
        return self.status == "correct" if self.scored else None

    @property
    def score(self) -> float:
        """What the board counts, in [0, 1]. Raises ValueError if unscored: mask it, do not count it as 0."""
        if not self.scored:
            raise ValueError(f"no score: the completion is unscored ({self.reason})")
        if self.partial is not None:
            return self.partial
        return 1.0 if self.status == "correct" else 0.0

    @property
    def label(self) -> str:
        """`correct`, `wrong`, `no_answer` or `unscored:<why>`: one word for tables and `info["status"]`."""
        return f"unscored:{self.reason}" if self.status == "unscored" else self.status


class Verifier(Protocol):
    """Judges completions. Constructed as `target(options)`."""

    def verify_many(self, items: Sequence[VerifyItem]) -> list[Verdict]:
        """Return one verdict for each item, in order. It never raises: a hostile completion gets a verdict too.

        Should it raise all the same, the item is `unscored:error:NAME`; if it returns something other than a verdict,
        `unscored:bad_verdict`.
        """


class LoadedVerifier(Verifier, Protocol):
    """A verifier as `kgym.verify.service.load_verifier` returns it."""

    batched: bool
    """Whether to ask it about many completions at once instead of each as it ends; see `VerifierInfo.batched`."""

    def submit(self, item: VerifyItem) -> "Future[Verdict]":
        """Judge one completion in the background. The future may be cancelled; it raises VerifierError if the verifier
        cannot be built.
        """
