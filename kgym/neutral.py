r"""Make untrusted text harmless before it is shown: one function for each place where it could act (terminal,
spreadsheet, Markdown).

Text of models, data sets, file names and exceptions is untrusted. The template escapes HTML (`kgym.page`), and the
exporter LaTeX.
"""

import html
import json
import re

SIGNS = "=+\\-@'＝＋－＠"
"""Signs that begin a formula, and the quote that keeps a formula from running, as a character class."""
_FORMULA = re.compile(f'(^|;)(?=[\\s"]*[{SIGNS}])')
_QUOTED = re.compile(f"(^|;)'(?=[\\s\"]*[{SIGNS}])")
_MARKUP = re.compile(r"([\\`*_\[\]|~!#$@])|:(?=//)|(?<=www)\.", re.IGNORECASE)


def printable(value: object) -> str:
    r"""Return a value as text for a terminal: control characters and direction marks become U+FFFD; line feeds and tabs
    stay.

    >>> printable("a\x1b[31mb\n")
    'a�[31mb\n'
    """
    text = "" if value is None else str(value)
    if text.isprintable():  # most texts; a loop over millions of characters would take seconds
        return text
    return "".join(c if c.isprintable() or c in "\n\t" else "\N{REPLACEMENT CHARACTER}" for c in text)


def for_json(text: str) -> str:
    r"""Return a JSON text in which characters that act on a terminal are escaped; parsers read the same values from it.

    >>> for_json('{"name": "\u202e\x85"}')
    '{"name": "\\u202e\\u0085"}'
    """
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() or c == "\n" else json.dumps(c)[1:-1] for c in text)


def encodable(text: str) -> str:
    r"""Return a text that every tokenizer and file takes: half of a surrogate pair, which JSON can spell (`"\ud83d"`),
    becomes U+FFFD.

    >>> encodable("a\ud83db"), encodable("a\ud83d\ude00b")
    ('a�b', 'a😀b')
    """
    if text.isascii():
        return text
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def one_line(text: object, longest: int | None = None) -> str:
    r"""Return a text on one line, without control characters, cut at `longest` characters.

    >>> one_line("a\tb\x00\n c", 4)
    'a b…'
    """
    line = " ".join("".join(c if c.isprintable() else " " for c in str(text)).split())
    return line if longest is None or len(line) <= longest else line[: longest - 1] + "…"


def error_line(error: BaseException, longest: int | None = None) -> str:
    r"""Return an exception as `Type: message` on one line, or the type alone if it has no message.

    >>> error_line(ValueError("two\nlines")), error_line(KeyboardInterrupt())
    ('ValueError: two lines', 'KeyboardInterrupt')
    """
    return one_line(f"{type(error).__name__}: {error}", longest).removesuffix(":")


def for_spreadsheet(text: str) -> str:
    """Return a text on one line that no spreadsheet runs as a formula, wherever a cell begins in it.

    A quote is put before a sign that begins a formula, at the start and after each semicolon: where the list separator
    is a semicolon (most of Europe), a spreadsheet begins a cell there. `from_spreadsheet` removes the quotes again.
    Source: OWASP, CSV injection: cells that begin with =, +, -, @, tab or carriage return are run, after any separator.

    >>> for_spreadsheet("=HYPERLINK(0)"), for_spreadsheet("x;=1+1"), for_spreadsheet("5 - 2; ok")
    ("'=HYPERLINK(0)", "x;'=1+1", '5 - 2; ok')
    """
    return _FORMULA.sub(r"\1'", one_line(text))


def from_spreadsheet(cell: str) -> str:
    """Undo `for_spreadsheet`: return the text of a cell.

    >>> from_spreadsheet("x;'=1+1")
    'x;=1+1'
    """
    return _QUOTED.sub(r"\1", cell)


def for_markdown(text: str) -> str:
    r"""Return a text that Markdown shows literally, without markup, links, images, mentions, formulas or HTML.

    >>> for_markdown("![x](http://example.org/x.png) a_b <b>")
    '\\!\\[x\\](http\\://example.org/x.png) a\\_b &lt;b&gt;'
    """
    return html.escape(_MARKUP.sub(lambda match: "\\" + match[0], one_line(text)), quote=False)
