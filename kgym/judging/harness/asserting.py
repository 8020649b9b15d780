"""Runs in a sandbox without the program: runs the statements of a test, whose calls of the function are sent over file
descriptor 3.

    python3 asserting.py NAME       exit code 0: the statements ran to the end; 4: they cannot be run, for any program

The program cannot see the statements or the expected values, and it sends only plain values. The source that the
problem has before the program, such as imports and helpers, is also available to the statements.
"""

import ast
import builtins
import importlib
import os
import socket
import sys
import traceback
from typing import Any

BAD_STATEMENTS = 4


class Function:
    """A function of the program."""

    def __init__(self, name: str) -> None:
        self.__name__ = name
        self.wire: Any = importlib.import_module("wire")
        self.channel = socket.socket(fileno=3)
        self.called = False
        self.raised: BaseException | None = None
        """What the newest call raised, which the program caused."""

    def __call__(self, *arguments: Any, **keywords: Any) -> Any:
        """Call the function in the program. Raises the built-in exception that it raised, or RuntimeError."""
        self.called = True
        try:
            self.wire.send(self.channel, self.__name__, list(arguments), keywords)
            kind, *rest = self.wire.receive(self.channel)
            if kind == "value":
                return rest[0]
            raised: Any = getattr(builtins, str(rest[0]), None)
            if not (isinstance(raised, type) and issubclass(raised, Exception)) or raised is StopIteration:
                raised = RuntimeError  # a StopIteration would end a loop of the statements, which would then pass
            raise raised(rest[1])
        except Exception as error:
            self.raised = error
            raise


def main(name: str) -> None:
    """Run the statements."""
    sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
    function = Function(name)
    names: dict[str, Any] = {"__name__": "tests"}
    assigned: set[str] = set()
    try:
        for file in ("before.py", "statements.py"):
            names |= {name: function, "candidate": function}
            with open(file, encoding="utf-8") as text:
                tree = ast.parse(text.read(), file)
            assigned |= {node.id for node in ast.walk(tree) if type(node) is ast.Name and type(node.ctx) is ast.Store}
            exec(compile(tree, file, "exec"), names)  # noqa: S102  (the tests of a data set, in their own sandbox)
        if "check" in names:  # as in HumanEval
            names["check"](function)
    except (SyntaxError, ImportError, NameError) as error:
        traceback.print_exc()
        skipped = isinstance(error, NameError) and (type(error) is UnboundLocalError or error.name in assigned)
        at_fault = error is function.raised or (skipped and function.called)  # such as a loop over an empty result
        os._exit(1 if at_fault else BAD_STATEMENTS)
    os._exit(0)


if __name__ == "__main__":
    main(sys.argv[1])
