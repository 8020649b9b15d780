"""The hook of mkdocs, which builds the site: it adds the generated pages, and changes links between files to links to
their pages.
"""

import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))

import generated
import notebooks
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page
from outside import DOCS, ROOT, SHOWN, outside_files, relinked, site_path, source_page

ORIGIN: dict[str, Path] = {}
"""File of the repository that a page was made of, by the place of the page."""


LISTS = {"HOOKS": generated.hooks, "RECORDS": generated.records, "PROTOCOLS": generated.protocols}
"""Parts of the navigation that are made from the code; MORE is every page of `docs/` that it does not name."""


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Put the pages of hooks and protocols into the navigation."""
    assert config.nav is not None
    lists = {name: generated.nav(names()) for name, names in LISTS.items()}
    lists["MORE"] = [path.name for path in sorted(DOCS.glob("*.md")) if f"'{path.name}'" not in str(config.nav)]
    config.nav = _filled(config.nav, lists)
    return config


def _filled(nav: Any, lists: dict[str, list[Any]]) -> Any:
    if isinstance(nav, list):
        filled = [_filled(item, lists) for item in nav]
        return [item for item in filled if item not in ([], {"More": []})]
    if isinstance(nav, dict):
        return {name: _filled(item, lists) for name, item in nav.items()}
    return lists.get(nav, nav)


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the generated pages, the notebooks, and the files outside of `docs/` that pages link to."""
    for place, text in [*generated.pages(), *notebooks.pages(DOCS / "notebooks")]:
        files.append(File.generated(config, place, content=text))
    for path in outside_files(DOCS.glob("*.md")):
        place = site_path(path)
        ORIGIN[place] = path
        if path.suffix in SHOWN:
            files.append(File.generated(config, place, content=source_page(path)))
        else:
            files.append(File.generated(config, place, abs_src_path=str(path)))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Lead links out of `docs/` to the pages of what they name."""
    path = ORIGIN.get(page.file.src_uri, DOCS / page.file.src_uri)
    return relinked(markdown, path) if path.is_relative_to(ROOT) and path.suffix == ".md" else markdown
