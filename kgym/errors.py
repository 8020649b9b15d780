"""Every exception that kgym raises on purpose.

    KgymError
    ├── ConfigError (ValueError)        a setting is wrong: an unknown key, a value out of range, a bad combination
    │   ├── NotComparable               two results were not measured in the same way; says what differs
    │   ├── UnknownName                 no component has that name; says the nearest one
    │   └── UnsuitedModel               an engine cannot sample from this model; another engine may
    ├── DataError (ValueError)          a data set is absent, malformed, or does not match its checksum
    │   └── MissingData                 the user has to add it; says the command
    ├── PluginError (RuntimeError)      a plugin is broken, too new, or offers a name twice
    ├── ComponentError (RuntimeError)   a component raised, or returned what it must not; says which one
    ├── EnvError (RuntimeError)         an environment was stepped out of order
    ├── EngineError (RuntimeError)      an engine could not load or generate
    ├── VerifierError (RuntimeError)    the verifier pool itself is broken (a bad completion gets a Verdict)
    ├── SandboxError (RuntimeError)     programs cannot be isolated on this machine; says why, and what to do
    │   └── SandboxLost                 a sandbox ended while it worked, for a reason outside of it
    └── RunError (RuntimeError)         a run cannot continue: too many unscored completions, a folder in use, ...
        └── NothingToLearn              several steps in a row had no group to learn from

Exit status on the command line: 2 for ConfigError, DataError, PluginError and SandboxError (the request was wrong), 1
for SandboxLost and the others (the run failed).
The only argument of each is its whole message, so that it survives pickling when a worker sends it to its parent.
"""

from collections.abc import Iterable


class KgymError(Exception):
    """Base of every error that kgym raises on purpose."""

    exit_status = 1


class ConfigError(KgymError, ValueError):
    """A setting is wrong."""

    exit_status = 2


class NotComparable(ConfigError):
    """Two results were not measured in the same way, so a difference between them means nothing."""


class UnknownName(ConfigError):
    """No component, key or option has that name."""

    @classmethod
    def near(cls, kind: str, name: str, known: Iterable[str]) -> "UnknownName":
        """Build the message, with the nearest known name or the list of them.

        >>> print(UnknownName.near("environment", "airth", ["arith", "aime"]))
        no environment named 'airth'; did you mean 'arith'?
        """
        import difflib  # noqa: PLC0415  (only when something is already wrong)

        names = sorted(known)
        close = difflib.get_close_matches(name, names, n=1)
        hint = f"did you mean {close[0]!r}?" if close else f"known: {', '.join(names) or 'none'}"
        return cls(f"no {kind} named {name!r}; {hint}")


class UnsuitedModel(ConfigError):
    """A model is complete, but the engine cannot sample from it."""


class DataError(KgymError, ValueError):
    """A data set is absent, malformed, or does not match its checksum."""

    exit_status = 2


class MissingData(DataError):
    """A data set that the user has to add is missing."""


class PluginError(KgymError, RuntimeError):
    """A plugin is broken, made for another API, or offers a name that is taken."""

    exit_status = 2


class ComponentError(KgymError, RuntimeError):
    """A component raised, or returned what its protocol does not allow."""


class EnvError(KgymError, RuntimeError):
    """An environment was stepped out of order or given an action that it does not know."""


class EngineError(KgymError, RuntimeError):
    """An engine could not load its model or generate."""


class VerifierError(KgymError, RuntimeError):
    """The verifier pool is broken. A bad completion gets a Verdict and never an exception."""


class SandboxError(KgymError, RuntimeError):
    """Programs cannot be isolated on this machine, so none are run."""

    exit_status = 2


class SandboxLost(SandboxError):
    """A sandbox ended while it worked, for a reason outside of it, such as a machine without memory; the program is
    not to blame.
    """

    exit_status = 1


class RunError(KgymError, RuntimeError):
    """A run cannot continue."""


class NothingToLearn(RunError):
    """Several steps in a row had no group to learn from: the problems are too easy or too hard for the policy."""
