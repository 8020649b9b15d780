"""Every phrase that the math verifier knows: its example is understood, its counter-example is not."""

import pytest

from kgym_plugins.verifiers.math import reading  # noqa: F401  (loads the tables)
from kgym_plugins.verifiers.math.find import extract  # noqa: F401
from kgym_plugins.verifiers.math.phrases.table import TABLES

PHRASES = [(table, phrase) for table in TABLES for phrase in table.phrases]


@pytest.mark.parametrize(
    ("table", "phrase"), PHRASES, ids=lambda part: getattr(part, "name", None) or part.example[:30]
)
def test_phrase(table, phrase):
    assert table.matches(phrase, phrase.example), f"{phrase.pattern} does not match {phrase.example!r}"
    assert not table.matches(phrase, phrase.counter), f"{phrase.pattern} matches {phrase.counter!r}"
    assert phrase.example != phrase.counter


def test_tables_have_names():
    assert len({table.name for table in TABLES}) == len(TABLES)
    assert all(table.says for table in TABLES)
