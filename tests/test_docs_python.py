"""Every Python block of the documentation runs, or is named in a list with the reason."""

import doctest

import pytest

from doc_pages import PAGES, blocks

NOT_RUN = {
    "plugins.md": {
        "": "fragments of a package; docs/examples has a whole file for each hook, which tests/test_docs_examples.py "
        "runs",
    },
    "environments.md": {
        '"""The environment `arithmetic`': "the file itself, as tests/test_environments_docs.py makes sure",
        "@hookimpl": "a fragment of kgym_envs",
    },
    "algorithms.md": {
        "from kgym.algorithms.base import": "tests/test_algorithms_docs.py runs it",
        ">>>": "tests/test_algorithms_docs.py runs them",
    },
}
"""Blocks that are not run by this file, by page and beginning, with the reason; "" is every block of the page that
cannot run alone.
"""
ALONE = {"plugins.md": ("from kgym.answers import", "from kgym.envs.spec import")}
"""Blocks of such a page that do run."""


def _cases():
    for page in PAGES:
        for number, block in enumerate(blocks(page, "python")):
            yield pytest.param(page, block, id=f"{page.name}-{number}")


def _reason(name, block):
    if block.startswith(ALONE.get(name, ("\0",))):
        return None
    return next((reason for begin, reason in NOT_RUN.get(name, {}).items() if block.startswith(begin)), None)


@pytest.mark.parametrize(("page", "block"), list(_cases()))
def test_the_block_runs(page, block, tmp_path, monkeypatch):
    if _reason(page.name, block):
        return
    monkeypatch.chdir(tmp_path)
    if block.startswith(">>>"):
        test = doctest.DocTestParser().get_doctest(block, {}, page.name, str(page), 0)
        assert doctest.DocTestRunner().run(test).failed == 0
        return
    exec(compile(block, f"{page.name}", "exec"), {"__name__": "documentation"})


def test_every_reason_is_needed():
    for name, reasons in NOT_RUN.items():
        (page,) = [page for page in PAGES if page.name == name]
        for begin in reasons:
            assert any(block.startswith(begin) for block in blocks(page, "python")), (name, begin)
