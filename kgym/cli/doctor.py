"""Describe this installation on one screen, to paste into an issue: versions, machine, engines, plugins, data sets and
sandbox.

Exit status 1 if a plugin is broken, clashes or reports an error. `kgym plugins doctor` prints more about plugins, with
tracebacks.
"""

import argparse
import os
import platform
import sys
from typing import Any

from kgym.cli.output import print_json, say
from kgym.cli.plugins import examined, troubles, versions

THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OMP_WAIT_POLICY", "CUDA_VISIBLE_DEVICES")
"""Environment variables that decide how fast a machine is."""


def configure(parser: argparse.ArgumentParser) -> None:
    """The command has no options."""


def run(args: argparse.Namespace) -> int:
    """Print the report."""
    report = described()
    if args.json:
        print_json(report)
    else:
        for line in _lines(report):
            say(line)
    return 0 if report["plugins"]["healthy"] else 1


def described() -> dict[str, Any]:
    """Return the facts about this installation."""
    from kgym.judging import probe
    from kgym.runs.folder import checkout

    return {
        "versions": versions(),
        "checkout": checkout(),
        "system": _system(),
        "devices": _devices(),
        "plugins": examined(),
        "data": _data(),
        "sandbox": probe.check(),
    }


def _system() -> dict[str, Any]:
    import torch

    from kgym.train.memory import available_bytes

    total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") if hasattr(os, "sysconf") else None
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return {
        "platform": platform.platform(),
        "executable": sys.executable,
        "cores": cores,
        "threads": torch.get_num_threads(),
        "memory_gib": None if total is None else round(total / 2**30, 1),
        "free_gib": _gib(available_bytes(torch.device("cpu"))),
        "environment": {name: os.environ[name] for name in THREADS if name in os.environ},
    }


def _gib(n_bytes: float | None) -> float | None:
    return None if n_bytes is None else round(n_bytes / 2**30, 1)


def _devices() -> list[dict[str, Any]]:
    """Return the GPUs that torch sees."""
    import torch

    gpus = [torch.cuda.get_device_properties(number) for number in range(torch.cuda.device_count())]
    return [
        {"name": gpu.name, "memory_gib": _gib(gpu.total_memory), "capability": f"{gpu.major}.{gpu.minor}"}
        for gpu in gpus
    ]


def _data() -> dict[str, Any]:
    """Return the data sets that were added, and the known ones that were not."""
    from kgym.data.sources import data_folder
    from kgym.registry import registry

    folder = data_folder()
    added = sorted(path.stem for path in folder.glob("*.parquet"))
    return {"folder": str(folder), "added": added, "absent": sorted(set(registry().infos("dataset")) - set(added))}


def _lines(report: dict[str, Any]) -> list[str]:
    system, plugins = report["system"], report["plugins"]
    commit = report["checkout"].get("commit", "")[:12] + (" with changes" if report["checkout"].get("dirty") else "")
    memory = f"{system['memory_gib']} GiB of memory, {system['free_gib']} GiB free"
    gpus = [
        f"{gpu['name']} ({gpu['memory_gib']} GiB, compute capability {gpu['capability']})" for gpu in report["devices"]
    ]
    third = [plugin for plugin in plugins["loaded"] if plugin["distribution"] != "kgym"]
    engines = [entry for entry in plugins["lacking"] if entry["kind"] == "engine"]
    lines = [
        "versions   " + ", ".join(f"{name} {version}" for name, version in report["versions"].items()),
        *([f"commit     {commit}"] if commit else []),
        f"system     {system['platform']}, {system['cores']} cores, "
        f"{system['threads']} thread{'s' * (system['threads'] != 1)} of torch, {memory}",
        "           "
        + (", ".join(f"{name}={value}" for name, value in system["environment"].items()) or "no variables for threads"),
        f"devices    {', '.join(gpus) or 'no GPU'}",
        f"engines    {', '.join(entry['name'] for entry in engines if not entry['lacks']) or 'none'}",
        *(f"           {entry['name']}: {entry['lacks']}" for entry in engines if entry["lacks"]),
        "plugins    "
        + (", ".join(f"{plugin['name']} {plugin['version']}".strip() for plugin in third) or "only kgym's own"),
        *(f"           {plugin['name']}: {plugin['error']}" for plugin in plugins["blocked"]),
        *(f"           {text}" for text in troubles(plugins)),
        *(f"           plugin {title} prints when it is loaded" for title in plugins["printed"]),
        *(f"           plugin {title} has older hooks" for title in plugins["deprecated"]),
        f"data       {', '.join(report['data']['added']) or 'none added'} (in {report['data']['folder']})",
        f"sandbox    {report['sandbox'] or 'programs are isolated'}",
    ]
    return [
        *lines,
        "all is well" if plugins["healthy"] else "plugins have errors: kgym plugins doctor prints more",
    ]
