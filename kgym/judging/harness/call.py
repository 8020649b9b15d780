"""Runs in the sandbox: calls a function of solution.py with the arguments on standard input and prints its result, both
as JSON.

    python3 call.py NAME        exit code 3: the function does not exist

The program's own output is thrown away. The sandbox does not contain kgym, so nothing is imported from it.
"""

import importlib
import json
import os
import sys

NO_FUNCTION = 3


def plain(value: object) -> object:
    """Return a JSON value for a set. Raises TypeError for any other value that JSON does not have."""
    if isinstance(value, set | frozenset):
        return list(value)
    raise TypeError(f"a {type(value).__name__} is not a value of JSON")


def main(name: str) -> None:
    """Call the function once."""
    arguments = json.load(sys.stdin)
    result_fd = os.dup(1)
    os.dup2(os.open("/dev/null", os.O_WRONLY), 1)
    solution = importlib.import_module("solution")
    owner = getattr(solution, "Solution", None)
    owner = owner() if isinstance(owner, type) and hasattr(owner, name) else solution
    function = getattr(owner, name, None)
    if not callable(function):
        os._exit(NO_FUNCTION)
    text = json.dumps(function(*arguments), default=plain)
    with os.fdopen(result_fd, "w") as results:
        results.write(text)
    os._exit(0)


if __name__ == "__main__":
    main(sys.argv[1])
