"""The Markdown of the documents: paragraphs, lists and blocks of code are what their author meant."""

import re

import pytest

from doc_pages import FENCE, SHELL, blocks
from test_prose import PAGES, ROOT, without_code

ITEM = re.compile(r" *(?:[-*+]|\d+[.)]) +\S")
HERE = [page for page in PAGES if page.name != "CHANGELOG.md"]


def name(page):
    return str(page.relative_to(ROOT))


def begins_like_an_item(text):
    """Return the lines within a paragraph that begin like the items of a list.

    Some readers of Markdown begin a list there, and the site does not.
    """
    found = []
    for paragraph in re.split(r"\n\s*\n", text):
        first, *lines = paragraph.strip("\n").splitlines() or [""]
        if not ITEM.match(first) and not first.startswith((":::", "<!--", "|", "#")):
            found += [line for line in lines if ITEM.match(line)]
    return found


def torn_lists(text):
    """Return the items after an empty line in lists whose other items follow each other without one."""
    found = []
    for part in re.split(r"\n(?=\S)(?![-*+] |\d+[.)] )", text):  # a list, with the paragraph before it
        items = re.findall(r"(?m)^(\n?)([-*+] .*)", part)
        spaced = [item for empty, item in items[1:] if empty]
        if 0 < len(spaced) < len(items) - 1:
            found += spaced
    return found


@pytest.mark.parametrize(
    ("text", "n"),
    [
        ("the date is\n1. of May", 1),
        ("so:\n- one", 1),
        ("- one\n  two\n- three", 0),
        ("so:\n\n1. one\n2. two\n\nand", 0),
    ],
)
def test_a_wrapped_line_that_begins_like_an_item_is_found(text, n):
    assert len(begins_like_an_item(text)) == n


@pytest.mark.parametrize(
    ("text", "n"), [("- a\n- b\n\n- c", 1), ("- a\n\n- b\n\n- c", 0), ("- a\n- b\n\nso\n\n- c", 0)]
)
def test_a_torn_list_is_found(text, n):
    assert len(torn_lists(text)) == n


@pytest.mark.parametrize("page", HERE, ids=name)
def test_paragraphs_and_lists_are_not_run_together_or_torn(page):
    text = without_code(page)
    assert begins_like_an_item(text) == []
    assert torn_lists(text) == []


@pytest.mark.parametrize("page", HERE, ids=name)
def test_what_belongs_to_an_item_is_indented_by_four(page):
    """With less the site ends the list there, and begins to count again."""
    assert re.findall(r"(?m)^ {1,3}```.*", page.read_text()) == []
    assert re.findall(r"\n\n( {1,3}\S.*)", FENCE.sub("code", page.read_text())) == []
    assert re.findall(r"(?m)^ {1,3}(?:[-*+]|\d+[.)]) .*", without_code(page)) == []


@pytest.mark.parametrize("page", HERE, ids=name)
def test_blocks_of_code_are_whole(page):
    outside = FENCE.sub("code", page.read_text())
    assert re.findall(r"(?m)^ *```.*", outside) == [], "a fence is not closed"
    assert re.findall(r"\n\n\n.*", outside) == [], "two empty lines"
    texts = [text for _, _, language, text in FENCE.findall(page.read_text()) if not text.startswith(">>>")]
    assert [text for text in texts if text != text.strip("\n") + "\n"] == [], "empty lines at an end"


@pytest.mark.parametrize("page", HERE, ids=name)
def test_what_is_said_of_a_command_is_a_comment(page):
    """A line that a reader copies into a shell works there."""
    said = [
        line
        for block in blocks(page, *SHELL)
        for line in block.splitlines()
        if re.match(r"(kgym|make|python|pip|echo|\.venv)\b.*\S {3,}[^#\s]", line)
    ]
    assert said == []


KEYS = {*re.findall(r"(?m)^\| `([\w.]+)` \|", (ROOT / "docs/configuration.md").read_text())}
METRICS = {*re.findall(r"`([a-z_]+/[\w/{}<>]+)`", (ROOT / "docs/metrics.md").read_text())}
OTHER_NAMES = {"train.parquet", "engine.requests"}
"""A file of `kgym envs export`, and an attribute of an engine for tests."""


def is_key(name):
    """Return whether a name is a key, a part of the configuration, or a value in a table that is a key."""
    return any(f"{name}.".startswith(f"{key}.") or f"{key}.".startswith(f"{name}.") for key in KEYS)


@pytest.mark.parametrize("page", HERE, ids=name)
def test_keys_and_metrics_that_a_text_names_exist(page):
    """Those of the environments are left out: families have their own."""
    sections = "engine|algo|sampler|rollout|eval|critic|ptx|train|verifier|audit"
    spans = [span for _, span in re.findall(r"(`+)(?!`)(.+?)(?<!`)\1(?!`)", without_code(page), flags=re.DOTALL)]
    named = {key for span in spans for key in re.findall(rf"(?<![\w./-])(?:{sections})\.[a-z][\w.]*\w", span)}
    groups = {metric.partition("/")[0] for metric in METRICS}
    figures = {span for span in spans if re.fullmatch(r"[a-z_]+/[a-z_]+", span) and span.partition("/")[0] in groups}
    assert sorted(key for key in named - OTHER_NAMES if not is_key(key)) == []
    assert sorted(figures - METRICS) == []


@pytest.mark.parametrize("page", HERE, ids=name)
def test_files_of_the_repository_that_a_text_names_exist(page):
    tops = "kgym|plugins|envs|leaderboards|benchmarks|recipes|examples|docs|tests"
    named = set(re.findall(rf"`((?:{tops})/[\w./*-]*(?:\.[a-z]+|/))`", page.read_text()))
    assert sorted(path for path in named if not [*ROOT.glob(path), *page.parent.glob(path)]) == []
