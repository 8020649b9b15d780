"""What installed plugins cost at the start: CPU seconds of `kgym --help` with 30 of them, four of which misbehave.

    python benchmarks/plugins.py
    python benchmarks/plugins.py --plugins 100 --rounds 20

The plugins are packages of one module each, written into a folder with the metadata that pip would write. One cannot be
imported, one offers a verifier with the name of a built-in one, one prints when it is imported, and the verifier of one
never returns.
"""

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

GOOD = """
from kgym.hookspecs import ShaperInfo, VerifierInfo, hookimpl

kgym_api = 1


@hookimpl
def kgym_components():
    yield VerifierInfo("{name}", "{module}_parts:Same", "the box has the gold answer, as text")
    yield ShaperInfo("{name}", "{module}_parts:Same", "changes nothing")
"""
PARTS = """
from kgym.answers import find_boxes
from kgym.types import Verdict


class Same:
    def __init__(self, options):
        pass

    def __call__(self, group, rewards, step):
        return list(rewards)

    def verify_many(self, items):
        return [Verdict("correct" if [b.content for b in find_boxes(i.response)] == [i.gold] else "wrong") \
for i in items]
"""
BROKEN = "import no_such_library\n"
CLASH = GOOD.replace('VerifierInfo("{name}"', 'VerifierInfo("integer"')
PRINTS = 'print("thank you for installing")\n' + GOOD
HANGS = """
import time

from kgym.types import Verdict


class Same:
    def __init__(self, options):
        pass

    def verify_many(self, items):
        while True:
            time.sleep(1)
"""

MISBEHAVED = {"broken": (BROKEN, PARTS), "clash": (CLASH, PARTS), "prints": (PRINTS, PARTS), "hangs": (GOOD, HANGS)}
"""The module of each plugin that misbehaves, and that of its components."""


def write(folder: Path, n: int = 30) -> list[str]:
    """Write n packages into a folder that is to be on the path, and return the names of those that behave."""
    good = [f"good{number:02}" for number in range(n - len(MISBEHAVED))]
    for name, (source, parts) in {**dict.fromkeys(good, (GOOD, PARTS)), **MISBEHAVED}.items():
        module = f"acme_{name}"
        (folder / f"{module}.py").write_text(source.format(name=name, module=module))
        (folder / f"{module}_parts.py").write_text(parts)
        metadata = folder / f"{module}-1.0.dist-info"
        metadata.mkdir()
        (metadata / "METADATA").write_text(f"Metadata-Version: 2.1\nName: acme-{name}\nVersion: 1.0\n")
        (metadata / "entry_points.txt").write_text(f"[kgym]\nacme-{name} = {module}\n")
    return good


def cpu_seconds(path: Path | None) -> float:
    """Return the CPU seconds of `kgym --help` in its own process."""
    environ = {key: value for key, value in os.environ.items() if not key.startswith("KGYM_")} | {
        "PYTHONPATH": str(path or "")
    }
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run([sys.executable, "-m", "kgym", "--help"], env=environ, capture_output=True, check=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def main() -> None:
    """Measure and print one line of JSON for each case."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--plugins", type=int, default=30)
    parser.add_argument("--rounds", type=int, default=10)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        write(Path(folder), args.plugins)
        cases = {0: None, args.plugins: Path(folder)}
        seconds: dict[int, list[float]] = {n: [] for n in cases}
        for _ in range(args.rounds + 1):  # the first round writes the bytecode
            for n, path in cases.items():
                seconds[n].append(cpu_seconds(path))
    for n, found in seconds.items():
        kept = found[1:]
        print(
            json.dumps(
                {"plugins": n, "rounds": len(kept), "cpu_s_median": statistics.median(kept), "cpu_s_most": max(kept)}
            )
        )


if __name__ == "__main__":
    main()
