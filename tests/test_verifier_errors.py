"""A verifier that raises, or returns something other than Verdicts: the same in a worker and in the caller's
process, and never silent.
"""

import json
import subprocess
import sys

import numpy as np
import pyarrow.parquet as pq
import pytest

from kgym.cli.main import main
from kgym.envs.spec import EnvSpec
from kgym.limits import PoolLimits
from kgym.registry import configure
from kgym.types import Verdict, VerifyItem
from kgym.verify.pool import VerifierPool, close_all
from kgym.verify.service import CallerVerifier


@pytest.fixture(autouse=True, scope="module")
def no_plugin_left():
    yield
    close_all()
    configure()


class Odd:
    """Returns what the question says, for whole batches."""

    def __init__(self, options):
        pass

    def verify_many(self, items):
        returns = {
            "none": lambda: None,
            "float": lambda: 1.0,
            "single": lambda: Verdict("correct"),
            "empty": lambda: [],
            "too many": lambda: [Verdict("wrong")] * (len(items) + 1),
            "text": lambda: "correct",
            "endless": lambda: iter(lambda: Verdict("wrong"), None),
            "exit": sys.exit,
        }
        deeds = {item.question for item in items} & returns.keys()
        return returns[deeds.pop()]() if deeds else (self.verdict(item) for item in items)

    def verdict(self, item):
        match item.question:
            case "in none":
                return None
            case "in true":
                return True
            case "in float":
                return 0.5
            case "number as reason":
                return Verdict("wrong", reason=3)
            case "numpy partial":
                return Verdict("wrong", "part", partial=np.float32(0.5))
            case "half a pair":
                return Verdict("wrong", "part", answer="a\ud83d", normal="\ud83d", trace="\ud83d\ude00")
            case "raise":
                raise ValueError("no idea")
            case "panic":
                raise Panic("index out of range")
            case "memory":
                raise MemoryError
            case "no message":
                raise Mute
        return Verdict("correct", "fine")


class Panic(BaseException):
    """As the PanicException of packages in Rust."""


class Mute(Exception):
    def __str__(self):
        raise RuntimeError


@pytest.fixture(scope="module", params=["worker", "caller"])
def verifier(request):
    if request.param == "caller":
        yield CallerVerifier(Odd(None), "verifier 'odd' of acme 1.0")
    else:
        with VerifierPool(f"{__name__}:Odd", limits=PoolLimits(workers=1), who="verifier 'odd' of acme 1.0") as pool:
            yield pool


@pytest.mark.parametrize(
    ("deed", "label", "said"),
    [
        ("none", "unscored:bad_verdict", "returned None instead of a list of Verdicts"),
        ("float", "unscored:bad_verdict", "returned 1.0 instead of a list of Verdicts"),
        ("single", "unscored:bad_verdict", "instead of a list of Verdicts"),
        ("empty", "unscored:bad_verdict", "returned 0 verdicts for 1 item"),
        ("too many", "unscored:bad_verdict", "returned more than 1 verdicts for 1 item"),
        ("text", "unscored:bad_verdict", "returned more than 1 verdicts"),
        ("endless", "unscored:bad_verdict", "returned more than 1 verdicts"),
        ("in none", "unscored:bad_verdict", "returned a NoneType (None) instead of a Verdict"),
        ("in true", "unscored:bad_verdict", "returned a bool (True) instead of a Verdict"),
        ("in float", "unscored:bad_verdict", "returned a float (0.5) instead of a Verdict"),
        ("number as reason", "unscored:bad_verdict", "returned a Verdict whose reason is 3, not a text"),
        ("raise", "unscored:error:ValueError", "raised ValueError: no idea"),
        ("exit", "unscored:error:SystemExit", "raised SystemExit"),
        ("panic", "unscored:error:Panic", "raised Panic: index out of range"),
        ("no message", "unscored:error:Mute", "raised Mute: without a message"),
        ("memory", "unscored:memory", None),
        ("numpy partial", "wrong", None),
    ],
)
def test_what_becomes_of_it(verifier, deed, label, said, caplog):
    troubles = getattr(verifier, "troubles", None) or verifier._troubles
    troubles._said.clear()
    fine = VerifyItem("1", "1", "", "p1")
    verdicts = verifier.verify_many([fine, VerifyItem("1", "2", deed, "p2"), fine, VerifyItem("1", "3", deed, "p3")])
    assert [verdict.label for verdict in verdicts] == ["correct", label, "correct", label]
    if deed == "numpy partial":
        assert json.dumps([verdict.partial for verdict in verdicts]) == "[null, 0.5, null, 0.5]"
    warnings = [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]
    assert len(warnings) == (said is not None), "once"
    if said is not None:
        assert warnings[0].startswith("verifier 'odd' of acme 1.0 ")
        assert said in warnings[0]
        assert "(problem p2)" in warnings[0]
        assert label in warnings[0]


