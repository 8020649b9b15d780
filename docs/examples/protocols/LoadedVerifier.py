"""A verifier as kgym loads it: it also judges one answer at a time, in the background."""

from kgym.types import VerifyItem
from kgym.verify.service import load_verifier

verifier = load_verifier("integer")
future = verifier.submit(VerifyItem(gold="204", response=r"It is \boxed{204}."))
assert future.result().status == "correct"
assert [verdict.status for verdict in verifier.verify_many([VerifyItem("1", "I do not know.")])] == [
    "no_answer"
]
