"""The system calls that a program in the sandbox may make, as a seccomp filter.

A call that is not listed fails with ENOSYS, as on a kernel without it: mounts, namespaces, sockets other than connected
pairs, ptrace, keyrings, shared memory of System V, message queues, io_uring, bpf, limits and priorities of other users.
libc then falls back on older calls, as it does on older kernels. A call with a number of another architecture (32 bit,
x32) kills the program.

The numbers are those of `asm/unistd_64.h` (x86-64) and `asm-generic/unistd.h` (ARM 64); they never change.
"""

import platform
import struct
from typing import NamedTuple

from kgym.errors import SandboxError

TABLE = """
    # files
    access 21 -, chdir 80 49, chmod 90 -, chown 92 -, close 3 57, close_range 436 436, copy_file_range 326 285,
    creat 85 -, dup 32 23, dup2 33 -, dup3 292 24, faccessat 269 48, faccessat2 439 439, fadvise64 221 223,
    fallocate 285 47, fchdir 81 50, fchmod 91 52, fchmodat 268 53, fchown 93 55, fchownat 260 54, fcntl 72 25,
    fdatasync 75 83, fgetxattr 193 10, flistxattr 196 13, flock 73 32, fstat 5 80, fstatfs 138 44, fsync 74 82,
    ftruncate 77 46, futimesat 261 -, getcwd 79 17, getdents 78 -, getdents64 217 61, getxattr 191 8, lchown 94 -,
    lgetxattr 192 9, link 86 -, linkat 265 37, listxattr 194 11, llistxattr 195 12, lseek 8 62, lstat 6 -,
    mkdir 83 -, mkdirat 258 34, mknod 133 -, mknodat 259 33, newfstatat 262 79, open 2 -, openat 257 56,
    openat2 437 437, pipe 22 -, pipe2 293 59, pread64 17 67, preadv 295 69, preadv2 327 286, pwrite64 18 68,
    pwritev 296 70, pwritev2 328 287, read 0 63, readahead 187 213, readlink 89 -, readlinkat 267 78, readv 19 65,
    rename 82 -, renameat 264 38, renameat2 316 276, rmdir 84 -, sendfile 40 71, stat 4 -, statfs 137 43,
    statx 332 291, symlink 88 -, symlinkat 266 36, sync_file_range 277 84, truncate 76 45, umask 95 166,
    unlink 87 -, unlinkat 263 35, utime 132 -, utimensat 280 88, utimes 235 -, write 1 64, writev 20 66
    # memory
    brk 12 214, madvise 28 233, mincore 27 232, mmap 9 222, mprotect 10 226, mremap 25 216, msync 26 227,
    munmap 11 215
    # processes and threads
    arch_prctl 158 -, execve 59 221, execveat 322 281, exit 60 93, exit_group 231 94, fork 57 -, futex 202 98,
    futex_waitv 449 449, get_robust_list 274 100, getcpu 309 168, getegid 108 177, geteuid 107 175, getgid 104 176,
    getgroups 115 158, getpgid 121 155, getpgrp 111 -, getpid 39 172, getppid 110 173, getpriority 140 141,
    getresgid 120 150, getresuid 118 148, getrlimit 97 163, getrusage 98 165, getsid 124 156, gettid 186 178,
    getuid 102 174, kill 62 129, membarrier 324 283, pidfd_open 434 434, prctl 157 167, restart_syscall 219 128,
    rseq 334 293, sched_get_priority_max 146 125, sched_get_priority_min 147 126, sched_getaffinity 204 123,
    sched_getattr 315 275, sched_getparam 143 121, sched_getscheduler 145 120, sched_yield 24 124,
    set_robust_list 273 99, set_tid_address 218 96, setgid 106 144, setgroups 116 159, setpgid 109 154,
    setregid 114 143, setresgid 119 149, setresuid 117 147, setreuid 113 145, setrlimit 160 164, setsid 112 157,
    setuid 105 146, tgkill 234 131, tkill 200 130, vfork 58 -, wait4 61 260, waitid 247 95
    # signals
    alarm 37 -, pause 34 -, rt_sigaction 13 134, rt_sigpending 127 136, rt_sigprocmask 14 135,
    rt_sigqueueinfo 129 138, rt_sigreturn 15 139, rt_sigsuspend 130 133, rt_sigtimedwait 128 137,
    rt_tgsigqueueinfo 297 240, sigaltstack 131 132, signalfd 282 -, signalfd4 289 74
    # time
    clock_getres 229 114, clock_gettime 228 113, clock_nanosleep 230 115, getitimer 36 102, gettimeofday 96 169,
    nanosleep 35 101, setitimer 38 103, time 201 -, timer_create 222 107, timer_delete 226 111,
    timer_getoverrun 225 109, timer_gettime 224 108, timer_settime 223 110, timerfd_create 283 85,
    timerfd_gettime 287 87, timerfd_settime 286 86, times 100 153
    # waiting
    epoll_create 213 -, epoll_create1 291 20, epoll_ctl 233 21, epoll_pwait 281 22, epoll_pwait2 441 441,
    epoll_wait 232 -, eventfd 284 -, eventfd2 290 19, poll 7 -, ppoll 271 73, pselect6 270 72, select 23 -
    # pairs of connected sockets
    getpeername 52 205, getsockname 51 204, getsockopt 55 209, recvfrom 45 207, recvmmsg 299 243, recvmsg 47 212,
    sendmmsg 307 269, sendmsg 46 211, sendto 44 206, setsockopt 54 208, shutdown 48 210
    # the rest
    getrandom 318 278, sysinfo 99 179, uname 63 160
"""
"""Name, number on x86-64, number on ARM 64; - if an architecture does not have the call."""


