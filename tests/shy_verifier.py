"""A verifier that cannot judge what is longer than it likes."""

from kgym.hookspecs import VerifierInfo, hookimpl
from kgym.types import Verdict

kgym_api = 1


class Shy:
    def __init__(self, options):
        pass

    def verify_many(self, items):
        return [Verdict("unscored", reason="shy") if len(item.response) % 3 else Verdict("correct") for item in items]


@hookimpl
def kgym_components():
    yield VerifierInfo(name="shy", target="shy_verifier:Shy", summary="cannot judge two of three")
