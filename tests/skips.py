"""A skipped test is a failure under `--fail-on-skip`, which continuous integration sets: a test that never runs
protects nothing.

`ALLOWED` lists the exceptions. What can be installed (Chromium, the packages of the trackers) is installed there
instead.
"""

from collections.abc import Iterable

ALLOWED = {
    "tests/test_gpu.py::test_float32_on_the_gpu_equals_the_cpu": "needs a CUDA device",
    "tests/test_gpu.py::test_bfloat16_autocast_on_the_gpu_is_near_float32_on_the_cpu": "needs a CUDA device",
    "tests/test_gpu.py::test_masters_on_the_gpu_are_float32": "needs a CUDA device",
    "tests/test_gpu.py::test_small_updates_are_not_lost": "needs a CUDA device",
    "tests/test_gpu.py::test_layouts_and_recomputation_change_no_number": "needs a CUDA device",
    "tests/test_gpu.py::test_engine_and_trainer_agree": "needs a CUDA device",
    "tests/test_gpu.py::test_a_resumed_run_gives_the_numbers_of_one_that_was_not_interrupted": "needs a CUDA device",
    "tests/test_full_disk.py::test_a_training_run_outlives_a_full_disk_wherever_it_strikes": "mounting a file system "
    "needs a privilege",
    "tests/test_full_disk.py::test_an_evaluation_outlives_a_full_disk": "mounting a file system needs a privilege",
    "tests/test_pool_failures.py::test_fewer_processes_than_workers_do_the_work": "becoming another user needs a "
    "privilege",
    "tests/test_pool_failures.py::test_no_thread_can_be_started": "becoming another user needs a privilege",
}
"""Node id of a test, without its parameters: why it may be skipped."""


def unexpected(skipped: Iterable[tuple[str, str]]) -> list[str]:
    """Return a line for each skipped test (node id, reason) that `ALLOWED` does not list."""
    return [f"{nodeid}: {reason}" for nodeid, reason in sorted(set(skipped)) if nodeid.partition("[")[0] not in ALLOWED]


class SkipPolicy:
    """Collects what is skipped, in the process that prints the summary, and fails the session at its end."""

    def __init__(self):
        self.skipped = []

    def _note(self, report):
        if report.skipped and not hasattr(report, "wasxfail"):
            reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
            self.skipped.append((report.nodeid, reason))

    def pytest_runtest_logreport(self, report):
        self._note(report)

    def pytest_collectreport(self, report):
        self._note(report)

    def pytest_sessionfinish(self, session):
        if unexpected(self.skipped) and session.exitstatus == 0:
            session.exitstatus = 1

    def pytest_terminal_summary(self, terminalreporter):
        if lines := unexpected(self.skipped):
            terminalreporter.section("skipped tests that tests/skips.py does not allow", red=True)
            terminalreporter.write_line("\n".join(lines))


def pytest_addoption(parser):
    parser.addoption(
        "--fail-on-skip", action="store_true", help="fail if a test is skipped that tests/skips.py does not allow"
    )


def pytest_configure(config):
    if config.getoption("fail_on_skip") and not hasattr(
        config, "workerinput"
    ):  # workers of xdist report to this process
        config.pluginmanager.register(SkipPolicy(), "skip-policy")
