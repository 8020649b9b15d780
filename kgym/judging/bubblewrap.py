"""How bwrap is asked for a sandbox, and what to do where it refuses.

An ordinary user gets a user namespace; root gives up its identity for a user of the sandbox's own instead, so that it
works where user namespaces are switched off. Everything else is the same: separate namespaces for processes, network,
IPC, host name and cgroups; /usr, the Python of this process and a few devices read-only; one writable folder, /tmp, in
memory.
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
"""What is in / beside /usr: links into it, or folders on older systems."""
CONFIGURATION = ("/etc/ld.so.cache", "/etc/alternatives", "/etc/localtime")
"""What the programs of /usr need of /etc; none of it is secret."""
DEVICES = ("null", "zero", "full", "random", "urandom")
AGENT = "/run/agent.py"
TMP = "/tmp"  # noqa: S108  (its own file system)
USERS = range(61184, 65520)
"""Users that systemd hands out as needed (DynamicUser=), so that no file on disk is theirs."""
INSTALL = "install bubblewrap 0.8 or later (apt-get install bubblewrap, dnf install bubblewrap)"
ALLOW = (
    "allow user namespaces (sysctl user.max_user_namespaces, kernel.unprivileged_userns_clone=1, "
    "kernel.apparmor_restrict_unprivileged_userns=0); a container needs --security-opt seccomp=unconfined "
    "--security-opt apparmor=unconfined --security-opt systempaths=unconfined, or --privileged"
)


def missing() -> str:
    """Return what this machine lacks so that programs can be isolated, with the remedy; "" if nothing can be seen at
    once.
    """
    if sys.platform != "linux":
        return f"programs are isolated with Linux namespaces, and this is {platform.system()}; use Linux, also in a virtual machine"
    if shutil.which("bwrap") is None:
        return f"bwrap is not installed; {INSTALL}"
    return ""


def command(*, channel_fd: int, info_fd: int, seccomp_fd: int, storage_bytes: int) -> list[str]:
    """Return the command line that starts a sandbox with the agent in it. Raises SandboxError if something is
    missing.
    """
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
        *("--proc", "/proc", "--ro-bind", str(Path(__file__).with_name("agent.py")), AGENT),
        *("--perms", "1777", "--size", str(storage_bytes), "--tmpfs", TMP, "--chdir", TMP),
        *("--remount-ro", "/", "--info-fd", str(info_fd), "--seccomp", str(seccomp_fd)),
        *("--", python(), AGENT, str(channel_fd), str(secrets.choice(USERS)) if root else "-"),
    ]


def python() -> str:
    """Return the interpreter of the sandbox: that of this process, without its virtual environment."""
    return os.path.realpath(getattr(sys, "_base_executable", "") or sys.executable)


def environment() -> dict[str, str]:
    """Return the environment variables of a program.

    The seed is that of the hashes of texts: one of its own would give a program another verdict every time.
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
        for parent in reversed(Path(prefix).parents[:-1]):  # a folder of root's would be closed to the sandbox's user
            found += ["--perms", "0755", "--dir", str(parent)]
        found += ["--ro-bind", prefix, prefix]
    for folder in site.getsitepackages(
        [prefix]
    ):  # what is installed here does not concern the programs, and slows their start
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
    """Return what to do, given what bwrap or the agent said last."""
    text = " ".join(said).lower()
    if "unknown option" in text:
        return INSTALL
    if any(word in text for word in ("permission", "permitted", "namespace", "no space left", "uid map")):
        return ALLOW
    return "run bwrap --unshare-all --ro-bind / / true to see whether it works at all"
