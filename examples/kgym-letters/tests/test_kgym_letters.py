from kgym.envs.task import Task
from kgym.testing.envs import check_environment

from kgym_letters.env import Letters, LettersOptions


def test_it_keeps_the_contract_of_environments() -> None:
    check_environment("letters", sample=20)


def test_the_gold_answer_is_the_number_of_letters() -> None:
    task: Task = Letters(LettersOptions(difficulty=3))
    problem = task.source("train")[0]
    _, text, _ = problem.question.split("'")
    letter = problem.question.split()[5]
    assert len(text.split()) == 4
    assert problem.gold == str(text.count(letter))
    assert problem.question in task.prompt(problem)[-1].content
