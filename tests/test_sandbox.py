"""The sandbox, with real programs in real boxes; `sandbox_attacks.py` has the hostile ones."""

import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

import sandbox_attacks
from kgym.judging.box import Box
from kgym.judging.sandbox import Pool, run
from kgym.limits import ProgramLimits

PYTHON = ["python3", "main.py"]
QUICK = ProgramLimits(wall_s=20, cpu_s=1)
ROOT = Path(__file__).parent.parent


def program(source, stdin="", limits=QUICK, **files):
    return run({"main.py": source, **files}, PYTHON, limits, stdin=stdin)


def test_a_program_runs_and_is_reported():
    finished = program("import sys\nprint(input()[::-1])\nprint('oh', file=sys.stderr)\nsys.exit(3)", "abc\n")
    assert (finished.stdout, finished.stderr, finished.exit_code, finished.limit, finished.ok) == (
        b"cba\n",
        b"oh\n",
        3,
        "",
        False,
    )
    assert 0 < finished.cpu_s < finished.wall_s + 1


def test_signals_that_are_ignored_outside_are_not_ignored_inside():
    before = {
        number: signal.signal(number, signal.SIG_IGN) for number in (signal.SIGINT, signal.SIGQUIT)
    }  # as in a shell's background
    try:
        for number in before:
            with Box() as box:
                assert (
                    box.run(
                        ["python3", "-c", f"import signal; print(signal.getsignal({number:d}) == signal.SIG_IGN)"]
                    ).stdout
                    == b"False\n"
                )
                assert box.run(["sh", "-c", f"kill -{number:d} $$; echo lives"]).exit_code == -number
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def test_what_is_there():
    source = (
        "import os, json; print(json.dumps([dict(os.environ), os.getcwd(), sorted(os.listdir()), os.listdir('/tmp')]))"
    )
    environment, folder, files, temporary = json.loads(program(source, **{"data/in.txt": "x"}).stdout)
    assert set(environment) == {"PATH", "HOME", "LANG", "PYTHONHASHSEED"}
    assert (folder, files, temporary) == ("/tmp/work", ["data", "main.py"], ["work"])


def test_the_usual_devices_are_there():
    source = (
        "import os\nassert len(os.urandom(9)) == 9\n"
        "open('/dev/null', 'w').write('x')\nassert open('/dev/zero', 'rb').read(1) == b'\\0'"
    )
    assert program(source + "\nprint(sorted(os.listdir('/dev')), file=open('/dev/stdout', 'w'))").stdout == (
        b"['fd', 'full', 'null', 'random', 'stderr', 'stdin', 'stdout', 'urandom', 'zero']\n"
    )


def test_the_interpreter_has_the_standard_library_alone():
    assert program("import json, decimal, asyncio; asyncio.run(asyncio.sleep(0)); exit()").ok
    assert b"No module named 'pip'" in program("import pip").stderr


