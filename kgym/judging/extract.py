"""The program in a completion: the last fenced block in Python after the reasoning."""

import re

from kgym.answers import conclusion, find_fences

_PYTHON = re.compile(r"[{.\s]*(?:(?:python|py)[0-9.]*(?:[\s{}:,].*)?)?", re.IGNORECASE | re.DOTALL)
"""What may follow the backquotes: nothing, `python`, `Python 3`, `python title="a.py"`, `{.python}`."""


def program_of(response: str) -> str | None:
    r"""Return the last block between lines of three backquotes that names Python or no language; None if there is none.

    A block that is never closed does not count: the completion was cut short.

    >>> program_of("First:\n```python\nprint(1)\n```\nBetter:\n```\nprint(2)\n```\nRun:\n```sh\npython a.py\n```")
    'print(2)'
    """
    said = conclusion(response)
    blocks = [] if said.open else find_fences(said.text)
    found = [block.content for block in blocks if block.content is not None and _PYTHON.fullmatch(block.info)]
    return found[-1] if found and found[-1].strip() else None
