"""The program in a completion: the last fenced block in Python after the reasoning."""

from kgym.answers import conclusion

LANGUAGES = {"", "py", "python", "python3"}


def program_of(response: str) -> str | None:
    r"""Return the last block between lines of three backquotes that names Python or no language; None if there is none.

    A block that is never closed does not count: the completion was cut short.

    >>> program_of("First:\n```python\nprint(1)\n```\nBetter:\n```\nprint(2)\n```\nRun:\n```sh\npython a.py\n```")
    'print(2)'
    """
    said = conclusion(response)
    if said.open:
        return None
    found: str | None = None
    block: list[str] | None = None
    language = ""
    for line in said.text.replace("\r\n", "\n").split("\n"):  # other ends of lines, such as U+2028, are the program's
        mark = line.strip()
        if block is None and mark.startswith("```"):
            block, language = [], mark.strip("`").strip().lower()
        elif block is not None and mark == "```":
            if language in LANGUAGES:
                found = "\n".join(block)
            block = None
        elif block is not None:
            block.append(line)
    return found if found is not None and found.strip() else None
