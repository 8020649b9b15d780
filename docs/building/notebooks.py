"""Notebooks as pages: their cells, with the output that was stored when they were last run."""

from collections.abc import Iterator
from pathlib import Path


def pages(folder: Path) -> Iterator[tuple[str, str | bytes]]:
    """Yield the place and the content of a page for each notebook, and of each of its pictures."""
    from nbconvert import MarkdownExporter

    for path in sorted(folder.glob("*.ipynb")):
        exporter = MarkdownExporter()
        text, resources = exporter.from_filename(str(path), resources={"output_files_dir": f"{path.stem}_files"})
        note = f"*This page is the notebook `docs/notebooks/{path.name}`, which a test runs.*"
        title, _, rest = text.lstrip().partition("\n")
        yield f"notebooks/{path.stem}.md", f"{title}\n\n{note}\n{rest}"
        for name, content in resources["outputs"].items():
            yield f"notebooks/{name}", content
