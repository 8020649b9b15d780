"""Judge one answer."""

from typing import Any

from kgym.types import Verdict, VerifyItem
from kgym.verify.service import load_verifier

DEFAULT = "math"
"""The verifier that judges unless another is named."""


def verify(gold: str, response: str, verifier: str = DEFAULT, **options: Any) -> Verdict:
    """Judge one answer, the untrusted text of a model, as an environment would; for many, `kgym verify` or
    `load_verifier` is faster.

    Raises UnknownName for the name or an option of the verifier. A hostile answer gets a verdict.
    """
    (verdict,) = load_verifier(verifier, options).verify_many([VerifyItem(gold, response)])
    return verdict
