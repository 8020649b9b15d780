"""`kgym runs compare`: groups over seeds, keys that differ, paired differences, curves with bands."""

import json
import math

import pytest

from kgym.cli.main import main
from kgym.experiments.comparison import compare, facts_of
from kgym.experiments.comparison_page import described, draw_metric, metrics_of, page_of
from kgym.page.document import render
from kgym.page.picture import draw_band, drawing, new_figure
from kgym.score.comparability import comparability_hash
from kgym.score.results import EvalResult

FACTS = {
    "env_id": "kgym/arithmetic-v0",
    "split": "validation",
    "temperature": 1.0,
    "top_p": 1.0,
    "top_k": 0,
    "max_tokens": 24,
}
FACTS |= {"truncated": "zero", "verifier": "integer", "data_sha256": "0"}


def result(scores, **facts):
    """An evaluation of one completion of each problem."""
    facts = FACTS | facts
    n = len(scores)
    return EvalResult(
        accuracy=math.fsum(scores) / n,
        stderr=0.1,
        n_problems=n,
        n_scored_problems=n,
        samples=1,
        n_samples=n,
        truncated_frac=0.0,
        unscored_frac=0.0,
        no_answer_frac=0.0,
        tokens_mean=5.0,
        pass_at_k={"1": math.fsum(scores) / n},
        by_level={},
        by_subject={},
        scores={f"p/{number}": float(score) for number, score in enumerate(scores)},
        facts=facts,
        comparability=comparability_hash(facts),
    )


