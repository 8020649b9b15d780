"""A headless Chromium for tests of pages: the document after its script has run, and a picture of it."""

import shutil
import subprocess

import pytest

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
in_browser = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium here")
SWITCHES = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)


def dom_of(page, tmp_path, fragment="", *, wait_s=5):
    """The document after so many seconds, as the page counts them; `page` is an address or a path."""
    return _run(f"{page}{fragment}", tmp_path, f"--virtual-time-budget={1000 * wait_s}", "--dump-dom")


def screenshot(page, tmp_path):
    """The page as rows of pixels, (height, width, 4) between 0 and 1."""
    from matplotlib.image import imread

    _run(page, tmp_path, "--window-size=1280,900", f"--screenshot={tmp_path / 'page.png'}")
    return imread(tmp_path / "page.png")


def _run(page, tmp_path, *options):
    address = page if str(page).startswith("http") else f"file://{page}"
    command = [CHROMIUM, *SWITCHES, f"--user-data-dir={tmp_path / 'profile'}", *options, str(address)]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=True).stdout
