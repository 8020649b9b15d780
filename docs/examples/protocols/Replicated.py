"""An engine that hands its requests out to several others."""

from kgym.types import Replicated


class Acme:
    """The part of an engine that says how many there are."""

    replicas = 4


assert isinstance(Acme(), Replicated)
