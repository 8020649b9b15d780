"""The documentation is true: every hook and every metric is described, every link points somewhere, every command
exists.
"""

import inspect
import re
from pathlib import Path

import pytest

from kgym import hookspecs

ROOT = Path(__file__).parent.parent
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/*.md"), *ROOT.glob("*/README.md")])
HOOKS = sorted(name for name in vars(hookspecs) if name.startswith("kgym_"))


@pytest.mark.parametrize("name", HOOKS)
def test_every_hook_has_a_section_with_its_signature(name):
    sections = re.split(r"^### ", (ROOT / "docs/plugins.md").read_text(), flags=re.MULTILINE)
    (section,) = [section for section in sections if section.startswith(f"`{name}`")]
    block = section.split("```")[1]
    for parameter in inspect.signature(getattr(hookspecs, name)).parameters:
        assert f"{parameter}:" in block
    assert name in block


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_local_links_point_at_files(page):
    for target in re.findall(r"\]\((?!https?:|#|mailto:)([^)#]+)", page.read_text()):
        generated = target.startswith("reference/")  # made when the site is built: tests/test_docs_site.py
        assert generated or (page.parent / target).exists(), target


def test_every_command_that_is_named_exists():
    from kgym.cli.main import COMMANDS

    named = set()
    for page in PAGES:
        text = page.read_text()
        blocks = "".join(re.findall(r"^ *```.*?^ *```", text, flags=re.DOTALL | re.MULTILINE))
        named |= {
            *re.findall(r"`kgym ([a-z]+)\b", text),
            *re.findall(r"^ *kgym ([a-z]+)\b", blocks, flags=re.MULTILINE),
        }
    assert named <= set(COMMANDS), named - set(COMMANDS)


def test_the_tree_of_errors_has_all_of_them_under_their_bases():
    from kgym import errors

    tree = re.findall(r"([│ ]*)[├└]── (\w+)(?: \((\w+)\))?", errors.__doc__)
    drawn, parent = {}, "KgymError"
    for indent, name, builtin in tree:
        drawn[name] = {parent if len(indent) > 4 else "KgymError", builtin} - {""}
        parent = parent if len(indent) > 4 else name
    classes = {name: cls for name, cls in vars(errors).items() if inspect.isclass(cls) and name != "KgymError"}
    ours = {name: cls for name, cls in classes.items() if issubclass(cls, errors.KgymError)}
    assert drawn == {name: {base.__name__ for base in cls.__bases__} for name, cls in ours.items()}
