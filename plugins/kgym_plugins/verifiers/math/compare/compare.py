"""Stage 6: whether a whole answer is right, with all rules in the table; families of solutions are compared as a
whole only.
"""

from kgym_plugins.verifiers.math.compare import amounts, conditions, equations, families, pieces, sets, several, texts
from kgym_plugins.verifiers.math.compare.same import same
from kgym_plugins.verifiers.math.compare.table import Rule
from kgym_plugins.verifiers.math.values.types import Value

__all__ = ["amounts", "conditions", "equations", "families", "pieces", "same", "same_whole", "sets", "several", "texts"]


def same_whole(gold: Value, answer: Value) -> Rule | None:
    """Return the rule by which a whole answer is right, or None."""
    return same(gold, answer) or families.same_family(gold, answer)
