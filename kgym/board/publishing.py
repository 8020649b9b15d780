"""Upload a checkpoint with its card to the Hugging Face Hub, without the files that only training needs."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from kgym.errors import ConfigError, RunError
from kgym.models.names import HUB_ID
from kgym.train.checkpoint import OF_THE_TRAINER

if TYPE_CHECKING:
    from huggingface_hub import HfApi


def hub_of(hub_id: str) -> "HfApi":
    """Return the hub with the user's token, from HF_TOKEN or `hf auth login`.

    Raises ConfigError if the name is not OWNER/NAME, without a token, and in offline mode.
    """
    from huggingface_hub import HfApi, constants, get_token  # noqa: PLC0415  (takes a while to load)

    if not HUB_ID.fullmatch(hub_id):
        raise ConfigError(f"--push {hub_id}: write it as OWNER/NAME, the name of the model on the hub")
    if constants.is_offline_mode():
        raise ConfigError("--push needs the hub, and HF_HUB_OFFLINE=1 forbids it; unset HF_HUB_OFFLINE")
    token = get_token()
    if not token:
        raise ConfigError("--push needs a token of the hub: run `hf auth login`, or set HF_TOKEN")
    return HfApi(token=token)


def push(hub: "HfApi", hub_id: str, checkpoint: Path, *, private: bool) -> str:
    """Upload a folder as one commit, and create the repository if it does not exist; return the commit's address.

    Raises RunError, without the token in it, if the hub refuses or cannot be reached.
    """
    left_out = [pattern for name in OF_THE_TRAINER for pattern in (name, f"{name}/*")]

    def uploaded() -> Any:
        hub.create_repo(hub_id, private=private or None, exist_ok=True)
        return hub.upload_folder(
            repo_id=hub_id,
            folder_path=checkpoint,
            ignore_patterns=[*left_out, ".*"],
            commit_message="Upload a model trained with kgym",
        )

    try:
        return str(uploaded().commit_url)
    except Exception as error:  # of the hub's client, the network and its server: half a dozen types
        raise RunError(f"the hub did not take {hub_id}: {_why(error, str(hub.token))}") from None


def _why(error: Exception, token: str) -> str:
    """Return what went wrong in one line, without the token."""
    status = getattr(getattr(error, "response", None), "status_code", None)
    if status in (401, 403):
        return f"it refuses the token ({status}); use a valid one that allows writing there: run `hf auth login`"
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    said = f"{type(error).__name__}: {lines[0] if lines else ''}"
    return said.replace(token, "[token]") if token else said