def test_half_of_a_surrogate_pair_in_a_verdict_can_be_stored(verifier):
    """JSON in a completion may spell it, and Parquet takes no text with it: the run would end."""
    (verdict,) = verifier.verify_many([VerifyItem("1", "2", "half a pair", "p")])
    assert verdict == Verdict("wrong", "part", answer="a\N{REPLACEMENT CHARACTER}", normal="\N{REPLACEMENT CHARACTER}")
    assert verdict.trace == "😀"


PLUGIN = """
import time
from kgym.hookspecs import VerifierInfo, hookimpl
kgym_api = 1

class Raises:
    def __init__(self, options): pass
    def verify_many(self, items):
        print("a print of the verifier")
        return [self.idea(item) for item in items]
    def idea(self, item):
        raise ValueError("no idea")

class Nothing(Raises):
    def verify_many(self, items): return None

class Hangs(Raises):
    def verify_many(self, items): time.sleep(60)

@hookimpl
def kgym_components():
    yield VerifierInfo(name="nothing", target=f"{__name__}:Nothing")
    yield VerifierInfo(name="hangs", target=f"{__name__}:Hangs")
    for isolation in ("process", "none"):
        yield VerifierInfo(name=f"raises-{isolation}", target=f"{__name__}:Raises", isolation=isolation)
"""


@pytest.mark.parametrize("isolation", ["process", "none"])
def test_the_author_sees_the_text_and_the_traceback(tmp_path, isolation):
    (tmp_path / "odd_plugin.py").write_text(PLUGIN)
    lines = '{"gold": "1", "response": "1", "id": "p7"}\n{"gold": "1", "response": "1"}\n'

    def verify(*options):
        command = [
            sys.executable,
            "-m",
            "kgym",
            "-p",
            "./odd_plugin.py",
            "verify",
            "-",
            "--verifier",
            f"raises-{isolation}",
            *options,
        ]
        return subprocess.run(
            command, input=lines, capture_output=True, text=True, cwd=tmp_path, timeout=100, check=False
        )

    done = verify()
    assert done.returncode == 0
    assert [json.loads(line)["status"] for line in done.stdout.splitlines()] == ["unscored:error:ValueError"] * 2
    assert done.stderr.count("raised ValueError: no idea (problem ") == 1
    assert "(problem p7)" in done.stderr or "(problem -:2)" in done.stderr, "whichever worker was faster"
    assert "Traceback" not in done.stderr
    assert verify("--debug").stderr.count('raise ValueError("no idea")') == 2


@pytest.mark.parametrize(
    ("verifier", "reason"),
    [("raises-none", "error:ValueError 4"), ("nothing", "bad_verdict 4"), ("hangs", "timeout 4")],
)
def test_a_run_ends_with_the_reasons_if_they_are_frequent(tmp_path, capfd, verifier, reason):
    (tmp_path / "odd_plugin.py").write_text(PLUGIN)
    small = ["rollout.problems_per_step=2", "rollout.group_size=2", "env.max_tokens=8", "env.truncated=score"]
    settings = [*small, f"verifier={verifier}", "verifier.limits.deadline_s=0.2", "verifier.limits.workers=1"]
    command = [
        "-p",
        str(tmp_path / "odd_plugin.py"),
        "train",
        "--env",
        "arithmetic",
        "--steps",
        "1",
        "--eval-every",
        "0",
    ]
    assert main([*command, "--run", str(tmp_path / "run"), "--set", *settings]) == 1
    close_all()
    err = capfd.readouterr().err
    assert f"100% of the completions are unscored, more than rollout.max_unscored_frac=0.1 ({reason})" in err
    stored = pq.read_table(tmp_path / "run" / "episodes" / "step-00001.parquet")["status"].to_pylist()
    assert stored == [f"unscored:{reason.removesuffix(' 4')}"] * 4


def test_the_limits_of_a_verifier_are_keys_that_commands_take(capfd):
    assert (
        main(["eval", "--bench", "arithmetic:validation", "--problems", "1", "--set", "verifier.limits.deadline_s=0"])
        == 2
    )
    assert "verifier.limits.deadline_s=0: must be greater than 0" in capfd.readouterr().err
    assert main(["train", "--set", "verifier.limits.deadlin_s=1"]) == 2
    assert "did you mean 'verifier.limits.deadline_s'?" in capfd.readouterr().err
    spec = EnvSpec("arithmetic", settings={"verifier": "math", "verifier_limits": {"deadline_s": 2.5}})
    assert spec.setup().verifier.limits.deadline_s == 2.5
    assert spec.facts() == EnvSpec("arithmetic", settings={"verifier": "math"}).facts(), "scores stay comparable"
