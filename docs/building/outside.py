"""Pages from outside of `docs/`: what a page links to in the repository becomes a page of the site, below `project/`.

On a code host `[rules](../CONTRIBUTING.md)` opens the file; here the same link opens the page
`project/CONTRIBUTING.md`. Markdown is shown as a page, other text as source, and pictures and tables are copied.
"""

import os
import re
from collections.abc import Iterable, Iterator
from pathlib import Path, PurePosixPath

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
LINK = re.compile(r"(?<=\]\()(?!https?:|mailto:|#)([^)\s#]+)(#[^)\s]*)?(?=\))")
SHOWN = {".py": "python", ".toml": "toml", ".sh": "sh", ".json": "json", ".yml": "yaml", ".txt": "text"}
ALWAYS = ("CONTRIBUTING.md", "CHANGELOG.md", "SECURITY.md", "recipes/README.md")
"""Shown because the navigation names them, whether a page links to them or not."""


def site_path(path: Path) -> str:
    """Return where a file of the repository is on the site."""
    if path.is_relative_to(DOCS):
        return path.relative_to(DOCS).as_posix()
    inside = PurePosixPath("project") / path.relative_to(ROOT).as_posix()
    return f"{inside}.md" if path.suffix in SHOWN else str(inside)


def relinked(markdown: str, path: Path) -> str:
    """Return the text of the page at `path` with its links to files of the repository led to their pages."""
    here = Path(site_path(path)).parent

    def lead(match: re.Match[str]) -> str:
        target = (path.parent / match[1]).resolve()
        if target.is_dir() and (target / "README.md").exists():
            target /= "README.md"
        if not target.is_file() or not target.is_relative_to(ROOT):
            return match[0]
        return Path(os.path.relpath(site_path(target), here)).as_posix() + (match[2] or "")

    parts = re.split(r"(^```.*?^```$)", markdown, flags=re.MULTILINE | re.DOTALL)
    return "".join(part if part.startswith("```") else LINK.sub(lead, part) for part in parts)


def outside_files(pages: Iterable[Path]) -> Iterator[Path]:
    """Yield every file outside of `docs/` that the pages need, and those that these need."""
    seen: set[Path] = set()
    todo = [*(ROOT / name for name in ALWAYS), *pages]
    while todo:
        path = todo.pop()
        if path in seen:
            continue
        seen.add(path)
        if not path.is_relative_to(DOCS):
            yield path
        if path.suffix == ".md":
            todo += [target for target in _targets(path) if target.is_file() and target.is_relative_to(ROOT)]


def _targets(path: Path) -> Iterator[Path]:
    for match in LINK.finditer(path.read_text()):
        target = (path.parent / match[1]).resolve()
        yield target / "README.md" if target.is_dir() else target


def source_page(path: Path) -> str:
    """Return a page that shows a file as it is."""
    return f"# {path.relative_to(ROOT).as_posix()}\n\n````{SHOWN[path.suffix]}\n{path.read_text()}````\n"