ALIKE = {
    "environment": "import os; print(sorted(os.environ.items()), flush=True); os.system('env | grep -v -e ^_= -e PWD | "
    "sort')",
    "interpreter": "import sys; print(sys.argv, sys.path, sys.flags, sys.getfilesystemencoding())",
    "main": "print(__name__, __file__, __spec__, sorted(set(globals()) - {'__loader__'}))",
    "no names of the agent": "print(os)",
    "modules of its own": "import helper, __main__; print(helper.X, __main__.__file__)",
    "no modules of the agent": "import sys; print('interpreter' in sys.modules)\nimport interpreter",
    "streams": "import sys\nfor s in sys.stdin, sys.stdout, sys.stderr: print(s.name, s.mode, s.encoding, s.errors, "
    "s.line_buffering)",
    "input": "import sys\nprint(input(), sys.stdin.readline(), open(0).read())",
    "input by its path": "print(open('/dev/stdin').read())",
    "input in bytes": "import sys; print(sys.stdin.buffer.read())",
    "output is flushed": "import sys; sys.stdout.write('a'); sys.stderr.write('b')",
    "output by numbers": "import os; print('a', flush=True); os.write(1, b'b')",
    "bytes that are no text": "import sys; sys.stdout.write(sys.stdin.readline()[:2] + '\\udcff')",
    "error": "def f(): return 1 / 0\nf()",
    "syntax": "print(",
    "error of its own": "class E(Exception): pass\nraise E('x')",
    "exit": "exit(7)",
    "exit with a text": "import sys; sys.exit('sorry')",
    "exit without a farewell": "import os; os._exit(9)",
    "exit at the end": "import atexit, threading\natexit.register(print, 'bye')\nthreading.Thread(target=print, "
    "args=['thread']).start()",
    "exit with a number that is too large": "raise SystemExit(-1)",
    "exit in a thread": "import threading, sys; threading.Thread(target=sys.exit, args=[3]).start()",
    "what is left is written": "import os; out = os.fdopen(1, 'w'); out.write('left')",
    "farewells": "class A:\n    def __del__(self): print('gone', len('ab'))\na = A()\n_b = A()",
    "farewells of a module": "import helper\nhelper.X = type('A', (), {'__del__': lambda self: print('gone')})()",
    "a wrong farewell": "import atexit\natexit.register(lambda: 1 / 0)",
    "another output": "import io, sys, atexit, os\nsys.stdout = io.StringIO()\n"
    "atexit.register(lambda: os.write(1, sys.stdout.getvalue().encode()))\nprint('buffered')",
    "an output with nothing but what is "
    "needed": "import os, sys\nclass O:\n    def write(self, s): os.write(1, s.encode())\n"
    "    def flush(self): pass\nsys.stdout = O()\nprint('x')",
    "names that are no names": "globals()[5] = 6; print(7)",
    "output that is closed": "import sys; sys.stdout.close()",
    "a full output": "import sys; sys.stdout = open('/dev/full', 'w'); print('x')",
    "nothing of it": "import sys; sys.stdout = None; print('x')",
    "an error after output": "print('some'); raise ValueError('x')",
    "a signal": "import os; os.kill(os.getpid(), 15)",
    "handlers": "import signal; print([signal.getsignal(n) for n in range(1, 32) if n not in (9, 19)])",
    "depth": "def f(n): return f(n - 1) if n else 0\nprint(f(970))",
    "too deep": "def f(n): return f(n + 1)\nf(0)",
    "deeper": "import sys\nsys.setrecursionlimit(10**6)\ndef f(n): return f(n - 1) + 1 if n else 0\nprint(f(20000))",
    "hashes": "print(hash('a text'), list({'b', 'a', 'c'}))",
    "children": "import subprocess, sys\nprint(subprocess.run([sys.executable, '-c', 'print(6*7)'], "
    "capture_output=True).stdout)",
    "processes": "from multiprocessing import Pool\nif __name__ == '__main__':\n    with Pool(2) as pool: "
    "print(pool.map(abs, [-1, 2]))",
    "files": "import os; print(sorted(os.listdir('/proc/self/fd'))[:3], os.getcwd(), oct(os.umask(0)))",
    "limits": "import resource; print([resource.getrlimit(n) for n in range(10)])",
    "memory": "open('/proc/self/mem', 'rb').close(); print(open('/proc/self/status').read().count('Seccomp:\\t2'))",
    "future": "from __future__ import annotations\ndef f(x: undefined): return 1\nprint(f(0))",
    "annotations": "x: int = 3\nprint(__annotations__)",
    "another encoding": "# -*- coding: latin-1 -*-\nprint(len('\u00e4'))",
}


@pytest.mark.parametrize("what", ALIKE)
def test_a_program_in_python_cannot_tell_that_its_interpreter_was_started_before(what):
    with Box() as box:
        box.put({"main.py": ALIKE[what], "helper.py": "X = 6"})
        forked, executed = (
            box.run(command, "ab\n\u00e9f\nlast", QUICK) for command in (PYTHON, ["env", "python3", "main.py"])
        )
    assert (forked.exit_code, forked.limit, forked.stdout) == (executed.exit_code, executed.limit, executed.stdout)
    differing = re.compile(
        rb"repeated \d+ more|0x[0-9a-f]+"
    )  # a fork has two frames less of a thousand, and other addresses
    assert differing.sub(b"", forked.stderr) == differing.sub(b"", executed.stderr)