def training(folder, *, lr, seed, scores=None, rewards=(0.0, 0.5, 1.0), bench=None, **facts):
    """The folder of a training with a step for each reward, whose last validation has these scores."""
    folder.mkdir(parents=True)
    config = {"model": "nano", "seed": seed, "algo": {"name": "grpo", "options": {"clip": 0.2}}, "envs": {}}
    config |= {
        "rollout": {"problems_per_step": 2, "group_size": 2},
        "train": {"steps": 3, "lr": lr, "max_grad_norm": 1.0},
    }
    (folder / "manifest.json").write_text(json.dumps({"config": config, "specs": {}}))
    lines = [
        {"step": step, "reward/mean": reward, "eval/accuracy": reward / 2} for step, reward in enumerate(rewards, 1)
    ]
    (folder / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    for place, found in (("eval", scores), ("eval/sums", bench)):
        if found is not None:
            (folder / place).mkdir(parents=True, exist_ok=True)
            (folder / place / "step-00001.json").write_text(json.dumps(result([0] * len(found), **facts).to_json()))
            (folder / place / "step-00003.json").write_text(json.dumps(result(found, **facts).to_json()))
    return folder


@pytest.fixture
def four(tmp_path):
    """Two learning rates, two seeds, four problems: 25 and 50 %, then 75 and 100 %."""
    return [
        training(tmp_path / "low-0", lr=0.1, seed=0, scores=[1, 0, 0, 0]),
        training(tmp_path / "low-1", lr=0.1, seed=1, scores=[1, 1, 0, 0], rewards=(0.2, 0.7, 1.2)),
        training(tmp_path / "high-0", lr=0.3, seed=0, scores=[1, 1, 1, 0]),
        training(tmp_path / "high-1", lr=0.3, seed=1, scores=[1, 1, 1, 1]),
    ]


def test_runs_that_differ_by_the_seed_are_one_group(four):
    found = compare(four)
    assert [(group.name, group.seeds) for group in found.groups] == [("lr=0.1", [0, 1]), ("lr=0.3", [0, 1])]
    assert found.keys == ("train.lr",)


def test_a_difference_is_paired_by_problem_and_by_seed(four):
    (each,) = compare(four).differences
    assert (each.label, each.of, each.than) == ("validation", "lr=0.3", "lr=0.1")
    # means over seeds: 1, 1/2, 0, 0 and 1, 1, 1, 1/2; their differences 0, 1/2, 1, 1/2
    assert each.over_problems.difference == pytest.approx(0.5)
    assert (each.over_problems.n, each.over_problems.name) == (4, "t")
    # t(3) = 3.182, times the deviation sqrt(1/6), over sqrt(4)
    assert each.over_problems.interval == pytest.approx((0.5 - 0.6496, 0.5 + 0.6496), abs=1e-3)
    assert each.by_seed == pytest.approx((50, 50))
    assert each.over_seeds == (-math.inf, math.inf), "equal seeds have no spread to estimate an error from"


def test_runs_with_one_seed_count_together_as_much_as_one_run(tmp_path, four):
    """A setting that ran twice with a seed, as on a GPU, where the two differ: no run is left out."""
    again = training(tmp_path / "low-0-again", lr=0.1, seed=0, scores=[1, 1, 1, 0])
    found = compare([*four, again])
    low = found.groups[0]
    assert low.seeds == [0, 0, 1]
    assert low.accuracies("validation") == pytest.approx({0: 50.0, 1: 50.0})  # of 25 and 75, and of 50
    (each,) = found.differences
    # means over seeds: of (1, 1/2, 1/2, 0) and (1, 1, 0, 0), and 1, 1, 1, 1/2
    assert each.over_problems.difference == pytest.approx(0.875 - 0.5)
    assert each.by_seed == pytest.approx((25, 50))
    assert sum(each.by_seed) / 2 == pytest.approx(100 * each.over_problems.difference)


def test_scores_of_unlike_problems_are_not_compared(tmp_path):
    one = training(tmp_path / "one", lr=0.1, seed=0, scores=[1, 0])
    other = training(tmp_path / "other", lr=0.3, seed=0, scores=[1, 1], max_tokens=99)
    (each,) = compare([one, other]).differences
    assert each.over_problems is None
    assert each.why_not == "they measure different things: max_tokens is 24 in one and 99 in the other"
    assert described(each)[3].startswith("not compared: they measure different things")


def test_each_set_of_problems_has_its_difference(tmp_path):
    one = training(tmp_path / "one", lr=0.1, seed=0, scores=[1, 0], bench=[0, 0, 1])
    other = training(tmp_path / "other", lr=0.3, seed=7, scores=[1, 1])
    found = {each.label: each for each in compare([one, other]).differences}
    assert found["validation"].over_problems.difference == 0.5
    assert found["validation"].by_seed == (), "no seed is in both"
    assert found["sums"].why_not == "it has no such score yet"


def test_evaluations_are_compared_too(tmp_path):
    for name, model, seed, scores in (("a", "nano", 0, [1, 0]), ("b", "nano", 1, [0, 0]), ("c", "mine", 0, [1, 1])):
        folder = tmp_path / name
        folder.mkdir()
        request = {"model": model, "env_id": "x", "split": "s", "truncated": "zero", "seed": seed}
        spec = {"name": "x", "split": "s", "settings": {}}
        (folder / "manifest.json").write_text(
            json.dumps({"kind": "eval", "benchmark": "sums", "request": request, "spec": spec})
        )
        about = {
            "date": "2026-01-01",
            "model": model,
            "benchmark": "sums",
            "engine": "e",
            "kgym_version": "0",
            "seed": seed,
        }
        about |= {"run": str(folder), "note": ""}
        (folder / "results.json").write_text(json.dumps(result(scores).to_json() | about))
    found = compare([tmp_path / name for name in "abc"])
    assert [(group.name, group.seeds) for group in found.groups] == [("model=nano", [0, 1]), ("model=mine", [0])]
    (each,) = found.differences
    assert each.over_problems.difference == pytest.approx(0.75)  # 1/2 and 0 over seeds, then 1 and 1
    assert each.by_seed == pytest.approx((50,))


def test_the_folder_of_a_sweep_stands_for_its_runs(tmp_path):
    for seed in range(3):
        training(tmp_path / "sweep" / "runs" / f"x-{seed}", lr=0.1, seed=seed, scores=[1, 0])
    found = compare([tmp_path / "sweep"])
    assert [group.seeds for group in found.groups] == [[0, 1, 2]]
    assert (found.keys, found.differences) == ((), ())


def test_groups_that_differ_in_much_are_named_by_their_folders(tmp_path):
    folders = []
    for number in range(2):
        folders.append(training(tmp_path / f"run-{number}", lr=0.1 + number, seed=0))
        manifest = json.loads((folders[-1] / "manifest.json").read_text())
        manifest["config"]["algo"]["options"] = {"a": number, "b": number, "c": number}
        (folders[-1] / "manifest.json").write_text(json.dumps(manifest))
    assert [group.name for group in compare(folders).groups] == ["run-0", "run-1"]


def test_a_long_list_of_keys_is_at_the_end_of_the_page(tmp_path):
    for number in range(2):
        folder = training(tmp_path / f"run-{number}", lr=0.1, seed=0, scores=[1, 0])
        manifest = json.loads((folder / "manifest.json").read_text())
        manifest["config"]["algo"]["options"] = {f"key{place}": number for place in range(13)}
        (folder / "manifest.json").write_text(json.dumps(manifest))
    page = page_of(compare([tmp_path / "run-0", tmp_path / "run-1"]))
    assert [table.title for table in page.tables] == ["Scores", "Differences"]
    assert [(table.title, len(table.rows)) for table in page.appendix] == [("Keys that differ", 13)]


@pytest.mark.parametrize(
    ("names", "said"), [(["low-0"], "is one run"), (["low-0", "nothing"], "is not a run folder or a sweep")]
)
def test_what_cannot_be_compared_is_refused_in_one_line(four, tmp_path, capsys, names, said):
    assert main(["runs", "compare", *(str(tmp_path / name) for name in names)]) == 2
    printed = capsys.readouterr().err
    assert said in printed
    assert printed.count("\n") == 1


def test_a_band_is_from_the_lowest_run_to_the_highest():
    with drawing():
        axes = new_figure().subplots()
        draw_band(axes, [[1, 2], [1, 2]], [[0.0, 4.0], [2.0, 2.0]], "x")
    assert axes.lines[0].get_xydata().tolist() == [[1, 1], [2, 3]]
    (band,) = axes.collections
    corners = band.get_paths()[0].vertices
    assert {tuple(corner) for corner in corners.tolist()} == {(1, 0), (1, 2), (2, 2), (2, 4)}


def test_curves_have_the_mean_over_seeds_where_all_have_been(four):
    (four[1] / "metrics.jsonl").write_text(
        '{"step": 1, "reward/mean": 0.2}\n{"step": 2, "reward/mean": 0.7}\n'
    )  # still goes on
    found = compare(four)
    assert metrics_of(found) == ["eval/accuracy", "reward/mean"]
    with drawing():
        axes = new_figure().subplots()
        assert draw_metric(axes, found.groups, "reward/mean") == ["lr=0.1: 0.6 at step 2", "lr=0.3: 1 at step 3"]
        assert axes.lines[0].get_ydata().tolist() == pytest.approx([0.1, 0.6])
        draw_metric(shares := new_figure().subplots(), found.groups, "eval/accuracy")
    assert shares.lines[1].get_ydata().tolist() == pytest.approx([0, 25, 50]), "in percent"


def test_the_command_prints_and_writes_all_of_it(four, tmp_path, capsys):
    words = ["runs", "compare", *map(str, four), "--plot", str(tmp_path / "c.png"), "-o", str(tmp_path / "c.html")]
    assert main(words) == 0
    said = capsys.readouterr().out
    assert [line.split() for line in said.splitlines() if line.startswith("lr=0.3") and "87.5" in line] == [
        ["lr=0.3", "validation", "2", "87.5", "17.7"]
    ]
    assert ["train.lr", "0.1", "0.3"] in [line.split() for line in said.splitlines()]
    assert "+50.0" in said
    assert (tmp_path / "c.png").read_bytes().startswith(b"\x89PNG")
    page = (tmp_path / "c.html").read_text()
    assert page == render(page_of(compare(four)))
    assert page.count("data:image/svg+xml") == 2
    assert main([*words, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["keys"] == ["train.lr"]
    assert found["groups"][1]["settings"] == {"train.lr": 0.3}
    assert found["groups"][1]["accuracy_points"]["validation"]["by_seed"] == {"0": 75, "1": 100}
    assert found["differences"][0]["over_problems"]["difference"] == pytest.approx(50)
    assert found["differences"][0]["over_seeds"]["interval"] == [None, None]
    assert facts_of(compare(four))["differences"][0]["than"] == "lr=0.1"


def test_an_evaluation_alone_has_no_curves(four, tmp_path, capsys):
    for folder in four:
        (folder / "metrics.jsonl").unlink()
    assert main(["runs", "compare", *map(str, four), "--plot", str(tmp_path / "c.png")]) == 2
    assert "none of the runs has metrics" in capsys.readouterr().err
