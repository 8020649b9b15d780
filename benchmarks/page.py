"""How large the page of run folders is, how long it takes to write, and to open in a browser.

    python benchmarks/page.py runs/quickstart                a training with evaluations in its folder eval
    python benchmarks/page.py runs/before runs/after

Opening is measured by the clock: a headless browser starts, opens the page, waits until the completions are painted,
and ends. The same is done with an empty page, alternately. Needs Chromium. Exit status 1 if the completions are not
painted, or the whole takes more than 2 seconds.
"""

import argparse
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from kgym.board.view import run_page
from kgym.page.document import Page, render

LIMIT_S = 2.0
SWITCHES = (
    *(
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        "--disable-quic",
        "--no-first-run",
        "--disable-background-networking",
    ),
    *("--disable-component-update", "--disable-sync"),
)


def main() -> int:
    """Write, open, print; return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", metavar="RUN", nargs="+", type=Path)
    parser.add_argument(
        "--times", type=int, default=5, help="how often it is opened, each time by a new browser (default: 5)"
    )
    args = parser.parse_args()
    browser = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if browser is None:
        parser.error("no Chromium found; install it, or put it into PATH")
    start = time.perf_counter()
    page = run_page(args.runs)
    text = render(page)
    built = time.perf_counter() - start
    print(f"{page.answers.n if page.answers else 0:,} completions, {len(text) / 1e6:.2f} MB, written in {built:.1f} s")
    with tempfile.TemporaryDirectory() as folder:
        seconds: dict[str, list[float]] = {"page": [], "empty": []}
        for name, content in (("page", text), ("empty", render(Page(title="empty")))):
            (Path(folder) / f"{name}.html").write_text(content)
        for number in range(args.times):
            for name, times in seconds.items():
                painted, took = open_once(
                    browser, Path(folder) / f"{name}.html", Path(folder) / f"profile-{name}-{number}"
                )
                if not painted:
                    sys.exit(f"the {name} page was not painted")
                times.append(took)
    whole, empty = (statistics.median(times) for times in seconds.values())
    print(
        f"browser started, page opened and painted: {whole:.2f} s (median of {args.times}), {max(seconds['page']):.2f} "
        "s at most"
    )
    print(f"the same with an empty page: {empty:.2f} s; ratio {whole / empty:.2f}")
    return int(max(seconds["page"]) > LIMIT_S)


def open_once(browser: str, path: Path, profile: Path) -> tuple[bool, float]:
    """Return whether the completions were painted, and the seconds from the browser's start to its end."""
    command = [
        browser,
        *SWITCHES,
        f"--user-data-dir={profile}",
        "--virtual-time-budget=5000",
        "--dump-dom",
        path.as_uri(),
    ]
    start = time.perf_counter()
    dom = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True).stdout
    return "data-ready" in dom, time.perf_counter() - start


if __name__ == "__main__":
    sys.exit(main())
