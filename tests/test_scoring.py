"""How an evaluation plays and what it says meanwhile: slots stay full, little is lost, and one line for every
engine.
"""

import io

import pytest

from kgym.cli import scoring
from kgym.cli.scoring import Progress
from kgym.envs.spec import EnvSpec
from kgym.errors import EngineError
from kgym.score import playing
from kgym.score.harness import Evaluation
from kgym.score.playing import Standing
from kgym.score.store import EvalFolder
from kgym.testing.engines import UniformEngine

VALIDATION = EnvSpec("arithmetic", "validation", {"max_tokens": 12})


class OneByOne(UniformEngine):
    """Ends one completion in each poll, and fails after `n_good`, if that is given."""

    segments_per_poll = 1

    def __init__(self, n_good=None):
        super().__init__(r"\boxed{}0123456789")
        self.n_good = n_good
        self.n_polls = 0
        self.open_then = []

    def poll(self, timeout_s=None):
        self.open_then.append(len(self._open))
        if self.n_polls == self.n_good:
            raise EngineError("it broke")
        self.n_polls += 1
        return super().poll(timeout_s)

    @property
    def usage(self):
        return {"requests": len(self.requests), "failed_429": self.n_polls // 4}


def parts(folder):
    return sorted(path.name for path in (folder.path / "samples").iterdir())


def test_slots_stay_full_until_the_last_answers():
    engine = OneByOne()
    Evaluation(VALIDATION, problems=20, samples=3, slots=16).run(engine)
    assert len(engine.open_then) == 60
    assert max(engine.open_then) == 16
    assert min(engine.open_then[:44]) > 16 - 1 - 16 * playing.FREE_FRAC  # new ones are begun together


def test_an_engine_that_fails_loses_no_answer_that_has_ended(tmp_path):
    folder = EvalFolder(tmp_path / "run")
    evaluation = Evaluation(VALIDATION, problems=20, samples=3, slots=16)
    with folder.opened({}):
        with pytest.raises(EngineError, match="it broke"):
            evaluation.run(OneByOne(n_good=22), store=folder)
        assert len(folder.frame()) == 22
        assert folder.usage() == {"requests": 38, "failed_429": 5}
        assert evaluation.n_missing(folder) == 38
        engine = OneByOne()
        result = evaluation.run(engine, store=folder)
        assert len(engine.requests) == 38  # nothing twice
    assert result == Evaluation(VALIDATION, problems=20, samples=3).run(OneByOne())


@pytest.mark.parametrize(("keep_s", "n_parts"), [(1e9, 4), (0.0, 60)])
def test_answers_are_stored_when_the_slots_have_ended_once_or_after_a_time(tmp_path, monkeypatch, keep_s, n_parts):
    monkeypatch.setattr(playing, "KEEP_S", keep_s)
    folder = EvalFolder(tmp_path / "run")
    with folder.opened({}):
        Evaluation(VALIDATION, problems=20, samples=3, slots=16).run(OneByOne(), store=folder)
    assert len(parts(folder)) == n_parts


def test_a_verifier_that_judges_by_a_model_is_asked_once_about_all_slots(tmp_path):
    evaluation = Evaluation(VALIDATION, problems=20, samples=3, slots=16)
    verifier = evaluation.setup.verifier
    evaluation.setup.verifier = type(
        "Batched", (), {"batched": True, "__getattr__": lambda self, name: getattr(verifier, name)}
    )()
    folder, engine = EvalFolder(tmp_path / "run"), OneByOne()
    with folder.opened({}):
        evaluation.run(engine, store=folder)
    assert len(parts(folder)) == 4  # 16, 16, 16, 12: for any times
    assert engine.open_then == [*range(16, 0, -1)] * 3 + [*range(12, 0, -1)]


def test_an_engine_that_says_nothing_is_waited_for_and_watched():
    class Quiet(UniformEngine):
        """Returns nothing the first times, at once."""

        left = 3

        def poll(self, timeout_s=None):
            if timeout_s is not None and self.left:
                self.left -= 1
                return []
            return super().poll(timeout_s)

    class Lost(UniformEngine):
        def poll(self, timeout_s=None):
            return []

    assert Evaluation(VALIDATION, problems=4).run(Quiet()).n_samples == 4
    with pytest.raises(EngineError, match="it returned no segment for 4 open requests"):
        Evaluation(VALIDATION, problems=4).run(Lost())


# --- the line ---


@pytest.fixture
def clock(monkeypatch):
    """A clock that is set by hand."""
    now = [100.0]
    monkeypatch.setattr(scoring.time, "monotonic", lambda: now[0])
    return now


def test_the_line_has_all_figures(clock):
    out = io.StringIO()
    progress = Progress(out, quiet=False).begun(["scoring"])
    clock[0] += 50
    progress(Standing(1500, 4000, 500, 60000, {"requests": 512, "failed_429": 8, "failed_5xx": 4}))
    assert out.getvalue().splitlines() == [
        "scoring",
        "1500/4000 completions | 10.0/s | 1,200 tokens/s | 4:10 left | 12 failures",
    ]
    clock[0] += 250
    progress(Standing(4000, 4000, 3000, 360000))
    progress.ended()
    assert out.getvalue().splitlines()[2:] == [
        "4000/4000 completions | 10.0/s | 1,200 tokens/s | 0:00 left",
        "played 3000 completions, 360,000 tokens, in 5:00, 1,200 tokens/s",
    ]


def test_away_from_a_terminal_it_comes_each_tenth_and_each_minute(clock):
    out = io.StringIO()
    progress = Progress(out, quiet=False).begun([])
    for done in range(1, 101):  # one completion in ten seconds
        clock[0] += 10
        progress(Standing(done, 100, done, 10 * done))
    seen = [int(line.split("/")[0]) for line in out.getvalue().splitlines()]
    assert {10, 20, 50, 90, 100} <= set(seen)
    assert 16 in seen  # a minute after 10
    assert len(seen) <= 21
    clock[0] += 59
    progress(Standing(100, 200, 1, 10))
    assert len(out.getvalue().splitlines()) == len(seen) + 1


def test_on_a_terminal_one_line_changes(clock):
    class Terminal(io.StringIO):
        def isatty(self):
            return True

    out = Terminal()
    progress = Progress(out, quiet=False).begun([])
    for done in range(1, 101):
        clock[0] += 0.04
        progress(Standing(done, 100, done, done))
    progress.ended()
    shown = out.getvalue().split("\r\033[K")
    assert 30 <= len(shown) <= 37  # no more than ten times in a second
    assert shown[-2].startswith("100/100")
    assert shown[-1].startswith("played 100 completions")


def test_quiet_says_nothing_and_nothing_played_is_not_mentioned(clock):
    for quiet in (True, False):
        out = io.StringIO()
        progress = Progress(out, quiet=quiet)
        progress.ended()
        assert out.getvalue() == ""
    progress = Progress(out, quiet=True).begun(["scoring"])
    progress(Standing(4, 4, 4, 9))
    progress.ended()
    assert out.getvalue() == ""
