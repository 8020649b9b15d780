"""The isolation of the sandbox: machines that cannot isolate, the filter of system calls, and cgroups."""

import os
import shutil
import struct
import sys

import pytest

from kgym.errors import SandboxError
from kgym.judging import bubblewrap, cgroups, probe, syscalls
from kgym.judging.box import Box
from kgym.judging.sandbox import run
from test_sandbox import QUICK, as_an_ordinary_user

# --- a machine that cannot isolate ---


@pytest.fixture
def unknown(monkeypatch):
    """Forget what the probe has found, and what it finds in the test."""
    monkeypatch.setattr(probe, "_finding", None)


def test_the_probe_is_content_here():
    assert probe.check() == ""


def test_an_ordinary_user_is_isolated_as_well():
    done = as_an_ordinary_user(
        sys.executable, "-c", "from kgym.judging import probe; import os; print(os.getuid(), [probe.check()])"
    )
    uid, _, finding = done.stdout.strip().partition(" ")
    assert (uid != "0", finding) == (True, "['']"), done.stdout + done.stderr


def test_without_bwrap_nothing_runs(monkeypatch, tmp_path, unknown):
    monkeypatch.setenv("PATH", str(tmp_path))
    for _ in range(2):  # the finding is kept
        with pytest.raises(
            SandboxError, match=r"bwrap is not installed; install bubblewrap 0.8 or later \(apt-get install bubblewrap"
        ):
            run({}, ["true"])


@pytest.mark.parametrize(
    ("script", "reason"),
    [
        ("echo 'bwrap: Unknown option --size' >&2; exit 1", "Unknown option --size; install bubblewrap 0.8 or later"),
        (
            "echo 'bwrap: Creating new namespace failed: Operation not permitted' >&2; exit 1",
            "not permitted; allow user namespaces",
        ),
        ("exit 1", "see whether bwrap works at all"),
    ],
)
def test_a_bwrap_that_refuses_is_quoted(monkeypatch, tmp_path, unknown, script, reason):
    fake(monkeypatch, tmp_path, script)
    with pytest.raises(SandboxError, match="programs cannot be isolated: ") as refused:
        run({}, ["true"])
    assert reason in str(refused.value)


@pytest.mark.parametrize(
    ("left_out", "reason"),
    [
        ("--unshare-net", "a network"),
        ("--seccomp", "not filtered"),
    ],
)
def test_a_bwrap_that_isolates_less_is_found_out(monkeypatch, unknown, left_out, reason):
    command = bubblewrap.command

    def weaker(**fds):
        line = command(**fds)
        while left_out in line:
            place = line.index(left_out)
            del line[place : place + (2 if left_out == "--seccomp" else 1)]
        return line

    monkeypatch.setattr(bubblewrap, "command", weaker)
    assert reason in probe.check()


def test_an_environment_is_found_out(monkeypatch, unknown):
    usual = bubblewrap.environment()
    monkeypatch.setattr(bubblewrap, "environment", lambda: usual | {"SECRET": "x"})
    assert "an environment" in probe.check()


def fake(monkeypatch, folder, script):
    path = folder / "bwrap"
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")


# --- the filter and cgroups ---


@pytest.mark.parametrize("machine", ["x86_64", "aarch64"])
def test_the_filter_decides_as_its_table_says(machine):
    code = syscalls.seccomp_filter(machine)
    arch = syscalls.ARCHITECTURES[machine]
    allowed = set(syscalls.allowed_numbers(machine))
    conditional = {condition.numbers[machine] for condition in syscalls.CONDITIONS}
    for number in range(600):
        if number not in conditional:
            assert verdict(code, arch, number) == (syscalls.ALLOW if number in allowed else syscalls.REFUSE), number
    clone, ioctl, prlimit, socketpair = (condition.numbers[machine] for condition in syscalls.CONDITIONS)
    for number, arguments, decision in (
        (clone, [0x01200011], syscalls.ALLOW),
        (clone, [0x10000011], syscalls.REFUSE),
        (clone, [0x00020011], syscalls.REFUSE),
        (ioctl, [0, 0x5401], syscalls.ALLOW),
        (ioctl, [0, 0x5412], syscalls.REFUSE),
        (ioctl, [0, 0x1_0000_5412], syscalls.REFUSE),  # the kernel looks at the low half as well
        (prlimit, [0], syscalls.ALLOW),
        (prlimit, [1], syscalls.REFUSE),
        (socketpair, [1], syscalls.ALLOW),
        (socketpair, [2], syscalls.REFUSE),
    ):
        assert verdict(code, arch, number, arguments) == decision, (number, arguments)
    assert verdict(code, 0x40000003, 0) == syscalls.KILL  # 32 bit
    if machine == "x86_64":
        assert verdict(code, arch, syscalls.X32 + 1) == syscalls.KILL


def verdict(code, arch, number, arguments=()):
    """Run a filter on a call, as the kernel does."""
    data = struct.pack("<IIQ6Q", number, arch, 0, *arguments, *[0] * (6 - len(arguments)))
    program = [struct.unpack_from("<HBBI", code, at) for at in range(0, len(code), 8)]
    at, register = 0, 0
    while True:
        operation, if_true, if_false, value = program[at]
        at += 1
        if operation == 0x20:
            (register,) = struct.unpack_from("<I", data, value)
        elif operation == 0x06:
            return value
        else:
            holds = {
                0x15: register == value,
                0x35: register >= value,
                0x25: register > value,
                0x45: bool(register & value),
            }[operation]
            at += if_true if holds else if_false


def test_a_machine_without_a_table_is_refused():
    with pytest.raises(SandboxError, match="cannot be isolated on riscv64"):
        syscalls.seccomp_filter("riscv64")


def test_where_cgroups_may_be_made(tmp_path):
    (tmp_path / "cgroup.controllers").write_text("cpu memory pids")
    own = tmp_path / "user.slice/app.slice/run.scope"
    own.mkdir(parents=True)
    (own / "cgroup.subtree_control").write_text("")
    (own.parent / "cgroup.subtree_control").write_text("memory pids")
    (place,) = cgroups.candidates(["0::/user.slice/app.slice/run.scope"], tmp_path)
    assert place.folders == (own.parent,)
    assert cgroups.candidates(["0::/"], tmp_path) == []
    first, _ = cgroups.candidates(["4:memory:/a", "3:cpu,cpuacct:/", "8:pids:/b", "0::/"], tmp_path / "v1")
    assert first.folders == (tmp_path / "v1/memory/a", tmp_path / "v1/pids/b")


def test_cgroups_are_removed():
    place = cgroups.usable_place()
    with Box() as box:
        assert box.run(["true"], limits=QUICK).ok
        names = [folder.name for folder in box._cgroup._folders] if box._cgroup else []
    assert bool(names) == (place is not None)
    assert not any((folder / name).exists() for folder in (place.folders if place else ()) for name in names)


def test_cgroups_of_killed_processes_are_removed(tmp_path):
    for name in ("kgym-999999999-0", f"kgym-{os.getpid()}-0", "other"):
        (tmp_path / name).mkdir()
    cgroups.sweep(tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {f"kgym-{os.getpid()}-0", "other"}


def test_bwrap_is_there():
    assert shutil.which("bwrap"), bubblewrap.INSTALL  # without it nothing here is tested
