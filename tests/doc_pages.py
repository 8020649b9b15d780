"""Shell lines and Python blocks of the documentation, for the tests that hold them to what they say."""

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parent.parent
PAGES = sorted([ROOT / "README.md", ROOT / "CONTRIBUTING.md", *ROOT.glob("docs/*.md")])
FENCE = re.compile(r"^( *)(`{3,4})([^\n]*)\n(.*?)^\1\2 *$", flags=re.MULTILINE | re.DOTALL)
SHELL = ("", "sh", "bash")


def blocks(page: Path, *languages: str) -> list[str]:
    """Return the fenced blocks of these languages, without the indentation that they have in a list."""
    found = FENCE.findall(page.read_text())
    return [
        re.sub(f"^{indent}", "", text, flags=re.MULTILINE)
        for indent, _, language, text in found
        if language.strip() in languages
    ]


def indented(page: Path) -> list[str]:
    """Return the blocks that are indented by four spaces, outside of fences and lists."""
    text = FENCE.sub("", page.read_text())
    return re.findall(r"(?:^ {4}\S.*\n)+", text, flags=re.MULTILINE)


def shell_lines(page: Path) -> Iterator[str]:
    """Yield every command: one line each, continued lines joined, comments and what is typed at a prompt left out."""
    for block in [*blocks(page, *SHELL), *(re.sub(r"^ {4}", "", text, flags=re.MULTILINE) for text in indented(page))]:
        for line in re.sub(
            r"<< *'(\w+)'\n.*?^\1$", "", block.replace("\\\n", " "), flags=re.MULTILINE | re.DOTALL
        ).splitlines():
            command = re.sub(r"\s#\s.*|\s{3,}.*", "", line.strip().removeprefix("$ "))
            if (
                re.match(
                    r"(kgym|python|make|pip|ray|torchrun|sbatch|echo|cat|trl|lm_eval|inspect|\.venv|[A-Z_]+=\S+ )\b",
                    command,
                )
                and "error:" not in command
            ):
                yield command.strip()


def kgym_words(command: str) -> list[str] | None:
    """Return the words after `kgym` of a command line, if it runs kgym."""
    *_, command = re.split(r"\s*(?:\||&&)\s*", command)
    match = re.search(r"(?:^|[\s/])(?:-m )?kgym (.*)$", command)
    return shlex.split(re.sub(r"\s[<>]\s*\S+$", "", match[1])) if match else None
