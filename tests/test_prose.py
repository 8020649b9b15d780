"""The prose is plain English: words and constructions that the style page leaves out fail here, with their replacement.

Searched are the documents, the docstrings and comments of all source, and the messages and help of the library.
Left out are code, paths, quotations of code in backticks, and what a model or a data set says: the texts of problems,
the phrases that the mathematics verifier reads, and the answers in tests.
"""

import ast
import io
import re
import tokenize
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
SOURCE = ("kgym", "plugins", "envs", "leaderboards", "benchmarks", "recipes", "examples", "docs", "tests")
HISTORY = ("benchmarks/results",)  # what was said and measured then
PAGES = sorted(
    page
    for page in [*ROOT.glob("*.md"), *(page for top in SOURCE for page in ROOT.glob(f"{top}/**/*.md"))]
    if "build" not in page.parts and not page.relative_to(ROOT).as_posix().startswith(HISTORY)
)
WRAPPED = [
    page for page in PAGES if page.parent in (ROOT, ROOT / "docs") and page.name not in {"AGENTS.md", "CHANGELOG.md"}
]

REPLACEMENTS = {
    r"behind": "after, later (time, order); or name the place",
    r"in the place of": "instead of",
    r"in (?:its|their|his|whose) place": "instead",
    r"(?:stands|stood|as (?:it|they) stands?)(?! (?:in )?for\b)": "is, contains",
    r"(?:lies|lain)": "is, is in",
    r"as \S+(?: \S+)? ha(?:s|ve) it": "says, defines",
    r"(?<!there )(?:is|are|was|were|be) (?:no|none of) (?!longer|more|less|later|earlier|\w+er "
    r"(?:than|and))\w+": "is not a",
    r"besides": "also, in addition, next to",
    r"wants": "needs, requires",
    r"go(?:es|ing)? on with|went on with": "resume, continue",
    r"mend(?:s|ed|ing)?": "fix",
    r"br(?:ing|ings|inging|ought)(?!\()": "add, import, provide",
    r"put(?:s|ting)? away": "store, save",
    r"somebody|nobody|someone else's": "a user, another process, no one: name who",
    r"strangers?": "another user, a third party",
    r"of (?:its|their|his|her|your|my|our|one's) own(?! "
    r"(?!and|are|as|at|below|beside|by|for|from|has|have|here|in|is|needs|on|or|that|to|"
    r"which|with)[a-z])": "its own, a separate, custom",
    r"whoever|whosoever|whatever": "anyone who, any ... that: name it",
    r"thereof|therein|thereby|wherein|whence|thither|hitherto|heretofore": "say it with a plain clause",
    r"(?:^|(?<=[.:;?!(|] ))there (?:is|are|was|were)": "start with the subject",
    r"comes? along(?: with)?": "is included, is built in",
    r"for want of": "without, because ... is missing",
    r"let be|left be": "left unchanged",
    r"at that": "also",
    r"(?:sampled|truncated|unfinished) answers?|tokens (?:an|each) answer|answers? (?:that )?"
    r"(?:is|are|was|were) (?:truncated|sampled|generated)": "completion: the whole text of an episode",
}
WORDS = re.compile(rf"(?<![\w-])(?:{'|'.join(f'(?P<w{n}>{words})' for n, words in enumerate(REPLACEMENTS))})(?![\w-])")
HINTS = list(REPLACEMENTS.values())


def found(text: str) -> list[str]:
    """Return each left-out word of `text` with its replacement; code in backticks and quotations do not count."""
    text = re.sub(r'`[^`]*`|"[^"]{1,100}"', "`", text)
    hits = []
    for match in WORDS.finditer(re.sub(r"\s+", " ", text).lower()):
        hits.append(
            f"{match.string[max(0, match.start() - 30) : match.end() + 30]!r}: {HINTS[int(match.lastgroup[1:])]}"
        )
    return hits


@cache
def files(*tops: str) -> list[Path]:
    """Return the Python files below some folders that may have such a word, in code or in a text."""
    paths = sorted(path for top in tops for path in (ROOT / top).rglob("*.py") if "build" not in path.parts)
    return [
        path
        for path in paths
        if WORDS.search(re.sub(r"[\s#]+", " ", re.sub(r'"\s*\n\s*[fr]?"', "", path.read_text())).lower())
    ]


def docstrings(path: Path) -> list[tuple[int, str]]:
    """Return the docstrings of a file, those of fields included, with their lines."""
    nodes = (node.value for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Expr))
    return [
        (node.lineno, node.value) for node in nodes if isinstance(node, ast.Constant) and isinstance(node.value, str)
    ]


def comments(path: Path) -> list[tuple[int, str]]:
    """Return the comments of a file; lines that follow each other are one text."""
    out: list[tuple[int, str]] = []
    last = -2
    for token in tokenize.generate_tokens(io.StringIO(path.read_text()).readline):
        if token.type != tokenize.COMMENT:
            continue
        line, text = token.start[0], token.string.lstrip("# ")
        if line == last + 1:
            out[-1] = (out[-1][0], f"{out[-1][1]} {text}")
        else:
            out.append((line, text))
        last = line
    return out


