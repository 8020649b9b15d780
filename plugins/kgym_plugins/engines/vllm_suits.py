"""Whether the engine `vllm` suits a model, and what it lacks: checked by the Python that has vLLM, since kgym's own may
not have it.
"""

import importlib.util
import json
import subprocess
from collections.abc import Sequence

from kgym.types import Suitability, Surroundings
from kgym_plugins.engines.vllm_process import environment

INSTALL = "python -m venv .venv-vllm && .venv-vllm/bin/pip install vllm"
USE = "--set engine.python=.venv-vllm/bin/python"
LOOK = """import json, sys
import vllm
from vllm.model_executor.models.registry import ModelRegistry
known = ModelRegistry.get_supported_archs()
print(json.dumps([vllm.__version__, any(name in known for name in sys.argv[1:])]))
"""


def suitability(python: str, architectures: Sequence[str], surroundings: Surroundings) -> Suitability:
    """Return how well vLLM suits a model: best on a GPU, if it knows the architecture. `check` has checked its
    version.
    """
    if not surroundings.gpus:
        return Suitability(0.5, "the machine has no GPU, and on a CPU the completions of vLLM depend on timing")
    done = subprocess.run(  # noqa: S603  (the interpreter that the user named)
        [python, "-P", "-c", LOOK, *architectures], capture_output=True, text=True, env=dict(environment()), check=False
    )
    lines = done.stdout.splitlines()
    if done.returncode or not lines:
        error = done.stderr.strip().splitlines() or ["no output"]
        return Suitability(0, f"vLLM cannot be imported by {python}: {error[-1][:200]}")
    version, known = json.loads(lines[-1])
    if not known:
        return Suitability(
            0, f"vLLM {version} does not know the architecture {' or '.join(architectures) or 'of the model'}"
        )
    n = surroundings.gpus
    return Suitability(2.0, f"vLLM {version} is installed, and this machine has {n} GPU{'s' * (n > 1)}")


def missing() -> str:
    """Return what a plain `--engine vllm` lacks."""
    if importlib.util.find_spec("vllm") is not None:
        return ""
    return (
        "vllm is not installed; it pins its own torch, so give it a separate virtual environment: "
        f"{INSTALL} (and {USE})"
    )
