"""Ctrl-C, SIGTERM and SIGHUP end a command in the same way: files stay complete, one line says how to resume, and the
exit status is 128 + the signal.
"""

import argparse
import shlex
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from types import FrameType
from typing import NoReturn

from kgym.world import is_loss

SIGNALS = (signal.SIGTERM, signal.SIGHUP)
AGAIN_S = 0.02
"""Time after which a lost interruption is raised again from a thread; at once it would be lost in the same place."""


class Interrupted(KeyboardInterrupt):
    """The process was asked to end by a signal other than that of Ctrl-C."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number


@contextmanager
def signals_interrupt() -> Iterator[None]:
    """Raise Interrupted on SIGTERM and SIGHUP while the block runs. A signal that is ignored (nohup) or has a handler
    is not changed.

    Python only prints an exception from a destructor or a callback; an interruption there is raised again after it.
    """
    if threading.current_thread() is not threading.main_thread():  # handlers can be set only in the main thread
        yield
        return
    ours = [number for number in SIGNALS if signal.getsignal(number) is signal.SIG_DFL]
    for number in ours:
        signal.signal(number, _interrupt)
    before = sys.unraisablehook

    def lost(found: "sys.UnraisableHookArgs") -> None:
        stop = found.exc_value
        if not isinstance(stop, KeyboardInterrupt):
            before(found)
            return
        if isinstance(stop, Interrupted):
            signal.signal(stop.number, _interrupt)
        number = stop.number if isinstance(stop, Interrupted) else signal.SIGINT
        again = threading.Timer(AGAIN_S, signal.pthread_kill, [threading.get_ident(), number])
        again.daemon = True
        again.start()

    sys.unraisablehook = lost
    try:
        yield
    finally:
        sys.unraisablehook = before
        for number in ours:
            signal.signal(number, signal.SIG_DFL)


def _interrupt(number: int, frame: FrameType | None) -> NoReturn:
    signal.signal(number, signal.SIG_DFL)  # a second one ends the process at once
    raise Interrupted(number)


@contextmanager
def saying_how_to_go_on(how: Callable[[], str]) -> Iterator[None]:
    """Add what `how` returns to the line that is printed if the block is interrupted, or another rank of the run is
    lost.
    """
    try:
        yield
    except BaseException as stop:
        if isinstance(stop, KeyboardInterrupt) or is_loss(stop):
            stop.add_note(how())
        raise


def command_line(args: argparse.Namespace, words: Sequence[str]) -> str:
    """Return a command to type, with the plugins that -p names for the present command."""
    return shlex.join(["kgym", *(word for name in args.loaded for word in ("-p", name)), *words])


def farewell(stop: KeyboardInterrupt) -> tuple[str, int]:
    """Return the line about an interruption and the exit status."""
    number = stop.number if isinstance(stop, Interrupted) else signal.SIGINT
    text = f"ended by {signal.Signals(number).name}" if isinstance(stop, Interrupted) else "interrupted"
    return "; ".join([text, *getattr(stop, "__notes__", [])]), 128 + number
