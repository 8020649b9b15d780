"""What `kgym eval` prints while it scores: how far it is, how fast, what failed, and when it will be done.

    1024/5000 completions | 12.3/s | 4,100 tokens/s | 5:23 left | 12 failures | score 41.2% of 512

The line is the same for every engine and goes to standard error. On a terminal it changes in place; elsewhere a new
line is written at each tenth of the way and each minute.
"""

import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Self, TextIO

from kgym.cli.output import clock, percent
from kgym.neutral import printable

if TYPE_CHECKING:
    from pandas import Series

    from kgym.score.playing import Standing

LINE_S = 60.0
"""The longest time between two lines where the output is not a terminal."""
REDRAW_S = 0.1
"""The shortest time between two changes of the line on a terminal."""


class Progress:
    """Follows `kgym.score.evaluating.Watch`."""

    def __init__(self, out: TextIO, *, quiet: bool, prefix: str = "") -> None:
        """`prefix` names the benchmark if there are several."""
        self.out = out
        self.quiet = quiet
        self.prefix = prefix
        self.live = out.isatty()
        self.tenth: int | None = None
        self.written = -REDRAW_S
        self.score_sum, self.n_scored = 0.0, 0
        self.newest: Standing | None = None
        self.start = time.monotonic()

    def begun(self, lines: Sequence[str]) -> Self:
        """Write lines that stay, and start the clock."""
        for line in lines:
            self._write(line, end="\n")
        self.start = self.written = time.monotonic()
        return self

    def scored(self, scores: "Series[float]") -> None:
        """Take the scores of completions that have been stored."""
        self.score_sum += float(scores.sum())
        self.n_scored += int(scores.count())

    def __call__(self, standing: "Standing") -> None:
        """Take how far the scoring is, and write a line if it is time for one."""
        self.newest = standing
        now, tenth = time.monotonic(), 10 * standing.done // standing.total
        if self.tenth is None:
            self.tenth = 10 * (standing.done - standing.played) // standing.total
        if (
            now - self.written < (REDRAW_S if self.live else LINE_S)
            and (tenth == self.tenth or self.live)
            and standing.done < standing.total
        ):
            return
        self.tenth, self.written = tenth, now
        self._write(self._line(standing, now - self.start), end="" if self.live else "\n")

    def _line(self, standing: "Standing", seconds: float) -> str:
        from kgym.score.playing import n_failed

        parts = [f"{self.prefix}{standing.done}/{standing.total} completions"]
        if standing.played and seconds > 0:
            rate = standing.played / seconds
            left = clock((standing.total - standing.done) / rate)
            parts += [f"{rate:.1f}/s", f"{standing.tokens / seconds:,.0f} tokens/s", f"{left} left"]
        if standing.usage:
            failed = n_failed(standing.usage)
            parts.append(f"{failed} failure{'' if failed == 1 else 's'}")
        if self.n_scored:
            parts.append(f"score {percent(self.score_sum / self.n_scored)} of {self.n_scored}")
        return " | ".join(parts)

    def ended(self) -> None:
        """Write what was played and how long it took."""
        at = self.newest
        if at is None or not at.played:
            return
        seconds = time.monotonic() - self.start
        speed = f", {at.tokens / seconds:,.0f} tokens/s" if seconds > 0 else ""
        self._write(
            f"{self.prefix}played {at.played} completions, {at.tokens:,} tokens, in {clock(seconds)}{speed}", end="\n"
        )

    def _write(self, text: str, end: str) -> None:
        if self.quiet:
            return
        self.out.write(("\r\033[K" if self.live else "") + printable(text) + end)
        self.out.flush()


def usage_line(usage: Mapping[str, int]) -> str:
    """Return what an engine has counted, as text.

    >>> usage_line({"requests": 5012, "prompt_tokens": 90000, "completion_tokens": 1200000, "failed_429": 8})
    '5,012 requests; 90,000 prompt and 1,200,000 completion tokens; 8 failed and were sent again (429 8)'
    >>> usage_line({"failed_replica": 1})
    '1 failed and was sent again (replica 1)'
    """
    from kgym.score.playing import n_failed

    parts = []
    if n := usage.get("requests", 0):
        parts.append(f"{n:,} request{'' if n == 1 else 's'}")
    if {"prompt_tokens", "completion_tokens"} & usage.keys():
        parts.append(
            f"{usage.get('prompt_tokens', 0):,} prompt and {usage.get('completion_tokens', 0):,} completion tokens"
        )
    if n := n_failed(usage):
        kinds = ", ".join(
            f"{name.removeprefix('failed_')} {count:,}" for name, count in usage.items() if name.startswith("failed_")
        )
        parts.append(f"{n:,} failed and {'was' if n == 1 else 'were'} sent again ({kinds})")
    return "; ".join(parts) or "nothing"