def test_a_script_that_is_not_there_is_executed_to_say_so():
    finished = run({}, ["python3", "main.py"], QUICK)
    assert finished.exit_code == 2
    assert b"No such file" in finished.stderr


def test_the_channel_of_a_program_stays_open_whatever_its_number_was():
    for _ in range(3):
        ours, theirs = socket.socketpair()
        with ours, theirs, Box() as box:
            box.put({"main.py": "import gc, os, time\ngc.collect()\nos.write(3, b'here')"})
            assert box.run(PYTHON, limits=QUICK, channel=theirs).ok
            assert ours.recv(10) == b"here"


def test_other_programs_than_python():
    assert run({"a.sh": "tr a-z A-Z"}, ["sh", "a.sh"], QUICK, stdin="abc").stdout == b"ABC"
    missing = run({}, ["no-such-program"], QUICK)
    assert missing.exit_code == 127
    assert b"no-such-program" in missing.stderr


def test_input_and_output_larger_than_a_pipe():
    big = "x" * 3_000_000
    assert program("import sys; sys.stdout.write(sys.stdin.read())", big).stdout.decode() == big
    assert program("print('unread')", big).stdout == b"unread\n"


@pytest.mark.parametrize("path", ["/etc/x", "../x", "a/../../x", "", "a\0b"])
def test_files_outside_of_the_working_folder_are_refused(path):
    with pytest.raises(ValueError, match="not a path within"), Box() as box:
        box.put({path: "x"})


def test_programs_of_one_box_run_one_after_the_other():
    with Box() as box:
        box.put({"main.py": "import os, sys\nprint(input(), os.path.exists('/tmp/left'))\nopen('/tmp/left', 'w')"})
        assert [box.run(PYTHON, f"{n}", QUICK).stdout for n in range(2)] == [b"0 False\n", b"1 True\n"]
        with pytest.raises(ValueError, match="before the first program"):
            box.put({"b": ""})
    with Box() as box:
        box.put({"main.py": "import os; print(os.listdir('/tmp'))"})
        assert box.run(PYTHON, limits=QUICK).stdout == b"['work']\n"  # nothing is left of the other one


def test_a_program_can_speak_over_a_channel():
    ours, theirs = socket.socketpair()
    heard = []
    listener = threading.Thread(target=lambda: (ours.sendall(b"6 7"), heard.append(ours.recv(100))))
    with ours, theirs, Box() as box:
        box.put({"main.py": "import os\na, b = os.read(3, 100).split()\nos.write(3, b'%d' % (int(a) * int(b)))"})
        listener.start()
        finished = box.run(PYTHON, limits=QUICK, channel=theirs)
        listener.join()
    assert finished.ok, finished
    assert heard == [b"42"]


def test_a_limit_is_not_a_crash():
    assert program("while True: pass", limits=ProgramLimits(cpu_s=0.3, wall_s=60)).limit == "cpu"
    assert program("import time; time.sleep(99)", limits=ProgramLimits(wall_s=0.3)).limit == "time"
    assert program("raise SystemExit(-9 % 256)").limit == ""


def test_waiting_for_a_processor_is_not_the_fault_of_a_program():
    """Each needs half of its time by the clock, and there are more of them than processors."""
    burn = "import time\nwhile time.process_time() < 0.2: pass\nprint('done')"
    with ThreadPoolExecutor(8) as executor:
        runs = [executor.submit(program, burn, "", ProgramLimits(wall_s=0.4, cpu_s=5)) for _ in range(8)]
    assert {(run.result().stdout, run.result().limit) for run in runs} == {(b"done\n", "")}


# --- attacks ---


def test_there_are_attacks():
    assert len(sandbox_attacks.ATTACKS) >= 40
    assert len({attack.name for attack in sandbox_attacks.ATTACKS}) == len(sandbox_attacks.ATTACKS)


