"""`kgym data add`: every layout in which the well-known sets are about, from files of the same shape with our own
problems.
"""

import csv
import json
from dataclasses import dataclass

import gymnasium
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import kgym  # noqa: F401  (registers the environments)
from kgym.cli.main import main
from kgym.data.known import known_sets
from kgym.data.sources import DataSource, data_source


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("KGYM_DATA_DIR", str(tmp_path / "added"))
    return tmp_path / "added"


@pytest.fixture
def add(capsys):
    """Run `kgym data add` and return its status, facts and standard error."""

    def run(*arguments):
        status = main(["data", "add", *map(str, arguments), "--json"])
        out, err = capsys.readouterr()
        return status, json.loads(out) if out else None, err

    return run


def write(path, rows):
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".parquet":
        pq.write_table(pa.Table.from_pylist(rows), path)
    elif path.suffix == ".csv":
        with path.open("w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, rows[0])
            writer.writeheader()
            writer.writerows(rows)
    elif path.suffix == ".jsonl":
        path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    else:
        path.write_text(json.dumps(rows, indent=1), encoding="utf-8")
    return path


def question(n):
    return f"Ada has ${n}$ coins and finds $7$ more. How many coins has she now?"


def answer(n):
    return n + 7


def padded(n):
    return f"{answer(n):03}"


def chat(n):
    asked = f"Solve the problem step by step.\n\n{question(n)}\n\nEnd with a line Answer: $Answer."
    return [{"role": "user", "content": asked}]


def url(year, n):
    return f"https://example.org/wiki/{year}_AIME_I_Problems/Problem_{n}"


NUMBERS = range(1, 31)


@dataclass
class Layout:
    """Rows as some repository has them, and what is to come of them."""

    file: str
    rows: list[dict]
    gold: str
    id: str = ""
    name: str = "aime24"
    left_out: str = ""


LAYOUTS = {
    "HuggingFaceH4/aime_2024": Layout(
        "train-00000-of-00001.parquet",
        [
            {
                "id": n + 59,
                "problem": question(n),
                "solution": "So.",
                "answer": padded(n),
                "url": url(2024, n),
                "year": "2024",
            }
            for n in NUMBERS
        ],
        "010",
        "62",
    ),
    "AI-MO/aimo-validation-aime": Layout(
        "train.parquet",
        [
            {"id": k, "problem": question(k), "solution": "So.", "answer": padded(k), "url": url(year, k)}
            for k, year in enumerate((2022, 2023, 2024) * 30)
        ],
        "012",
        "5",
        left_out="rows of other years, left out: 30 of 2022, 30 of 2023",
    ),
    "Maxwell-Jia/AIME_2024": Layout(
        "aime_2024_problems.parquet",
        [{"ID": f"2024-I-{n}", "Problem": question(n), "Solution": "So.", "Answer": answer(n)} for n in NUMBERS],
        "10",
        "2024-I-3",
    ),
    "math-ai/aime24": Layout(
        "test.jsonl",
        [
            {"id": n, "problem": question(n), "solution": rf"\boxed{{{answer(n)}}}", "url": url(2024, n)}
            for n in NUMBERS
        ],
        "10",
        "3",
    ),
    "frames": Layout(
        "test.jsonl",
        [{"id": n, "problem": question(n), "solution": rf"Seven more: $\framebox{{{answer(n)}}}$."} for n in NUMBERS],
        "10",
        "3",
    ),
    "BytedTsinghua-SIA/AIME-2024": Layout(
        "aime-2024.parquet",
        [
            {
                "data_source": "math_dapo",
                "prompt": chat(n),
                "ability": "MATH",
                "reward_model": {"ground_truth": str(answer(n)), "style": "rule-lighteval/MATH_v2"},
                "extra_info": {"index": 30 * copy + n, "raw_problem": question(n), "split": None},
            }
            for copy in range(32)
            for n in NUMBERS
        ],
        "10",
        left_out="row 31: the question of aime-2024.parquet row 1 again, left out",
    ),
    "zwhe99/aime24": Layout("test.jsonl", [{"problem": question(n), "answer": str(answer(n))} for n in NUMBERS], "10"),
    "simplescaling/aime_figures": Layout(
        "train.parquet",
        [
            {"problem": question(k), "answer": str(answer(k)), "url": url(year, k)}
            for k, year in enumerate((2022, 2023, 2024) * 30)
        ],
        "12",
        left_out="30 of 2022, 30 of 2023",
    ),
    "di-zhang-fdu/AIME_1983_2024": Layout(
        "AIME_Dataset_1983_2024.csv",
        [
            {
                "ID": f"{year}-{part}{n}",
                "Year": year,
                "Problem Number": n,
                "Question": question(k),
                "Answer": answer(k),
                "Part": part[:-1],
            }
            for k, (year, part, n) in enumerate(
                [(1983, "", n) for n in range(1, 16)] + [(2024, p, n) for p in ("I-", "II-") for n in NUMBERS[:15]]
            )
        ],
        "24",
        "2024-I-3",
        left_out="rows of other years, left out: 15 of 1983",
    ),
    "gneubig/aime-1983-2024": Layout(
        "train.jsonl",
        [
            {
                "ID": f"{year}-{n}",
                "Year": year,
                "Problem Number": n,
                "Question": question(k),
                "Answer": str(answer(k)),
                "Part": None,
            }
            for k, (year, n) in enumerate([(year, n) for year in (1999, 2024) for n in NUMBERS])
        ],
        "40",
        "2024-4",
        left_out="rows of other years, left out: 30 of 1999",
    ),
    "hendrydong/aime24": Layout(
        "test.jsonl",
        [
            {"problem": question(n), "solution": rf"\fbox{{0}} or rather $\fbox{{{answer(n)}}}$", "url": url(2024, n)}
            for n in NUMBERS
        ],
        "10",
    ),
    "MathArena/aime_2025": Layout(
        "train.parquet",
        [{"problem_idx": n, "problem": question(n), "answer": answer(n), "problem_type": ["Algebra"]} for n in NUMBERS],
        "10",
        "3",
        name="aime25",
    ),
    "MathArena/aime_2026": Layout(
        "train.parquet",
        [{"problem_idx": n, "answer": answer(n), "problem": question(n)} for n in NUMBERS],
        "10",
        "3",
        name="aime26",
    ),
    "MathArena/hmmt_feb_2025": Layout(
        "train-00000-of-00001.parquet",
        [
            {
                "problem_idx": n,
                "answer": rf"\frac{{{answer(n)}}}{{7}}",
                "problem": question(n),
                "problem_type": ["Algebra"],
            }
            for n in NUMBERS
        ],
        r"\frac{10}{7}",
        "3",
        name="hmmt_feb25",
    ),
    "math-ai/aime25": Layout(
        "test.jsonl",
        [{"problem": question(n), "answer": str(answer(n)), "id": str(n - 1)} for n in NUMBERS],
        "10",
        "2",
        name="aime25",
    ),
    "yentinglin/aime_2025": Layout(
        "train.parquet",
        [{"problem": question(n), "answer": str(answer(n)), "year": "2025"} for n in NUMBERS],
        "10",
        name="aime25",
    ),
    "opencompass/AIME2025": Layout(
        "aime2025.jsonl",
        [{"question": question(n), "answer": rf"{answer(n)}^\circ"} for n in NUMBERS],
        "10",
        name="aime25",
    ),
    "TIGER-Lab/AIME25": Layout(
        "train.csv",
        [
            {
                "ID": f"2025-I-{n}",
                "Year": 2025,
                "Problem Number": n,
                "question": question(n),
                "answer": f"${answer(n)}$",
                "Part": "I",
            }
            for n in NUMBERS
        ],
        "10",
        "2025-I-3",
        name="aime25",
    ),
    "minyichen/AIME2025": Layout(
        "train.jsonl",
        [{"question": question(n), "answer": str(answer(n)), "index": n, "extra": {"why": "not"}} for n in NUMBERS],
        "10",
        "3",
        name="aime25",
    ),
    "ming9999/AIME2025": Layout(
        "train.csv",
        [
            {"Year": 2025, "Problem Number": n, "problem": question(n), "target": f" {answer(n)} ", "Part": "I"}
            for n in NUMBERS
        ],
        "10",
        "3",
        name="aime25",
    ),
    "MultiturnRL/AIME25": Layout(
        "test.parquet",
        [{"prompt": chat(n), "reward_model": {"ground_truth": str(answer(n))}} for n in NUMBERS],
        "10",
        name="aime25",
    ),
    "verl": Layout(
        "test.parquet",
        [{"data_source": "own", "prompt": chat(n), "reward_model": {"ground_truth": str(answer(n))}} for n in NUMBERS],
        "10",
        name="aime25",
    ),
    "evalchemy": Layout(
        "aime24.json",
        [
            {
                "id": n,
                "problem": question(n),
                "reference_solution": "So.",
                "expected_answer": str(answer(n)),
                "source": "own",
            }
            for n in NUMBERS
        ],
        "10",
        "3",
    ),
    "HuggingFaceH4/MATH-500": Layout(
        "test.jsonl",
        [
            {
                "problem": question(n),
                "solution": "So.",
                "answer": rf"\left( {n}, \frac{{\pi}}{{{answer(n)}}} \right)",
                "subject": "Precalculus",
                "level": 1 + n % 5,
                "unique_id": f"test/precalculus/{n}.json",
            }
            for n in range(1, 501)
        ],
        r"\left( 3, \frac{\pi}{10} \right)",
        "test/precalculus/3.json",
        name="math500",
    ),
    "PRM800K": Layout(
        "test.jsonl",
        [
            {
                "problem": question(n),
                "solution": r"Hence $x=\boxed{0}$.",
                "answer": f"x={answer(n)}",
                "subject": "Precalculus",
                "level": 1 + n % 5,
                "unique_id": f"test/precalculus/{n}.json",
            }
            for n in range(1, 501)
        ],
        "x=10",
        "test/precalculus/3.json",
        name="math500",
    ),
    "hendrycks_math": Layout(
        "test-00000-of-00001.parquet",
        [
            {
                "problem": question(n),
                "level": "Level 4",
                "type": "Precalculus",
                "solution": rf"It is $\boxed{{\frac{{{n}}}{{{answer(n)}}}}}$.",
            }
            for n in range(1, 501)
        ],
        r"\frac{3}{10}",
        name="math500",
    ),
    "zwhe99/MATH": Layout(
        "math500.jsonl",
        [
            {
                "problem": question(n),
                "level": 4,
                "type": "Precalculus",
                "solution": "So.",
                "id": f"p{n}",
                "expected_answer": f"{answer(n)}_8",
            }
            for n in range(1, 501)
        ],
        "10_8",
        "p3",
        name="math500",
    ),
    "simple-evals": Layout(
        "math_500_test.csv",
        [{"Question": question(n), "Answer": rf"\text{{Ada {answer(n)}}}"} for n in range(1, 501)],
        r"\text{Ada 10}",
        name="math500",
    ),
    "openai/gsm8k": Layout(
        "test-00000-of-00001.parquet",
        [
            {"question": question(n), "answer": f"She has {n}+7=<<{n}+7={answer(n)}>>{answer(n)}.\n#### {answer(n):,}"}
            for n in range(1, 1320)
        ],
        "10",
        name="gsm8k",
    ),
}
EXPECTED = {"aime24": 30, "aime25": 30, "aime26": 30, "hmmt_feb25": 30, "hmmt_nov25": 30, "math500": 500, "gsm8k": 1319}


@pytest.mark.parametrize("layout", LAYOUTS.values(), ids=LAYOUTS.keys())
def test_layout(layout, add, tmp_path, folder):
    file = write(tmp_path / layout.file, layout.rows)
    status, facts, err = add(layout.name, file)
    assert (status, facts["problems"]) == (0, EXPECTED[layout.name])
    assert "warning" not in err
    assert layout.left_out in "\n".join(facts["left_out"])
    assert bool(facts["left_out"]) == bool(layout.left_out)
    problems = DataSource(folder / f"{layout.name}.parquet").problems
    third = next(problem for problem in problems if problem.gold == layout.gold)
    n = int(third.question.split("$")[1])
    assert third.question == (
        chat(n)[0]["content"] if "prompt" in layout.rows[0] and "extra_info" not in layout.rows[0] else question(n)
    )
    assert len({problem.id for problem in problems}) == len(problems)
    assert third.id == f"{layout.name}/{layout.id}" or (not layout.id and len(third.id) == len(layout.name) + 17)
    if layout.name == "math500" and layout.file != "math_500_test.csv":
        assert (third.subject, third.level) == ("Precalculus", 4)
    if layout.name == "gsm8k":
        assert third.solution.startswith("She has 3+7=")
    assert data_source(layout.name).fingerprint == facts["sha256"]


def test_json_lines_called_json(add, tmp_path):
    rows = LAYOUTS["evalchemy"].rows
    file = tmp_path / "aime24.json"
    file.write_text("\n".join(map(json.dumps, rows)))
    assert add("aime24", file)[1]["problems"] == 30


def half(first):
    return [
        {"problem_idx": n - first + 1, "problem": question(n), "answer": answer(n)} for n in range(first, first + 15)
    ]


def test_two_halves_of_an_examination_are_joined(add, tmp_path):
    halves = [write(tmp_path / f"aime_2024_{name}.parquet", half(first)) for name, first in (("I", 1), ("II", 16))]
    status, facts, err = add("aime24", *halves)
    assert (status, facts["problems"], facts["left_out"], err) == (0, 30, [], "")
    assert [problem.question for problem in data_source("aime24").problems] == [question(n) for n in NUMBERS]


@pytest.mark.parametrize(
    ("name", "layout"),
    [
        ("aime24", "evalchemy"),
        ("aime25", "math-ai/aime25"),
        ("aime26", "MathArena/aime_2026"),
        ("math500", "PRM800K"),
        ("gsm8k", "openai/gsm8k"),
    ],
)
def test_a_part_of_a_set_is_warned_of(add, tmp_path, name, layout):
    status, facts, err = add(name, write(tmp_path / "half.jsonl", LAYOUTS[layout].rows[:15]))
    assert (status, facts["problems"]) == (0, 15)
    assert f"warning: {name} has {EXPECTED[name]} problems, and these are 15" in err
    assert {info.name: info.problems for info in known_sets().values()} == EXPECTED


def test_seven_configurations_are_joined(add, tmp_path):
    """As EleutherAI/hendrycks_math has them: a folder for each subject, a file for each split."""
    subjects = (
        "algebra",
        "counting_and_probability",
        "geometry",
        "intermediate_algebra",
        "number_theory",
        "prealgebra",
        "precalculus",
    )
    for k, subject in enumerate(subjects):
        for split, n in (("train", 3), ("test", 2)):
            rows = [
                {
                    "problem": question(100 * k + i + n),
                    "level": f"Level {1 + i}",
                    "type": subject,
                    "solution": rf"$\boxed{{{i}}}$",
                }
                for i in range(n)
            ]
            write(tmp_path / "math" / subject / f"{split}-00000-of-00001.parquet", rows)
    assert add("own", tmp_path / "math")[1]["problems"] == 14
    assert {(problem.subject, problem.level) for problem in data_source("own").problems} == {
        (s, level) for s in subjects for level in (1, 2)
    }
    assert (
        add("own-train", tmp_path / "math", "--split", "train", "--config", "geometry", "--config", "algebra")[1][
            "problems"
        ]
        == 6
    )


@pytest.mark.parametrize(
    ("gold", "answer"),
    [
        (r"\left( 3, \frac{\pi}{2} \right)", r"(3, \pi/2)"),
        (r"\text{Evelyn}", "Evelyn"),
        (r"90^\circ", "90"),
        ("52_8", "52_8"),
        ("x=5", "5"),
        ("1,-2", "-2, 1"),
        (r"\frac{14}{3}", r"\dfrac{28}{6}"),
        (r"p - q", "-q+p"),
        (r"10,\!080", "10080"),
    ],
)
def test_an_answer_as_math500_has_it_is_kept_and_judged(add, tmp_path, gold, answer):
    row = {
        "problem": question(1),
        "solution": "So.",
        "answer": gold,
        "subject": "Algebra",
        "level": 2,
        "unique_id": "test/algebra/1.json",
    }
    add("math500", write(tmp_path / "test.jsonl", [row]))
    assert data_source("math500")[0].gold == gold
    env = gymnasium.make("kgym/math500-v0", split="test")
    for text, reward in ((gold, 1.0), (answer, 1.0), ("17", 0.0)):
        env.reset(options={"index": 0})
        assert env.step(rf"\boxed{{{text}}}")[1] == reward, text


def test_leading_zeros_are_kept_and_mean_nothing(add, tmp_path):
    add("aime24", write(tmp_path / "x.parquet", LAYOUTS["HuggingFaceH4/aime_2024"].rows))
    env = gymnasium.make("kgym/aime-v1", split="2024")
    for text, reward in (("010", 1.0), ("10", 1.0), ("11", 0.0)):
        env.reset(options={"index": 2})
        assert env.step(rf"\boxed{{{text}}}")[1] == reward
    assert data_source("aime24")[2].gold == "010"


@pytest.mark.parametrize("gold", ["1000", "-3", r"\frac{1}{2}", "12 or 13", "12.5"])
def test_answers_that_the_examination_cannot_have_are_refused(add, tmp_path, folder, gold):
    rows = [*LAYOUTS["math-ai/aime25"].rows[:29], {"problem": "Q", "answer": gold}]
    status, _, err = add("aime25", write(tmp_path / "x.jsonl", rows))
    assert status == 2
    assert "x.jsonl line 30" in err
    assert "is not an integer from 0 to 999" in err
    assert not folder.exists()


def test_only_other_years_are_no_rows(add, tmp_path):
    status, _, err = add("aime26", write(tmp_path / "x.jsonl", LAYOUTS["HuggingFaceH4/aime_2024"].rows))
    assert status == 2
    assert "no rows of 2026" in err


def test_many_notes_are_a_few_lines_and_all_in_json(add, tmp_path):
    _, facts, err = add("aime24", write(tmp_path / "dapo.parquet", LAYOUTS["BytedTsinghua-SIA/AIME-2024"].rows))
    assert len(facts["left_out"]) == 930
    assert len(err.splitlines()) == 4
    assert "and 927 more" in err


def test_a_conflict_is_refused_and_a_leading_zero_is_none(add, tmp_path):
    rows = LAYOUTS["MathArena/aime_2025"].rows
    again = {"problem_idx": 31, "problem": question(1), "answer": f"{answer(1):03}"}
    assert add("aime25", write(tmp_path / "x.jsonl", [*rows, again]))[1]["problems"] == 30
    status, _, err = add("aime25", write(tmp_path / "x.jsonl", [*rows, again | {"answer": 9}]))
    assert status == 2
    assert "with another answer, '9' instead of '8'" in err
