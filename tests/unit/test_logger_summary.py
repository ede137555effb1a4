"""After the run: the table, the advice, and when a rule's own work began."""

import time
from datetime import UTC, datetime, timedelta, timezone

import pytest
from rich.cells import cell_len
from snakemake_logger_plugin_htcondor import summary
from snakemake_logger_plugin_htcondor.jobs import Job, Run, State

START = 1795593700.0  # 08:01:40 UTC


def run_of(*jobs, began=START):
    planned = {job.rule: 1 for job in jobs}
    return Run(began=began, planned=planned, jobs={number: job for number, job in enumerate(jobs, start=1)})


def job(rule="train", jobid="1", state=State.DONE, wait=4.0, run=60.0, worked=1.5, host="ep1.pool", attempt=1, **more):
    """Return a job; `memory` is what it used and asked for."""
    used, asked = more.pop("memory", (None, None))
    disk, asked_disk = more.pop("disk", (None, None))
    started = START + wait if wait is not None else None
    return Job(
        cluster=0,
        jobid=jobid,
        rule=rule,
        attempt=attempt,
        state=state,
        submitted=START,
        started=started,
        worked=started + worked if started and worked is not None else None,
        ended=started + run if started and run is not None else None,
        hosts=[host] if host else [],
        used={name: value for name, value in (("memory_mb", used), ("disk_mb", disk)) if value is not None},
        requested={name: value for name, value in (("memory_mb", asked), ("disk_mb", asked_disk)) if value is not None},
        **more,
    )


def rows(text):
    """Return the cells of each line below the head."""
    head, _, *lines = text.splitlines()
    names = [name.strip() for name in head.split("  ") if name.strip()]
    cells = [[cell.strip() for cell in line.split("  ") if cell.strip()] for line in lines]
    return [dict(zip(names, row, strict=True)) for row in cells]


# --- the table ---


def test_a_row_has_the_medians_the_longest_and_the_memory_against_its_request():
    found = rows(
        summary.table(
            run_of(
                job(jobid="1", wait=4, run=60, memory=(300, 2000)),
                job(jobid="2", wait=8, run=80, memory=(500, 2000), host="ep2.pool"),
                job(jobid="3", wait=30, run=600, memory=(400, 4000), host="ep10.pool"),
            )
        )
    )
    assert found == [
        {
            "rule": "train",
            "jobs": "3",
            "queue": "8.0 s / 30 s",
            "start-up": "1.5 s",
            "work": "78 s / 10 min",
            "memory, MB": "500 of 2,000",
            "used": "25 %",
            "hosts": "ep1, ep2, ep10",
            "retried": "-",
        }
    ]


def test_unknown_figures_are_dashes():
    (found,) = rows(summary.table(run_of(job(wait=None, host="", state=State.FAILED))))
    assert found == {
        "rule": "train",
        "jobs": "1, 1 failed",
        **dict.fromkeys(("queue", "start-up", "work", "memory, MB", "used", "hosts", "retried"), "-"),
    }
    (found,) = rows(summary.table(run_of(job(worked=None, run=9, memory=(None, 500)))))
    assert found["start-up"] == "-"
    assert found["work"] == "9.0 s", "with the start-up, as that isn't known"
    assert (found["memory, MB"], found["used"]) == ("? of 500", "-")
    (found,) = rows(summary.table(run_of(job(memory=(70, None)))))
    assert (found["memory, MB"], found["used"]) == ("70", "-")


def test_attempts_of_a_job_are_one_job_by_its_last():
    (found,) = rows(
        summary.table(
            run_of(
                job(jobid="1", state=State.FAILED, run=10),
                job(jobid="1", attempt=2, run=40),
                job(jobid="2", state=State.FAILED),
                job(jobid="3"),
            )
        )
    )
    assert found["jobs"] == "3, 1 failed"
    assert found["retried"] == "1"


def test_rows_are_in_the_order_of_the_plan_and_only_of_rules_that_ran_there():
    run = run_of(job(rule="b"), job(rule="a"), job(rule="group"))
    run.planned = {"all": 1, "a": 1, "b": 1}
    assert [row["rule"] for row in rows(summary.table(run))] == ["a", "b", "group"]
    assert summary.table(Run(began=START)) == "No job ran in HTCondor."


@pytest.mark.parametrize("width", [200, 120, 80, 40, 20])
def test_no_line_is_wider_than_it_may_be_and_none_is_cut_where_columns_can_go(width):
    run = run_of(
        *(job(rule=rule, wait=n * 40.5, memory=(n * 1000, 65_536), host=f"{'node' * 9}{n}") for n, rule in
          enumerate(["all", "模型" * 30, "train_" * 20, "é" * 30], start=1)),
    )  # fmt: skip
    text = summary.table(run, width)
    assert max(cell_len(line) for line in text.splitlines()) <= width
    assert len(text.splitlines()) == 6
    if width >= 80:
        assert "memory, MB" in text
        assert "4,000 of 65,536" in text


def test_the_table_is_plain_text_and_takes_nothing_for_markup():
    text = summary.table(run_of(job(rule="[red]x[/red]"), job(rule="[/]")))
    assert "[red]x[/red]" in text
    assert "\x1b" not in text
    assert not any(line.endswith(" ") for line in text.splitlines())


# --- advice ---