class Condition(NamedTuple):
    """A call that is allowed or refused by the low 32 bits of one of its arguments."""

    numbers: dict[str, int]
    argument: int
    allowed: tuple[int, ...] = ()
    """Values that are allowed; others are not."""
    refused: tuple[int, ...] = ()
    """Values that are refused; others are not."""
    refused_bits: int = 0
    """Bits that must not be set."""


NEW_NAMESPACES = 0x7E020080
"""CLONE_NEWNS, NEWCGROUP, NEWUTS, NEWIPC, NEWUSER, NEWPID, NEWNET and NEWTIME. clone3 passes them in memory, which a
filter cannot read: it is not listed, and libc uses clone instead.
"""
CONDITIONS = (
    Condition({"x86_64": 56, "aarch64": 220}, 0, refused_bits=NEW_NAMESPACES),  # clone
    Condition(
        {"x86_64": 16, "aarch64": 29}, 1, refused=(0x5412, 0x541C)
    ),  # ioctl: TIOCSTI and TIOCLINUX type into a terminal
    Condition({"x86_64": 302, "aarch64": 261}, 0, allowed=(0,)),  # prlimit64 of the process itself
    Condition({"x86_64": 53, "aarch64": 199}, 0, allowed=(1,)),  # socketpair of the family AF_UNIX
)

ARCHITECTURES = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}
"""The kernel's AUDIT_ARCH_X86_64 and AUDIT_ARCH_AARCH64."""
X32 = 0x40000000
"""Numbers from here on are calls of the x32 architecture."""

_LOAD, _EQUAL, _AT_LEAST, _ABOVE, _ANY_BIT, _RETURN = 0x20, 0x15, 0x35, 0x25, 0x45, 0x06
_NR, _ARCH, _ARGUMENTS = 0, 4, 16
"""Offsets in struct seccomp_data; both architectures are little-endian."""
ALLOW, REFUSE, KILL = 0x7FFF0000, 0x00050000 | 38, 0x80000000
"""SECCOMP_RET_ALLOW, SECCOMP_RET_ERRNO with ENOSYS, SECCOMP_RET_KILL_PROCESS"""


def seccomp_filter(machine: str = "") -> bytes:
    """Return the filter as bwrap's `--seccomp` reads it: an array of struct sock_filter.

    Raises SandboxError for a machine whose numbers are not listed.
    """
    machine = machine or platform.machine()
    if machine not in ARCHITECTURES:
        raise SandboxError(
            f"programs cannot be isolated on {machine}: the list of system calls covers {' and '.join(ARCHITECTURES)}"
        )
    code = [
        _statement(_LOAD, _ARCH),
        _jump(_EQUAL, ARCHITECTURES[machine], 1, 0),
        _statement(_RETURN, KILL),
        _statement(_LOAD, _NR),
    ]
    if machine == "x86_64":
        code += [_jump(_AT_LEAST, X32, 0, 1), _statement(_RETURN, KILL)]
    for first, last in _ranges(allowed_numbers(machine)):
        code += [_jump(_AT_LEAST, first, 0, 2), _jump(_ABOVE, last, 1, 0), _statement(_RETURN, ALLOW)]
    for condition in CONDITIONS:
        checks = _checks(condition)
        code += [_jump(_EQUAL, condition.numbers[machine], 0, len(checks)), *checks]
    return b"".join([*code, _statement(_RETURN, REFUSE)])


def allowed_numbers(machine: str) -> list[int]:
    """Return the numbers of the calls that are allowed for any arguments, sorted."""
    column = 1 + list(ARCHITECTURES).index(machine)
    numbers = [
        entry.split()[column]
        for line in TABLE.splitlines()
        if "#" not in line
        for entry in line.split(",")
        if entry.strip()
    ]
    return sorted(int(number) for number in numbers if number != "-")


def _checks(condition: Condition) -> list[bytes]:
    """Return the instructions that decide one call; they end in a verdict for every argument."""
    code = [_statement(_LOAD, _ARGUMENTS + 8 * condition.argument)]
    for value in condition.allowed:
        code += [_jump(_EQUAL, value, 0, 1), _statement(_RETURN, ALLOW)]
    for value in condition.refused:
        code += [_jump(_EQUAL, value, 0, 1), _statement(_RETURN, REFUSE)]
    if condition.refused_bits:
        code += [_jump(_ANY_BIT, condition.refused_bits, 0, 1), _statement(_RETURN, REFUSE)]
    return [*code, _statement(_RETURN, REFUSE if condition.allowed else ALLOW)]


def _ranges(numbers: list[int]) -> list[tuple[int, int]]:
    found: list[tuple[int, int]] = []
    for number in numbers:
        if found and number == found[-1][1] + 1:
            found[-1] = found[-1][0], number
        else:
            found.append((number, number))
    return found


def _statement(code: int, value: int) -> bytes:
    return _jump(code, value, 0, 0)


def _jump(code: int, value: int, if_true: int, if_false: int) -> bytes:
    """Return one struct sock_filter; jumps count the instructions after this one."""
    return struct.pack("<HBBI", code, if_true, if_false, value)
