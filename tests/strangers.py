"""A virtual environment of a third party: packages are installed into it, and everything of the test run is found
after them.
"""

import os
import subprocess
import sys
import sysconfig
import venv
from pathlib import Path


class Stranger:
    """Makes the environment in `folder`; `pip` installs into it, and `python` runs in it."""

    def __init__(self, folder):
        self.folder = folder
        venv.create(folder / "venv", with_pip=False)
        self.executable = folder / "venv" / "bin" / "python"
        self.environ = {
            key: value for key, value in os.environ.items() if not key.startswith(("KGYM_", "PYTEST_", "PYTHON"))
        }
        self.environ |= {"OMP_NUM_THREADS": "1"}
        site = self.python("-c", "import sysconfig; print(sysconfig.get_path('purelib'))").stdout.strip()
        here = sorted({sysconfig.get_path("purelib"), sysconfig.get_path("platlib")})
        # addsitedir and not a plain line: it follows the .pth files there, by which an editable install is found
        Path(site, "of_the_test_run.pth").write_text(
            "".join(f"import site; site.addsitedir({path!r})\n" for path in here)
        )

    def python(self, *arguments, cwd=None, timeout=240):
        return self._run([self.executable, *arguments], cwd, timeout)

    def kgym(self, *arguments, cwd=None, timeout=240):
        return self.python("-m", "kgym", *arguments, cwd=cwd, timeout=timeout)

    def pip(self, *what):
        """Install folders or wheels, without their dependencies and without the network."""
        pip = [
            sys.executable,
            "-m",
            "pip",
            "--python",
            self.executable,
            "install",
            "--quiet",
            "--no-deps",
            "--no-index",
        ]
        done = self._run([*pip, "--no-build-isolation", *what], None, 240)
        assert done.returncode == 0, done.stderr

    def _run(self, command, cwd, timeout):
        return subprocess.run(
            command,
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
            cwd=cwd or self.folder,
            env=self.environ,
        )
