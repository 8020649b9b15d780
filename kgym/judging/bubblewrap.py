"""The command line of bwrap for a sandbox, and what to do if bwrap refuses.

An ordinary user gets a user namespace. Root becomes a user of the sandbox instead, which also works where user
namespaces are switched off. Everything else is the same: separate namespaces for processes, network, IPC, host name and
cgroups; /usr, the Python of this process and a few devices read-only; one writable folder, /tmp, in memory.
"""

import os
import platform
import secrets
import shutil
import site
import sys
from collections.abc import Sequence
from pathlib import Path

from kgym.errors import SandboxError

SYSTEM = ("bin", "sbin", "lib", "lib32", "lib64", "libx32")
"""Folders in / in addition to /usr: links into /usr, or folders on older systems."""
CONFIGURATION = ("/etc/ld.so.cache", "/etc/alternatives", "/etc/localtime")
"""Files in /etc that the programs in /usr need; they contain nothing secret."""
DEVICES = ("null", "zero", "full", "random", "urandom")
AGENT = ("agent.py", "interpreter.py")
"""Programs of the sandbox's first process; the first one is started."""
TMP = "/tmp"  # noqa: S108  (its own file system)
USERS = range(61184, 65520)
"""User ids that systemd assigns dynamically (DynamicUser=), so they own no files on disk."""
INSTALL = "install bubblewrap 0.8 or later (apt-get install bubblewrap, dnf install bubblewrap)"
ALLOW = (
    "allow user namespaces (sysctl user.max_user_namespaces, kernel.unprivileged_userns_clone=1, "
    "kernel.apparmor_restrict_unprivileged_userns=0); a container needs --security-opt seccomp=unconfined "
    "--security-opt apparmor=unconfined --security-opt systempaths=unconfined, or --privileged"
)


def missing() -> str:
    """Return what this machine lacks to isolate programs, with the remedy; "" if this quick check finds nothing."""
    if sys.platform != "linux":
        system = platform.system()
        return (
            f"programs are isolated with Linux namespaces, and this is {system}; use Linux or a virtual machine with it"
        )
    if shutil.which("bwrap") is None:
        return f"bwrap is not installed; {INSTALL}"
    return ""


def command(*, channel_fd: int, info_fd: int, seccomp_fd: int, storage_bytes: int) -> list[str]:
    """Return the command line that starts a sandbox with the agent. Raises SandboxError if something is missing."""
    if lacking := missing():
        raise SandboxError(f"programs cannot be isolated: {lacking}")
    root = os.geteuid() == 0
    rights = ("--cap-add", "CAP_SETUID", "--cap-add", "CAP_SETGID") if root else ("--unshare-user",)
    return [
        *(str(shutil.which("bwrap")), *rights),
        *("--unshare-ipc", "--unshare-pid", "--unshare-net", "--unshare-uts", "--unshare-cgroup-try"),
        *("--hostname", "sandbox", "--new-session", "--as-pid-1", "--clearenv"),
        *(word for name, value in environment().items() for word in ("--setenv", name, value)),
        *_system(),
        *("--proc", "/proc"),
        *(word for name in AGENT for word in ("--ro-bind", str(Path(__file__).with_name(name)), f"/run/{name}")),
        *("--perms", "1777", "--size", str(storage_bytes), "--tmpfs", TMP, "--chdir", TMP),
        *("--remount-ro", "/", "--info-fd", str(info_fd), "--seccomp", str(seccomp_fd)),
        *("--", python(), f"/run/{AGENT[0]}", str(channel_fd), str(secrets.choice(USERS)) if root else "-"),
    ]


def python() -> str:
    """Return the interpreter of the sandbox: the one of this process, without its virtual environment."""
    return os.path.realpath(getattr(sys, "_base_executable", "") or sys.executable)


def environment() -> dict[str, str]:
    """Return the environment variables of a program.

    PYTHONHASHSEED fixes the hashes of texts: with a random seed a program could get another verdict every time.
    """
    return {"PATH": search_path(), "HOME": TMP, "LANG": "C.UTF-8", "PYTHONHASHSEED": "0"}


def search_path() -> str:
    """Return the value of PATH in the sandbox; `python3` is the interpreter of this process."""
    folders = [str(Path(python()).parent), "/usr/local/bin", "/usr/bin", "/bin"]
    return ":".join(dict.fromkeys(folders))


def _system() -> list[str]:
    found = [word for name in ("/dev", "/etc", "/run") for word in ("--perms", "0755", "--dir", name)]
    found += ["--ro-bind", "/usr", "/usr"]
    for name in SYSTEM:
        path = Path("/", name)
        if path.is_symlink():
            found += ["--symlink", str(path.readlink()), str(path)]
        elif path.is_dir():
            found += ["--ro-bind", str(path), str(path)]
    prefix = os.path.realpath(sys.base_prefix)
    if not Path(prefix).is_relative_to("/usr"):
        for parent in reversed(Path(prefix).parents[:-1]):  # the sandbox's user cannot enter a folder of root
            found += ["--perms", "0755", "--dir", str(parent)]
        found += ["--ro-bind", prefix, prefix]
    for folder in site.getsitepackages([prefix]):  # the programs do not need installed packages, which slow their start
        if Path(folder).is_dir():
            found += ["--perms", "0555", "--tmpfs", folder, "--remount-ro", folder]
    for name in CONFIGURATION:
        found += ["--ro-bind-try", name, name]
    for name in DEVICES:
        found += ["--dev-bind", f"/dev/{name}", f"/dev/{name}"]
    for name, target in (("fd", "self/fd"), ("stdin", "self/fd/0"), ("stdout", "self/fd/1"), ("stderr", "self/fd/2")):
        found += ["--symlink", f"/proc/{target}", f"/dev/{name}"]
    return found


def remedy(said: Sequence[str]) -> str:
    """Return the remedy for the last lines that bwrap or the agent printed."""
    text = " ".join(said).lower()
    if "unknown option" in text:
        return INSTALL
    if any(word in text for word in ("permission", "permitted", "namespace", "no space left", "uid map")):
        return ALLOW
    return "run `bwrap --unshare-all --ro-bind / / true` to see whether bwrap works at all"
