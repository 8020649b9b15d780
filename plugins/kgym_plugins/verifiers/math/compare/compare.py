"""Stage 6: `same`, with all rules in the table."""

from kgym_plugins.verifiers.math.compare import amounts, conditions, equations, pieces, sets, several, texts
from kgym_plugins.verifiers.math.compare.same import same

__all__ = ["amounts", "conditions", "equations", "pieces", "same", "sets", "several", "texts"]