def messages(path: Path) -> list[tuple[int, str]]:
    """Return the texts of a file that a user may read: strings of several words, with a mark for each inserted
    value.
    """
    out, skipped = [], set()
    for node in ast.walk(ast.parse(path.read_text())):
        if id(node) in skipped:
            continue
        if isinstance(node, ast.Expr):
            skipped.add(id(node.value))
        elif isinstance(node, ast.JoinedStr):
            skipped.update(map(id, node.values))
            out.append(
                (node.lineno, "".join(part.value if isinstance(part, ast.Constant) else "X" for part in node.values))
            )
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            out.append((node.lineno, node.value))
    return [(line, text) for line, text in out if text.count(" ") >= 2]


def without_code(page: Path) -> str:
    """Return the text of a page with empty lines for its blocks of code and the parts that are generated."""
    fenced = re.compile(
        r"^( *)(```|~~~).*?^\1\2|^<!-- begin.*?<!-- end|^<!-- below: generated.*\Z", re.DOTALL | re.MULTILINE
    )
    text = fenced.sub(lambda block: "\n" * block[0].count("\n"), page.read_text())
    return re.sub(r"(?<=\n\n)(?:    (?![-*\d ]).*\n)+", lambda block: "\n" * block[0].count("\n"), text)


def prose(page: Path) -> list[tuple[int, str]]:
    """Return the paragraphs of a page without its blocks of code."""
    text = without_code(page)
    out, line = [], 1
    for paragraph in text.split("\n\n"):
        out.append((line, re.sub(r"<[^>]*>|\]\([^)]*\)", " ", paragraph)))
        line += paragraph.count("\n") + 2
    return out


DATA = (  # their strings are the texts of problems, phrases that are read, or what a model is told
    "envs/kgym_envs/aime/",
    "envs/kgym_envs/code/",
    "envs/kgym_envs/gsm8k/",
    "envs/kgym_envs/math500/",
    "kgym/envs/toolcalls.py",
    "plugins/kgym_plugins/verifiers/math/",
)


def left_out_words(texts: list[tuple[Path, int, str]]) -> list[str]:
    """Return a line for each left-out word."""
    return [f"{path.relative_to(ROOT)}:{line}: {hit}" for path, line, text in texts for hit in found(text)]


@pytest.mark.parametrize(
    ("text", "plain"),
    [
        ("the checkpoint behind step 3", False),
        ("a file of its own", False),
        ("FILE is no folder", False),
        ("FILE is no longer a folder", True),
        ("there is no file X", False),
        ("runs/x stands for a run", True),
        ("a stand-in for the hub", True),
        ("see `envs behind`", True),
        ("what\nbesides", False),
        ("160 tokens an answer", False),
        ("the tokens of an answer", True),  # which the verifier's grammar reads
    ],
)
def test_the_words_are_found(text, plain):
    assert (found(text) == []) == plain


def test_messages_and_help_are_plain_english():
    paths = [path for path in files(*SOURCE) if not path.relative_to(ROOT).as_posix().startswith(("tests/", *DATA))]
    assert left_out_words([(path, line, text) for path in paths for line, text in messages(path)]) == []


def test_documents_are_plain_english():
    assert left_out_words([(page, line, text) for page in PAGES for line, text in prose(page)]) == []


@pytest.mark.parametrize("page", WRAPPED, ids=lambda page: str(page.relative_to(ROOT)))
def test_documents_are_wrapped_at_100_columns(page):
    """A table, a block of code, a heading, a picture and a single long word may be wider."""
    blank = re.sub(r"`[^`\n]*`|\]\([^)\n]*\)", "x", without_code(page))
    wide = [
        line
        for line in blank.splitlines()
        if len(line) > 100 and not line.lstrip().startswith(("|", "#", "<", "![", "members:"))
    ]
    assert [line for line in wide if " " in line.strip()] == []


def test_docstrings_are_plain_english():
    texts = [(path, line, text) for path in files(*SOURCE) if path != Path(__file__) for line, text in docstrings(path)]
    assert left_out_words(texts) == []


def test_comments_are_plain_english():
    texts = [(path, line, text) for path in files(*SOURCE) if path != Path(__file__) for line, text in comments(path)]
    assert left_out_words(texts) == []


MARK = re.compile(r"( *)(?:[-*+]|\d+[.)]) +")
"""The mark of an item of a list."""
ROW = re.compile(r" *\|.*\|$")
"""A row of a table."""


def _badly_laid_out(page):
    """Return the lines that a paragraph, a list or a table would swallow, or be cut by, when the page is rendered."""
    for block in without_code(page).split("\n\n"):
        lines = [line for line in block.splitlines() if line.strip()]
        if not lines or lines[0].lstrip().startswith(("<", "!!!", "///", "::")):
            continue
        first, items = len(lines[0]) - len(lines[0].lstrip()), []
        for number, line in enumerate(lines):
            indent, mark = len(line) - len(line.lstrip()), MARK.match(line)
            if mark and (number == 0 or indent in items or (items and indent % 4 == 0)):
                items.append(indent)
            elif (
                mark
                or (number and line.startswith("#"))
                or bool(ROW.match(line)) != bool(ROW.match(lines[0]))
                or (indent <= items[-1] if items else indent != first)
            ):
                yield line


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_lists_tables_and_paragraphs_are_parted(page):
    """A line of a paragraph that begins with `- ` or `3. ` becomes an item of a list, and a table needs an empty line
    before it.
    """
    assert list(_badly_laid_out(page)) == []
    assert page.read_text().endswith("\n")
