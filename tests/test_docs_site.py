"""The built site: no dead link or anchor, nothing from the network, and notebooks that run."""

import os
import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest

from doc_pages import PAGES, blocks

ROOT = Path(__file__).parent.parent
NOTEBOOKS = sorted((ROOT / "docs/notebooks").glob("*.ipynb"))
EXTERNAL = ("https://", "http://", "mailto:", "data:", "javascript:")

TAGS = re.compile(
    "html|head|meta|link|title|style|script|body|header|nav|main|article|aside|section|footer"
    "|form|input|label|button|div|span|p|a|ol|ul|li|h[1-6]|pre|code|em|strong|small|sup|sub|del|kbd|br|hr"
    "|img|svg|path|details|summary|blockquote|dl|dt|dd|table|thead|tbody|tr|th|td"
)

pytestmark = pytest.mark.slow


class Page(HTMLParser):
    """What a page links to, what it loads, and its anchors."""

    def __init__(self, path):
        super().__init__()
        self.links, self.loads, self.anchors, self.tags = [], [], set(), set()
        self.feed(path.read_text())

    def handle_starttag(self, tag, attributes):
        given = dict(attributes)
        self.tags.add(tag)
        if given.get("id"):
            self.anchors.add(given["id"])
        if tag == "a" and given.get("href"):
            self.links.append(given["href"])
        if tag in ("script", "img", "iframe", "source") and given.get("src"):
            self.loads.append(given["src"])
        if tag in ("object", "image", "use"):
            self.loads += [given[name] for name in ("data", "href", "xlink:href") if given.get(name)]
        self.loads += [part.split()[0] for part in given.get("srcset", "").split(",") if part.strip()]
        if tag == "link" and given.get("href") and given.get("rel") not in ("canonical", "prev", "next"):
            self.loads.append(given["href"])


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    pytest.importorskip("mkdocs")
    out = tmp_path_factory.mktemp("site")
    words = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(out)]
    done = subprocess.run(
        words, cwd=ROOT, capture_output=True, text=True, check=False, env=os.environ | {"NO_MKDOCS_2_WARNING": "1"}
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return {path.relative_to(out).as_posix(): Page(path) for path in out.rglob("*.html")}, out


def _inside(out, here, target):
    """Return the place on the site of a link of the page `here`, and the anchor."""
    parts = urlsplit(target)
    if not parts.path:
        return here, unquote(parts.fragment)
    place = (out / here).parent / unquote(parts.path) if not parts.path.startswith("/") else out / parts.path[1:]
    resolved = Path(os.path.normpath(place))
    resolved = resolved / "index.html" if resolved.is_dir() else resolved
    return resolved.relative_to(out).as_posix(), unquote(parts.fragment)


def test_no_link_is_dead(site):
    pages, out = site
    dead = []
    for here, page in pages.items():
        if here == "404.html":
            continue  # its links are absolute: it is shown at any address
        for target in [*page.links, *page.loads]:
            if target.startswith(EXTERNAL):
                continue
            place, anchor = _inside(out, here, target)
            if not (out / place).exists():
                dead.append(f"{here}: {target}")
            elif anchor and place in pages and anchor not in pages[place].anchors | {"__toc", "__drawer", "__search"}:
                dead.append(f"{here}: {target} has no such anchor")
    assert dead == []


def test_a_link_to_elsewhere_is_a_whole_address(site):
    pages, _ = site
    elsewhere = {target for page in pages.values() for target in page.links if target.startswith(EXTERNAL)}
    assert elsewhere, "the site links to Gymnasium"
    odd = [target for target in elsewhere if not re.fullmatch(r"https://[a-z0-9-]+(\.[a-z0-9-]+)+(/[^\s<>]*)?", target)]
    assert odd == []


def test_what_a_style_sheet_names_is_there(site):
    _, out = site
    missing = []
    for sheet in out.rglob("*.css"):
        for target in re.findall(r"url\(\s*['\"]?([^'\")]+)", sheet.read_text()):
            if not target.startswith(("data:", "#")) and not (sheet.parent / urlsplit(target).path).exists():
                missing.append(f"{sheet.relative_to(out)}: {target}")
    assert missing == []


def test_a_page_names_another_by_a_link_and_not_by_its_file(site):
    pages, out = site
    said = [
        here
        for here in pages
        if not here.startswith("project/") and re.search(r"<code>docs/[\w-]+\.md</code>", (out / here).read_text())
    ]
    assert said == []


def test_examples_in_docstrings_are_code_and_no_text_is_read_as_markup(site):
    pages, out = site
    odd = {tag: here for here, page in pages.items() for tag in page.tags if not TAGS.fullmatch(tag)}
    assert odd == {}, "such as <think>: a browser would show nothing of it"
    assert [here for here in pages if re.search(r"<blockquote>\s*<blockquote>", (out / here).read_text())] == [], (
        ">>> is a prompt"
    )
    assert "language-pycon" in (out / "api.html").read_text()


def test_what_examples_import_is_described(site):
    pages, _ = site
    known = {anchor for page in pages.values() for anchor in page.anchors} | {
        Path(here).stem for here in pages if here.startswith("reference/")
    }
    sources = [path.read_text() for folder in ("docs/examples", "examples") for path in (ROOT / folder).rglob("*.py")]
    sources += [text for page in PAGES for text in blocks(page, "python")]
    lines = re.findall(r"^from (kgym[.\w]*) import (\([^)]*\)|[^\n#]+)", "\n".join(sources), flags=re.MULTILINE)
    names = {
        f"{module}.{name.strip()}" for module, listed in lines for name in listed.strip("()").split(",") if name.strip()
    }
    assert "kgym.algorithms.ratios.token_ratios" in names
    unknown = [
        name
        for name in names
        if name.startswith("kgym.") and name not in known and name.rpartition(".")[2] not in known
    ]
    assert sorted(unknown) == []


def test_no_page_is_twice_in_the_navigation():
    pages = re.findall(r": (\S+\.md)$", (ROOT / "mkdocs.yml").read_text(), flags=re.MULTILINE)
    assert len(pages) > 20
    assert sorted(page for page in set(pages) if pages.count(page) > 1) == []


def test_nothing_is_loaded_from_the_network(site):
    pages, out = site
    loaded = [
        f"{here}: {target}"
        for here, page in pages.items()
        for target in page.loads
        if target.startswith(("http:", "https:", "//"))
    ]
    assert loaded == []
    for sheet in out.rglob("*.css"):
        assert not re.search(r"url\(\s*['\"]?(?:https?:)?//|@import\s+['\"]https?:", sheet.read_text()), sheet.name


def test_every_page_of_the_navigation_and_every_hook_and_protocol_is_there(site):
    from test_docs_examples import GENERATED

    pages, _ = site
    assert {
        f"reference/{name}.html" for name in [*GENERATED.hooks(), *GENERATED.records(), *GENERATED.protocols()]
    } <= set(pages)
    for name in GENERATED.hooks():
        assert "example" in pages[f"reference/{name}.html"].anchors
    assert "kgym.verify.one.verify" in pages["api.html"].anchors
    assert "kgym-train" in pages["reference/commands.html"].anchors


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_runs_from_the_first_cell_to_the_last(path, tmp_path):
    nbclient = pytest.importorskip("nbclient")
    import nbformat

    notebook = nbformat.read(path, as_version=4)
    environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONWARNINGS": "default"}
    client = nbclient.NotebookClient(notebook, timeout=600, resources={"metadata": {"path": str(tmp_path)}})
    client.execute(env=environment)
    stored = nbformat.read(path, as_version=4)
    assert [_kinds(cell) for cell in notebook.cells] == [_kinds(cell) for cell in stored.cells]


def _kinds(cell):
    """Return what a cell showed; what libraries say on standard error is not stored."""
    return [output.output_type for output in cell.get("outputs", []) if output.get("name") != "stderr"]