@pytest.mark.slow
def test_attacks_are_contained():
    assert sandbox_attacks.run_all() == []


def as_an_ordinary_user(*command):
    """Run a command as `nobody`, with the folders that it needs open to it; without root, as who runs the tests."""
    if os.geteuid() != 0:
        line = list(command)
    else:
        line = [
            "bwrap",
            "--dev-bind",
            "/",
            "/",
            "--cap-add",
            "CAP_SETUID",
            "--cap-add",
            "CAP_SETGID",
            "--cap-add",
            "CAP_SETPCAP",
        ]
        needed = {Path(sys.base_prefix), Path(sys.prefix), ROOT}
        closed = {next((p for p in reversed(path.parents) if not p.stat().st_mode & 1), None) for path in needed} - {
            None
        }
        for folder in closed:
            line += ["--perms", "0755", "--tmpfs", str(folder)]
            for path in (path for path in needed if path.is_relative_to(folder)):
                for parent in reversed([p for p in path.parents if p != folder and p.is_relative_to(folder)]):
                    line += ["--perms", "0755", "--dir", str(parent)]
                line += ["--bind", str(path), str(path)]
        line += ["setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups", "--inh-caps=-all", *command]
    environment = {"PATH": os.environ["PATH"], "HOME": "/tmp", "PYTHONPATH": str(ROOT), "PYTHONDONTWRITEBYTECODE": "1"}
    return subprocess.run(line, env=environment, cwd=ROOT, capture_output=True, text=True, timeout=600, check=False)


@pytest.mark.slow
def test_attacks_are_contained_for_an_ordinary_user():
    done = as_an_ordinary_user(sys.executable, "tests/sandbox_attacks.py")
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"{len(sandbox_attacks.ATTACKS)} attacks, 0 faults, user " in done.stdout
    assert "user 0" not in done.stdout


# --- the pool ---


def test_boxes_are_ready_before_they_are_needed():
    pool = Pool(2)
    try:
        assert pool.run({}, ["true"], QUICK).ok
        until = time.monotonic() + 60
        while len(pool._ready) < 2 and time.monotonic() < until:
            time.sleep(0.02)
        ready = {box._process.pid for box in pool._ready}
        with pool.box() as box:
            assert box._process.pid in ready
        with pool.box() as other:
            assert other is not box
    finally:
        pool.close()
    assert [alive(pid) for pid in ready] == [False, False]


def alive(pid):
    return Path(f"/proc/{pid}").exists()


def test_a_box_that_was_killed_is_not_handed_out():
    pool = Pool(1)
    try:
        assert pool.run({}, ["true"], QUICK).ok
        until = time.monotonic() + 60
        while not pool._ready and time.monotonic() < until:
            time.sleep(0.02)
        killed = pool._ready[0]
        killed._process.kill()
        killed._process.wait()
        assert pool.run({}, ["echo", "fine"], QUICK).stdout == b"fine\n"
    finally:
        pool.close()
        killed.close()


def test_a_judge_that_is_killed_takes_its_sandboxes_along():
    source = (
        "from kgym.judging.box import Box\nwith Box() as box:\n    print(box._process.pid, flush=True)\n"
        "    box.run(['sh', '-c', 'while :; do sleep 1; done'])"
    )
    with subprocess.Popen([sys.executable, "-c", source], stdout=subprocess.PIPE, cwd=ROOT) as judge:
        outer = int(judge.stdout.readline())
        inner = int(Path(f"/proc/{outer}/task/{outer}/children").read_text().split()[0])
        judge.kill()
    until = time.monotonic() + 60
    while alive(inner) and time.monotonic() < until:
        time.sleep(0.02)
    assert not alive(inner)


def test_a_forked_process_leaves_the_boxes_to_its_parent():
    assert run({}, ["true"], QUICK).ok
    pid = os.fork()
    if pid == 0:
        os._exit(0 if run({}, ["true"], QUICK).ok else 1)
    assert os.waitpid(pid, 0)[1] == 0
    assert run({}, ["true"], QUICK).ok
