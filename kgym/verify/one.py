"""Judge one completion."""

from typing import Any

from kgym.types import Verdict, VerifyItem
from kgym.verify.service import load_verifier

DEFAULT = "math"
"""The default verifier."""


def verify(gold: str, response: str, verifier: str = DEFAULT, **options: Any) -> Verdict:
    """Judge one completion, the untrusted text of a model, as an environment does. For many completions, `kgym verify`
    and `load_verifier` are faster.

    Raises UnknownName for an unknown name or option of the verifier. A hostile completion gets a verdict.
    """
    (verdict,) = load_verifier(verifier, options).verify_many([VerifyItem(gold, response)])
    return verdict
