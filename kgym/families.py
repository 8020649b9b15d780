"""Names of environments that belong to a family: `rg:countdown`, or `mine.jsonl` by its ending."""

import hashlib
import re
from collections.abc import Iterable

from kgym.hookspecs import EnvFamilyInfo, EnvInfo, Info

LONGEST = 60
"""Most characters of a member in the id."""


def family_of(name: str, families: Iterable[Info]) -> EnvFamilyInfo | None:
    """Return the family that a name belongs to, by its prefix or else by its ending."""
    prefix, colon, member = name.partition(":")
    known = [family for family in families if isinstance(family, EnvFamilyInfo)]
    by_prefix = [family for family in known if colon and member and family.name == prefix]
    return next(
        iter([*by_prefix, *(family for family in known if family.suffixes and name.endswith(family.suffixes))]), None
    )


def member_info(name: str, family: EnvFamilyInfo) -> EnvInfo:
    """Return the record of an environment of a family. A member that cannot be part of an id is shortened, with a hash
    of the whole member.
    """
    member = name.removeprefix(f"{family.name}:")
    return EnvInfo(
        name=_slug(member),
        target=family.target,
        summary=family.summary,
        needs=family.needs,
        extra=family.extra,
        namespace=family.name,
        version=family.version,
        family=family.name,
        member=member,
    )


def _slug(member: str) -> str:
    """Return the form of a member in ids.

    >>> _slug("countdown"), _slug("a/b.jsonl")
    ('countdown', 'a-b.jsonl-f74d49bc')
    """
    if re.fullmatch(r"\w[\w.-]*", member, flags=re.ASCII) and len(member) <= LONGEST:
        return member
    kept = re.sub(r"[^A-Za-z0-9_.]+", "-", member)[-LONGEST:].strip("-.")
    return f"{kept}-{hashlib.sha256(member.encode()).hexdigest()[:8]}"
