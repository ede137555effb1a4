"""What is said of jobs to whom the same happens at once: of a few a line each, of many one line."""

import pytest
from snakemake_logger_plugin_htcondor.jobs import Job
from snakemake_logger_plugin_htcondor.lines import SINGLY, Line, in_words


def line(cluster, text, rule="predict", level="error", hosts=("ep1",), **more):
    return Line(level, Job(cluster, str(cluster), rule, hosts=list(hosts)), text, **more)


def test_a_few_are_each_said_and_one_more_makes_them_one_line():
    lines = [line(number, "is released: by hand") for number in range(SINGLY + 1)]
    assert list(in_words(lines[:-1])) == [("error", f"predict (job {n}.0) is released: by hand") for n in range(SINGLY)]
    ((_, words),) = in_words(lines)
    assert words == "4 jobs of predict (0, 1, 2 and 1 more), alike: predict (job 0.0) is released: by hand"


@pytest.mark.parametrize(
    "text",
    [
        lambda n: f"is held on ep{n}. It used {300 + n} MB",
        lambda n: f"is held on ep{n}. results/{n}/a.out is not there",
        lambda n: f"is held on ep{n}. Error from slot1_{n}@ep{n}: no more",
    ],
    ids=["figures", "paths", "slots"],
)
def test_figures_paths_and_hosts_make_no_difference_and_all_hosts_are_named(text):
    ((_, words),) = in_words(line(n, text(n), hosts=[f"ep{n}"], host=f"ep{n}") for n in range(1, 6))
    assert words.startswith(
        "5 jobs of predict on ep1, ep2, ep3 and 2 more (1, 2, 3 and 2 more), alike: predict (job 1.0) "
    )


def test_hosts_without_a_number_make_no_difference_either():
    lines = [line(n, f"was evicted from {host}", hosts=[host], host=host) for n, host in enumerate(["ape", "bee"] * 3)]
    assert [words.partition(" (")[0] for _, words in in_words(lines)] == ["6 jobs of predict on ape and bee"]


@pytest.mark.parametrize("other", [{"rule": "train"}, {"level": "warning"}, {"text": "was removed"}, {"kind": "26"}])
def test_what_differs_is_not_said_to_be_alike(other):
    lines = [line(n, **({"text": "is held"} | (other if n % 2 else {}))) for n in range(10)]
    assert [words.partition(" ")[0] for _, words in in_words(lines)] == ["5", "5"]


def test_the_order_is_that_of_the_first_of_each_kind():
    lines = [line(1, "was evicted"), line(2, "starts again"), line(3, "was evicted")]
    assert [words.partition(" (")[2] for _, words in in_words(lines)] == [
        "job 1.0) was evicted",
        "job 3.0) was evicted",
        "job 2.0) starts again",
    ]


def test_what_takes_time_to_learn_is_learnt_for_what_is_shown_alone():
    asked = []
    ((_, words),) = in_words(
        line(n, "was evicted", more=lambda n=n: asked.append(n) or ". ep1 runs jobs of a") for n in range(9)
    )
    assert words.endswith("(job 0.0) was evicted. ep1 runs jobs of a")
    assert asked == [0]