def test_much_less_used_than_asked_for():
    jobs = [job(rule="train_lr", jobid=str(n), memory=(300 + n, 2000)) for n in range(4)]
    assert summary.advice(run_of(*jobs)) == [
        "train_lr: 4 jobs used at most 303 of 2,000 MB of memory; mem_mb=400 "
        "(request_memory with executor htcondor) would do."
    ]
    assert summary.advice(run_of(job(memory=(100, 2000), disk=(50, 40_960)))) == [
        "train: 1 job used at most 100 of 2,000 MB of memory; mem_mb=200 "
        "(request_memory with executor htcondor) would do.",
    ], "a job's disk is its scratch folder, which jobs on a shared folder hardly use"
    mixed = run_of(job(jobid="1", memory=(300, 2000)), job(jobid="2", memory=(300, 4000)))
    assert "of 2,000 to 4,000 MB" in summary.advice(mixed)[0]


@pytest.mark.parametrize(
    "jobs",
    [
        [],
        [job()],  # nothing is known
        [job(memory=(300, None))],
        [job(memory=(None, 9000))],
        [job(memory=(0, 9000))],  # it was too short to be measured
        [job(memory=(300, 9000), state=State.RUNNING, run=None)],
        [job(memory=(300, 800))],  # not twice as much as needed: 400
        [job(memory=(60, 500))],  # 400 MB are not worth it
        [job(memory=(300, 9000), jobid="1"), job(jobid="2", state=State.FAILED, memory=(8000, 9000))],
        [job(memory=(10, 100), disk=(10, 9000))],
    ],
)
def test_no_advice_without_ground(jobs):
    assert summary.advice(run_of(*jobs)) == []


def test_close_to_the_request():
    tight = job(wildcards={"fold": "2"}, memory=(1850, 2000))
    assert summary.advice(run_of(tight)) == [
        "train, fold=2: used 1,850 of the 2,000 MB of memory it asked for; raise it, such as to "
        "mem_mb=2400 (request_memory with executor htcondor)."
    ]
    assert summary.advice(run_of(job(memory=(1790, 2000)))) == []


def test_what_a_retry_needed_would_have_done_at_once():
    jobs = [
        job(jobid="1", state=State.FAILED, memory=(None, 1000)),
        job(jobid="1", attempt=2, memory=(1400, 2000)),
        job(jobid="2", memory=(200, 1000)),
    ]
    assert summary.advice(run_of(*jobs)) == [
        "train: 1 job had to be retried, since 1,000 MB of memory were too little; "
        "mem_mb=1800 (request_memory with executor htcondor) would do at once."
    ]
    jobs[1].used["memory_mb"] = 300  # it failed for another reason
    assert summary.advice(run_of(*jobs)) == []


def test_waiting_for_most_of_the_run():
    (found,) = summary.advice(run_of(job(wait=700, run=60), job(jobid="2", wait=650, run=60)))
    assert found.startswith("train: 2 jobs waited 11 min (median) in the queue of a run of 13 min:")
    assert summary.advice(run_of(job(wait=50, run=1))) == [], "that is HTCondor's own pace"
    assert summary.advice(run_of(job(wait=700, run=800))) == []


# --- start-up ---


def line(epoch, hours):
    """Return Snakemake's line at a host whose zone is so many hours ahead."""
    there = datetime.fromtimestamp(epoch, timezone(timedelta(hours=hours)))
    return f"[{there.strftime('%a %b')} {there.day:2} {there.strftime('%H:%M:%S %Y')}]"


def test_the_line_is_as_snakemake_writes_it():
    assert line(START, 0) == f"[{time.asctime(time.gmtime(START))}]"


@pytest.mark.parametrize("hours", [0, 1, -5, 5.5, 5.75, -9.5, 14, -12, 12.75])
@pytest.mark.parametrize("after", [0, 1, 47, 890])
def test_the_start_of_a_rule_in_any_zone(hours, after):
    stamps = [line(START + after + later, hours) for later in (0, 9)]
    text = f"Building DAG of jobs...\n{stamps[0]}\nrule train:\n{stamps[1]}\nFinished jobid: 0"
    assert summary.startup(text, START) == START + after


@pytest.mark.parametrize("hours", [0, 1, -5, -9.5, 14, -12])
@pytest.mark.parametrize("after", [899, 1300, 1750])
def test_a_start_up_of_more_than_a_quarter_of_an_hour(hours, after):
    """No zone of the world is 15 minutes ahead of these."""
    assert summary.startup(line(START + after, hours), START) == START + after


def test_the_parts_of_a_second_that_the_line_leaves_out():
    assert summary.startup(line(START, 2), START + 0.9) == START + 0.9, "never before the start"
    assert summary.startup(line(START + 3, 2), START + 0.9) == pytest.approx(START + 3)


def test_a_line_is_not_believed_where_it_can_not_be():
    assert summary.startup("", START) is None
    assert summary.startup(f"said {line(START, 0)}", START) is None
    assert summary.startup(line(START + 86400 * 3, 0), START) is None, "of another day"
    assert summary.startup(line(START - 86400 * 3, 0), START) is None
    assert summary.startup("[Wed Nov 99 08:01:53 2026]", START) is None
    assert summary.startup("[Wed Nov 25 28:01:53 2026]", START) is None
    assert summary.startup(line(START + 600, 0), START, ended=START + 60) is None, "after its end"
    older = f"{line(START - 86400 * 3, 1)}\n{line(START + 5, 1)}"
    assert summary.startup(older, START, ended=START + 60) == START + 5


def test_the_zone_of_this_host_does_not_matter(monkeypatch):
    for zone in ("UTC", "Asia/Kathmandu", "America/St_Johns"):
        monkeypatch.setenv("TZ", zone)
        time.tzset()
        assert summary.startup(line(START + 12, 5.75), START) == START + 12
    monkeypatch.delenv("TZ")
    time.tzset()
    assert datetime.fromtimestamp(START, UTC).hour == 8
