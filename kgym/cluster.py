"""Join a Ray cluster.

ray = connected("auto", "--cluster auto")
"""

import logging
import os
import signal
import socket
from typing import Any

from kgym.errors import ConfigError

REACH_S = 10.0
"""Longest time to wait for the first machine of a cluster to reply; Ray itself would wait for minutes."""


def connected(address: str | None, asked: str) -> Any:
    """Return the package ray, connected to the cluster at an address. Without an address it connects to that of
    `RAY_ADDRESS`, or starts a cluster on this machine. `asked` is the option that named the address, for messages.

    Raises ConfigError if ray is not installed or the cluster cannot be reached.
    """
    try:
        import ray  # noqa: PLC0415  (an extra)
    except ImportError as error:
        raise ConfigError(f"{asked} needs the package ray, which is not installed: pip install 'kgym[ray]'") from error
    if address is not None and address.startswith("ray://"):
        raise ConfigError(
            f"{asked}: name the cluster as HOST:PORT or auto, on one of its machines; kgym does not use Ray Client"
        )
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")  # or Ray hides the GPUs from actors without one
    alone = address is None and not os.environ.get("RAY_ADDRESS")
    handler = signal.getsignal(signal.SIGTERM)
    try:
        _reach(address)
        ray.init(
            address=address,
            include_dashboard=False if alone else None,
            log_to_driver=False,  # output of actors must not get into the results of a command
            logging_level=logging.ERROR,
            runtime_env={"env_vars": {"HF_HUB_OFFLINE": os.environ.get("HF_HUB_OFFLINE", "0")}},
        )
    except (OSError, RuntimeError, ValueError) as error:
        raise ConfigError(
            f"{asked}: no Ray cluster can be reached there ({last_line(error)}); start one with: ray start --head"
        ) from error
    if signal.getsignal(signal.SIGTERM) is not handler:  # Ray sets its own handler, from the main thread
        signal.signal(signal.SIGTERM, handler)
    return ray


def _reach(address: str | None) -> None:
    """Raise OSError for an address at which no process listens."""
    host, _, port = (address or "").rpartition(":")
    if host and port.isdigit():
        socket.create_connection((host.strip("[]"), int(port)), REACH_S).close()


def last_line(error: BaseException) -> str:
    """Return the last line of an error of Ray, which is the most informative one."""
    lines = [line for line in str(error).strip().splitlines() if line.strip()]
    return lines[-1].strip()[:300] if lines else type(error).__name__
