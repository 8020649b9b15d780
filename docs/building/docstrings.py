"""The extension of griffe, which reads the code: examples at a prompt in docstrings become blocks of code, which
Markdown would run together.
"""

import re
from typing import Any

from griffe import Extension, Object

PROMPT = re.compile(r"(?:^|(?<=\n\n))(>>> .*?)(?=\n\n|\Z)", flags=re.DOTALL)


def fenced(text: str) -> str:
    """Return a docstring with a fence around each paragraph that begins with a prompt."""
    return PROMPT.sub(r"```pycon\n\1\n```", text)


class Docstrings(Extension):
    """Puts fences around the examples of every docstring."""

    def on_object(self, *, obj: Object, **_: Any) -> None:
        """Change the docstring of a module, class, function or attribute."""
        if obj.docstring is not None:
            obj.docstring.value = fenced(obj.docstring.value)
