"""Stage 6: `same`, with all rules in the table."""

from kgym_plugins.verifiers.math.compare import amounts, equations, sets, several, texts
from kgym_plugins.verifiers.math.compare.same import same

__all__ = ["amounts", "equations", "same", "sets", "several", "texts"]
