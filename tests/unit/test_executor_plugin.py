"""The executor plugin's pure parts, and its script that runs Python from a node's own copy of the environment."""

import contextlib
import doctest
import os
import shlex
import subprocess
import sys
import time
import tomllib
from pathlib import Path
from types import SimpleNamespace

import pytest
import snakemake_executor_plugin_htcondor_steady as plugin
import snakemake_logger_plugin_htcondor
import yaml
from classad2 import ClassAd, parseOne
from htcondor2 import Submit
from packaging.requirements import Requirement
from snakemake_executor_plugin_htcondor import JobState, JobStatus
from snakemake_executor_plugin_htcondor_steady import description, holds, local_universe, queue
from snakemake_interface_executor_plugins.executors.base import SubmittedJobInfo

ROOT = Path(__file__).resolve().parents[2]
SOURCE = ROOT / "plugins" / "snakemake-executor-plugin-htcondor-steady"


@pytest.mark.parametrize("package", [plugin, snakemake_logger_plugin_htcondor], ids=lambda package: package.__name__)
def test_the_installed_plugin_is_the_one_of_this_checkout(package):
    installed = Path(package.__file__).parent
    (source,) = ROOT.glob(f"plugins/*/{package.__name__}")
    files = [path for path in source.rglob("*") if path.is_file() and path.parent.name != "__pycache__"]
    assert len(files) >= 6
    for path in files:
        assert (installed / path.relative_to(source)).read_bytes() == path.read_bytes(), f"{path}: run make setup"


def test_the_ranges_of_the_plugin_allow_what_the_lock_holds():
    project = tomllib.loads((SOURCE / "pyproject.toml").read_text())
    lock = (ROOT / "requirements.lock").read_text()
    pins = dict(line.split(" ")[0].split("==") for line in lock.splitlines() if "==" in line.split(" ")[0])
    for text in project["project"]["dependencies"] + project["build-system"]["requires"]:
        wanted = Requirement(text)
        assert wanted.specifier.contains(pins[wanted.name.replace("_", "-")]), text


def test_the_profile_names_only_settings_that_exist():
    profile = (ROOT / "profiles" / "htcondor" / "config.yaml").read_text()
    uncommented = profile.replace("# htcondor-steady", "htcondor-steady")
    named = {
        k.removeprefix("htcondor-steady-").replace("-", "_") for k in yaml.safe_load(uncommented) if "steady-" in k
    }
    assert named <= set(plugin.ExecutorSettings.__dataclass_fields__)
    assert {"logs", "node_copy", "accounting_group", "held_timeout", "patience"} <= named


def test_examples_in_docstrings():
    results = [doctest.testmod(module) for module in (description, local_universe)]
    failed, tried = (sum(numbers) for numbers in zip(*results, strict=True))
    assert failed == 0
    assert tried >= 6


# --- arguments ---


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["a", "b"], '"a b"'),
        (["a b"], "\"'a b'\""),
        ([""], "\"''\""),
        (["it's"], "\"'it''s'\""),
        (['say "x"'], '"\'say ""x""\'"'),
        (["$(HOME)"], '"$(DOLLAR)(HOME)"'),
        (["naïve é.csv"], "\"'naïve é.csv'\""),
        (["a\tb"], "\"'a\tb'\""),
    ],
)
def test_arguments_in_htcondors_syntax(words, expected):
    assert description.arguments(words) == expected


@pytest.mark.parametrize(
    "words", [["$(x)", "$HOME", "100$", "$$", "$ENV(HOME)"], ["a b", "it's", '"'], ["é ü", "", "-n"]]
)
def test_htcondor_expands_arguments_to_the_words_that_were_meant(words):
    """HTCondor's own parser undoes the macros; what is left is its quoting, undone here by its rules."""
    text = Submit({"arguments": description.arguments(words)}).expand("arguments")
    inner = text.strip()[1:-1].replace('""', '"')
    assert _split(inner) == words


def _split(text):
    words, word, quoted, started = [], "", False, False
    position = 0
    while position < len(text):
        letter = text[position]
        if letter == "'" and quoted and text[position + 1 : position + 2] == "'":
            word, position = word + "'", position + 1
        elif letter == "'":
            quoted, started = not quoted, True
        elif letter.isspace() and not quoted:
            words, word, started = [*words, *([word] if word or started else [])], "", False
        else:
            word += letter
        position += 1
    return [*words, *([word] if word or started else [])]


@pytest.mark.parametrize(
    ("word", "message"), [("a\nb", "line break"), ("$$(Arch)", "attribute"), ("$$ENV(x)", "attribute")]
)
def test_what_the_syntax_cannot_carry_is_refused(word, message):
    with pytest.raises(ValueError, match=message):
        description.arguments([word])


def test_the_command_of_a_job():
    line = shlex.join(["/env/bin/python", "-m", "snakemake", "--snakefile", "my flow/Snakefile", "--cores", "1"])
    expected = ["/own/python", "-m", "snakemake", "--snakefile", "my flow/Snakefile", "--cores", "1"]
    assert description.command(line, "/own/python") == expected
    wrapped = description.command(line, "/own/python", wrapper="scripts/wrapper.sh")
    assert wrapped == ["scripts/wrapper.sh", "--snakefile", "my flow/Snakefile", "--cores", "1"]
    assert description.command(f"module load x && {line}", "/own/python")[:2] == ["/bin/sh", "-c"]


@pytest.mark.parametrize("name", ["it's", 'a "b"', 'it\'s "b"', "back\\slash", "a\tb", "$HOME é", "a, b", "plain"])
@pytest.mark.parametrize("quote", [repr, shlex.quote])
def test_words_arrive_as_meant_by_either_of_snakemakes_ways_to_quote(name, quote):
    """It quotes texts as Python does, paths as a shell does, and base64 or numbers not at all."""
    path, target = quote("/x y/" + name), quote("fit:a=" + name)
    line = f"/env/bin/python -m snakemake --snakefile {path} --target-jobs {target} --cores 1"
    expected = ["-m", "snakemake", "--snakefile", "/x y/" + name, "--target-jobs", "fit:a=" + name, "--cores", "1"]
    assert description.command(line, "/own/python")[1:] == expected


def test_no_text_is_taken_for_a_macro():
    text = "$(x) $ENV(HOME) 100$ $HOME"
    assert Submit({"output": description.verbatim(text)}).expand("output") == text


def test_a_comma_in_a_wildcard_is_refused():
    description.check_wildcards([{}, {"a": "x y", "n": 1}])
    with pytest.raises(ValueError, match="can't hand over the comma in application 'a, b'; rename the file"):
        description.check_wildcards([{"model": "lr"}, {"application": "a, b"}])


def test_own_attributes_and_submit_commands():
    resources = {"mem_mb": 5, "classad_Team": 'the "A" team', "classad_Level": 3, "htcondor_submit_a__b": "x"}
    assert description.own_attributes(resources) == {"+Team": r'"the \"A\" team"', "+Level": 3, "a.b": "x"}


def test_a_submit_command_takes_a_word_and_an_attribute_a_string():
    words = {"htcondor_submit_notification": "Error", "htcondor_submit_MY__Team": "risk"}
    assert description.own_attributes(words) == {"notification": "Error", "MY.Team": '"risk"'}
    with pytest.raises(ValueError, match="can't hold the line break in htcondor_submit_rank="):
        description.own_attributes({"htcondor_submit_rank": "1\nexecutable = /bin/other", "other": "a\nb"})


def test_requests_that_are_no_numbers_yet_are_left_out():
    assert description.requests({"mem_mb": "<TBD>", "disk_mb": 3}) == {"request_disk": "3072"}
    assert description.requests({}) == {}


def test_a_job_whose_requests_cannot_be_told_is_refused():
    description.check_requests({"mem_mb": 500})
    with pytest.raises(ValueError, match="its disk_mb can't be told, since an input is gone; run again"):
        description.check_requests({"mem_mb": 500, "disk_mb": "<TBD>"})


def test_a_group_adds_up_what_it_needs_and_not_what_it_says_to_htcondor():
    """As it was: a hundred members that were to end within 5 s had 500."""
    each = {"htcondor_submit_keep_claim_idle": 3, "htcondor_submit_job_max_vacate_time": 5, "classad_Level": 1}
    members = [FakeJob(number, "fit") for number in range(4)]
    for number, member in enumerate(members):
        member.resources |= each | {"htcondor_submit_priority": 7 + number, "htcondor_submit_rank": "Memory"}

    group = FakeGroup("g", "1b9d6bcd-bbfd-4b2d", members)
    submit = executor()._ask_for(group)
    assert submit.items() >= {"keep_claim_idle": 3, "job_max_vacate_time": 5, "priority": 10, "+Level": 1}.items()
    assert (submit["request_memory"], submit["rank"]) == ("800", "Memory")


def test_a_member_whose_resources_cannot_be_told_yet_is_left_out():
    class Inner(FakeJob):
        """A job whose input another one of its group makes."""

        resources = property(
            lambda self: (_ for _ in ()).throw(FileNotFoundError("made.csv")), lambda self, value: None
        )

    members = [FakeJob(1, "fit"), Inner(2, "fit")]
    members[0].resources["htcondor_submit_priority"] = 3
    group = FakeGroup("g", "1b9d6bcd-bbfd-4b2d", members)
    assert executor()._ask_for(group)["priority"] == 3


# --- HTCondor's output ---


def test_groups_of_one_name_have_files_of_their_own():
    made = executor()
    made._logs = Path("logs")
    first, second = (made._files(FakeGroup("g_fit", uuid, [])) for uuid in ("1b9d6bcd-bbfd", "2c0e7cde-bbfd"))
    assert [str(path) for path in first] == [f"logs/g_fit/g_fit-1b9d6bcd.htcondor-1.{kind}" for kind in ("out", "err")]
    assert not set(first) & set(second)


@pytest.mark.parametrize(
    ("log", "stem"),
    [
        ("logs/v1.2", "logs/v1.2"),
        ("logs/v1.3", "logs/v1.3"),
        ("logs/v1.2.log", "logs/v1.2"),
        ("logs/a.csv", "logs/a.csv"),
    ]
    + [(f"logs/a.{suffix}", "logs/a") for suffix in ("log", "txt", "out", "err")],
)
def test_only_what_ends_the_name_of_a_log_is_cut_off(log, stem):
    output, error = description.files_for("fit", [log], {}, 1, Path("logs"))
    assert (str(output), str(error)) == (f"{stem}.htcondor-1.out", f"{stem}.htcondor-1.err")


# --- holds ---


@pytest.mark.parametrize(
    ("ad", "action", "words"),
    [
        ({"HoldReasonCode": 34, "HoldReason": "over limit", "RequestMemory": 200}, "retry", "the request was 200 MB"),
        ({"HoldReasonCode": 26, "MemoryUsage": 300, "RequestMemory": 200}, "retry", "out of memory"),
        (
            {"HoldReasonCode": 26, "MemoryUsage": 100, "RequestMemory": 200, "HoldReason": "too long"},
            "fail",
            "too long",
        ),
        ({"HoldReasonCode": 26, "HoldReason": "disk"}, "fail", "hold code 26"),
        # A pool that doesn't enforce memory has many jobs above their request, and policies on other things.
        (
            {"HoldReasonCode": 26, "MemoryUsage": 300, "RequestMemory": 200, "HoldReason": "no jobs of over a day"},
            "fail",
            "no jobs of over a day",
        ),
        (
            {"HoldReasonCode": 3, "MemoryUsage": 300, "RequestMemory": 200, "HoldReason": "(ResidentSetSize > 2)"},
            "retry",
            "out of memory",
        ),
        # The node's policy counts in slots: the memory that the access point has heard of may be older, and lower.
        (
            {"HoldReasonCode": 21, "HoldReasonSubCode": 102, "MemoryUsage": 1, "RequestMemory": 9},
            "retry",
            "out of memory",
        ),
        ({"HoldReasonCode": 21, "MemoryUsage": 300, "RequestMemory": 200}, "retry", "out of memory"),
        ({"HoldReasonCode": 21, "HoldReasonSubCode": 0, "HoldReason": "too long"}, "fail", "too long"),
        (
            {"HoldReasonCode": 34, "HoldReasonSubCode": 104, "RequestDisk": 7},
            "retry",
            "out of disk, the request was 7 KB",
        ),
        ({"HoldReasonCode": 1, "HoldReason": "via condor_hold"}, "wait", "condor_release"),
        ({"HoldReasonCode": 6, "HoldReasonSubCode": 2, "HoldReason": "no such file"}, "fail", "code 6, subcode 2"),
        ({}, "fail", "no reason is given"),
    ],
)
def test_what_a_hold_calls_for(ad, action, words):
    hold = holds.judge(ad)
    assert hold.action == action
    assert words in hold.sentence


def test_memory_is_judged_by_the_value_of_its_expression():
    ad = ClassAd("[MemoryUsage = (ResidentSetSize + 1023) / 1024; ResidentSetSize = 307200; RequestMemory = 200]")
    ad["HoldReasonCode"] = 26
    assert set(ad) <= set(holds.ATTRIBUTES)
    assert queue.evaluated(ad)["MemoryUsage"] == 300
    assert holds.judge(queue.evaluated(ad)).action == "retry"
    del ad["ResidentSetSize"]
    assert "MemoryUsage" not in queue.evaluated(ad)


# --- what logger plugins are told ---


HERE = {"ARCH": "X86_64", "OPSYS": "LINUX", "FILESYSTEM_DOMAIN": "pool"}


def wanted(**submit):
    return parseOne(description.expected_ad(submit, "submit", HERE))


def test_the_expected_ad_has_what_decides_where_a_job_can_run():
    ad = wanted(request_cpus="2", request_memory="2GB", request_disk="1024", accounting_group="risk.models")
    assert {name: ad[name] for name in ("RequestCpus", "RequestMemory", "RequestDisk")} == {
        "RequestCpus": 2,
        "RequestMemory": 2048,
        "RequestDisk": 1024,
    }
    assert (ad["Owner"], ad["AcctGroup"], ad["JobUniverse"], ad["JobStatus"]) == ("submit", "risk.models", 5, 1)


@pytest.mark.parametrize(
    ("submit", "found"),
    [
        ({"accounting_group": "risk"}, ("risk", "submit", "risk.submit")),
        ({"accounting_group": "risk", "accounting_group_user": "ann"}, ("risk", "ann", "risk.ann")),
        ({"accounting_group_user": "ann"}, (None, "ann", "ann")),
        ({}, (None, None, None)),
    ],
)
def test_the_expected_ad_has_the_accounting_group_as_condor_submit_makes_it(submit, found):
    ad = wanted(**submit)
    assert tuple(ad.get(name) for name in ("AcctGroup", "AcctGroupUser", "AccountingGroup")) == found


def slot(**values):
    made = ClassAd({"Cpus": 2, "Memory": 8192, "Disk": 1 << 20, "GPUs": 0, "OpSys": "LINUX", "Arch": "X86_64"} | values)
    made["Requirements"] = True
    return made


@pytest.mark.parametrize(
    ("submit", "matches"),
    [
        ({}, True),
        ({"request_memory": "8192"}, True),
        ({"request_memory": "8193"}, False),
        ({"request_memory": "9GB"}, False),
        ({"request_cpus": "3"}, False),
        ({"request_disk": "2G"}, False),
        ({"request_gpus": "1"}, False),
        ({"requirements": 'TARGET.OpSys == "WINDOWS" || false'}, False),
        ({"requirements": 'TARGET.OpSys == "LINUX" || false', "request_cpus": "3"}, False),
        ({"Requirements": 'TARGET.OpSys == "LINUX" || false', "request_cpus": "2"}, True),
        ({"+Team": '"risk"', "requirements": 'MY.Team == "risk"'}, True),
    ],
)
def test_the_expected_ad_demands_what_is_asked_for(submit, matches):
    assert slot().symmetricMatch(wanted(**submit)) is matches


@pytest.mark.parametrize(
    ("submit", "node", "matches"),
    [
        ({}, {"Arch": "PPC64LE"}, False),
        ({"requirements": 'TARGET.Arch == "PPC64LE"'}, {"Arch": "PPC64LE"}, True),
        ({"universe": "container"}, {"Arch": "PPC64LE"}, True),
        ({"should_transfer_files": "NO"}, {"FileSystemDomain": "pool"}, True),
        ({"should_transfer_files": "NO"}, {"FileSystemDomain": "elsewhere"}, False),
        ({"should_transfer_files": "IF_NEEDED"}, {"FileSystemDomain": "elsewhere"}, True),
    ],
)
def test_the_expected_ad_demands_what_condor_submit_adds(submit, node, matches):
    assert slot(**node).symmetricMatch(wanted(**submit)) is matches


def test_names_and_texts_cannot_change_the_meaning_of_the_expected_ad():
    ad = parseOne(description.expected_ad({"accounting_group": 'a" || "'}, 'domain "user"', HERE))
    assert (ad["AcctGroup"], ad["Owner"]) == ('a" || "', 'domain "user"')
    assert slot().symmetricMatch(ad)


class Listener:
    """A logger plugin that cares."""

    def __init__(self):
        self.before, self.holds = [], []

    def before_submission(self, described):
        self.before.append(dict(described))

    def hold(self, cluster, ad, does):
        self.holds.append((cluster, ad, does))


class FakeJob:
    """A job of the workflow, as far as its requests go."""

    def __init__(self, jobid, rule, mem_mb=200, local=False, **wildcards):
        self.jobid, self.name, self.rule = jobid, rule, SimpleNamespace(name=rule, local=local)
        self.wildcards_dict, self.threads = wildcards, 1
        self.resources = {"mem_mb": mem_mb, "disk_mb": 10, "_cores": 1, "_nodes": 1}
        self.restart_times, self.attempt = 2, 1

    def is_group(self):
        return False


class FakeGroup(FakeJob):
    """A group of jobs; Snakemake adds up the numbers of those that run side by side."""

    def __init__(self, name, jobid, members):
        super().__init__(jobid, name)
        self.members = members
        self.resources = {}
        for member in members:
            with contextlib.suppress(FileNotFoundError):
                for key, value in member.resources.items():
                    added = value if isinstance(value, str) else self.resources.get(key, 0) + value
                    self.resources[key] = added

    def __iter__(self):
        return iter(self.members)

    def is_group(self):
        return True


def executor(*listeners, jobs=()):
    """An executor with what tells others, and nothing that submits or watches."""
    made = object.__new__(plugin.Executor)
    made._listeners = list(listeners)
    made._settings = plugin.ExecutorSettings()
    made._said_to_wait, made._removed, made._said, made._errors = set(), [], [], []
    made._constraint = "this run"
    made.logger = SimpleNamespace(warning=made._said.append, error=made._said.append, debug=lambda text: None)
    made._queue = SimpleNamespace(look=lambda constraint, attributes: [made._ad], remove=made._removed.append)
    made.workflow = SimpleNamespace(
        dag=SimpleNamespace(needrun_jobs=lambda: list(jobs)), is_local=lambda rule: rule.local
    )
    made.report_job_error = lambda info, msg: made._errors.append((info.job.attempt, msg))
    made._cleanup_job_tracking = lambda cluster: None
    return made


def test_before_the_first_submission_listeners_hear_each_kind_of_job_once():
    jobs = [
        FakeJob(3, "predict", file="b"),
        FakeJob(2, "predict", file="a"),
        FakeJob(4, "predict", mem_mb=300, file="c"),
        FakeJob(5, "report", mem_mb=999, local=True),
        FakeJob(6, "join", mem_mb="<TBD>"),
    ]
    listener = Listener()
    executor(listener, jobs=jobs)._tell_what_comes()
    (described,) = listener.before
    assert list(described) == ["predict, file=a", "predict, file=c"]
    assert [parseOne(ad)["RequestMemory"] for ad in described.values()] == [200, 300]
    assert [parseOne(ad)["RequestDisk"] for ad in described.values()] == [10240, 10240]


def test_where_no_one_listens_the_jobs_are_not_looked_through():
    def needrun_jobs():
        raise AssertionError("a workflow of many thousand jobs takes its time")

    quiet = executor()
    quiet.workflow.dag.needrun_jobs = needrun_jobs
    quiet._tell_what_comes()


HELD = {"ClusterId": 7, "JobStatus": 5}
MEMORY = HELD | {"HoldReasonCode": 34, "HoldReason": "over limit", "RequestMemory": 200, "JobStatus": 5}
PROGRAM = HELD | {"HoldReasonCode": 6, "HoldReasonSubCode": 2, "HoldReason": "no such file", "JobStatus": 5}
LONG = HELD | {"HoldReasonCode": 47, "HoldReason": "The job exceeded allowed execute duration", "JobStatus": 5}
PERSON = HELD | {"HoldReasonCode": 1, "HoldReason": "via condor_hold", "JobStatus": 5}


def held(tells, ad, attempt=1, times=1, rule=None):
    tells._ad = ad
    job = FakeJob(3, "predict", file="a")
    job.rule, job.input = rule or job.rule, []
    job.attempt = attempt
    info = SubmittedJobInfo(job=job, external_jobid=7)
    state = JobState(status=JobStatus.HELD, held_since=time.time())
    tells._held = tells._look_at_held()
    return [tells._handle_hold(info, state) for _ in range(times)]


@pytest.mark.parametrize(
    ("ad", "attempt", "does", "goes_on"),
    [
        (MEMORY, 1, "it is retried with more", False),
        (MEMORY, 3, "no retry is left", False),
        (LONG, 1, "it is tried again", False),
        (LONG, 3, "no retry is left", False),
        (PROGRAM, 1, "it is not retried, as it would be held again", False),
        (PERSON, 1, "Snakemake waits for that", True),
    ],
)
def test_a_listener_hears_why_a_job_is_held_and_what_is_done_and_says_it_in_our_place(ad, attempt, does, goes_on):
    listener = Listener()
    tells = executor(listener)
    assert held(tells, ad, attempt) == [goes_on]
    assert listener.holds == [(7, ad, does)]
    assert tells._said == []
    assert tells._removed == ([] if goes_on else ["ClusterId == 7"])
    assert len(tells._errors) == (0 if goes_on else 1)


def test_a_hold_that_would_come_again_takes_all_attempts():
    tells = executor(Listener())
    held(tells, PROGRAM)
    ((attempt, message),) = tells._errors
    assert attempt == 3, "of three"
    assert "no such file" in message


def test_a_persons_hold_is_told_once_however_often_it_is_seen():
    listener = Listener()
    tells = executor(listener)
    assert held(tells, PERSON, times=5) == [True] * 5
    assert len(listener.holds) == 1


def test_a_persons_hold_that_nobody_ended_in_time_says_so_and_takes_all_attempts():
    listener = Listener()
    tells = executor(listener)
    tells._settings.held_timeout = 0
    assert held(tells, PERSON) == [False]
    does = "nobody released it within 0 s (htcondor-steady-held-timeout), so it is removed"
    assert listener.holds == [(7, PERSON, does)]
    assert tells._errors == [(3, f"held by a person (via condor_hold); {does}. ")]


@pytest.mark.parametrize(
    ("mem_mb", "does"),
    [
        (lambda attempt: 200 * attempt, "it is retried with more"),
        (lambda attempt: 200, "it is retried with the same request, as its mem_mb doesn't grow with attempt"),
        (lambda attempt: "<TBD>", "it is retried with more"),
        (lambda attempt: 1 / 0, "it is retried with more"),
    ],
)
def test_a_retry_is_called_one_with_more_unless_its_rule_asks_for_the_same(mem_mb, does):
    def expand_resources(wildcards, inputs, attempt):
        return {"mem_mb": mem_mb(attempt)}

    listener = Listener()
    held(executor(listener), MEMORY, rule=SimpleNamespace(expand_resources=expand_resources))
    assert [heard for *_, heard in listener.holds] == [does]


@pytest.mark.parametrize("listeners", [[], [SimpleNamespace(before_submission=print)]])
def test_without_a_listener_that_explains_holds_the_executor_says_them(listeners):
    tells = executor(*listeners)
    held(tells, MEMORY)
    ((said),) = tells._said
    assert said.startswith("Job 3 (predict, file=a), HTCondor job 7.0: ")
    assert said.endswith("; retried with more.")


def test_a_job_that_was_released_in_the_meantime_is_no_hold():
    listener = Listener()
    tells = executor(listener)
    assert held(tells, MEMORY | {"JobStatus": 1}) == [True]
    assert (listener.holds, tells._said, tells._removed) == ([], [], [])


# --- state and files of a run ---


def test_a_classad_tells_the_state():
    state = plugin._state({"JobStatus": 4, "ExitCode": 3})
    assert (state.status, state.exit_code, state.exit_by_signal) == (JobStatus.COMPLETED, 3, False)
    held = plugin._state({"JobStatus": 5, "HoldReason": "x", "EnteredCurrentStatus": 17})
    assert (held.status, held.hold_reason, held.held_since) == (JobStatus.HELD, "x", 17.0)


def test_ten_event_logs_are_kept_and_the_oldest_go(tmp_path):
    names = [f"202611{day:02}T000000-1-x" for day in range(1, 15)]
    for name in names:
        plugin._new_event_log(tmp_path, name).touch()
    assert sorted(path.stem for path in tmp_path.iterdir()) == names[-10:]


# --- a node's own copy of the environment ---


@pytest.fixture
def environment(tmp_path):
    """A small environment whose python tells from where it runs."""
    python = tmp_path / "env" / "bin" / "python"
    python.parent.mkdir(parents=True)
    python.write_text('#!/bin/sh\necho "$0" "$@"\n')
    python.chmod(0o755)
    (tmp_path / "disk").mkdir()
    return tmp_path / "env"


def node_copy(environment, *arguments, disk=None, **options):
    script = SOURCE / "snakemake_executor_plugin_htcondor_steady" / "node_copy.sh"
    command = ["/bin/sh", script, environment, disk or environment.parent / "disk", "abc", *arguments]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **options)


def test_jobs_run_from_the_copy_and_only_the_first_makes_it(environment):
    copy = environment.parent / "disk" / f"environments-{os.getuid()}" / "abc"
    started = [node_copy(environment, "-m", "a b") for _ in range(8)]
    outputs = {process.communicate() for process in started}
    assert outputs == {(f"{copy}/bin/python -m a b\n", "")}
    assert sorted(path.name for path in copy.parent.iterdir()) == ["abc", "lock"]
    assert copy.parent.stat().st_mode & 0o777 == 0o700
    (environment / "bin" / "python").unlink()  # the shared folder is not asked again
    assert node_copy(environment, "x").communicate()[0] == f"{copy}/bin/python x\n"


def test_the_archive_beside_the_environment_is_taken_where_there_is_one(environment):
    subprocess.run(["tar", "-cf", f"{environment}.tar", "-C", environment, "."], check=True)
    (environment / "not-in-the-archive").touch()
    assert node_copy(environment, "x").communicate()[1] == ""
    copy = environment.parent / "disk" / f"environments-{os.getuid()}" / "abc"
    assert not (copy / "not-in-the-archive").exists()


def test_a_copy_that_cannot_be_made_is_said_and_the_job_runs_from_the_shared_folder(environment):
    Path(f"{environment}.tar").write_text("no archive")
    output, errors = node_copy(environment, "x").communicate()
    assert output == f"{environment}/bin/python x\n"
    assert "could not be copied" in errors
    assert [p.name for p in (environment.parent / "disk" / f"environments-{os.getuid()}").iterdir()] == ["lock"]


@pytest.mark.parametrize("copied", [True, False])
def test_what_a_job_writes_has_the_modes_that_it_has_without_a_copy(environment, copied):
    """As it was: the copy is its user's alone, and so was all that jobs wrote that ran from it."""
    (environment / "bin" / "python").write_text("#!/bin/sh\numask\n")
    if not copied:
        Path(f"{environment}.tar").write_text("no archive")
    process = node_copy(environment, umask=0o027)
    assert process.communicate()[0] == "0027\n"


@pytest.mark.skipif(os.getuid() != 0, reason="only root can make a folder that belongs to someone else")
def test_a_folder_that_someone_else_prepared_is_refused(environment):
    trap = environment.parent / "disk" / f"environments-{os.getuid()}" / "abc"
    (trap / "bin").mkdir(parents=True)
    (trap / "bin" / "python").symlink_to(sys.executable)
    (trap / "complete").touch()
    os.chown(trap.parent, 12345, 12345)
    process = node_copy(environment, "-c", "print('trapped')")
    output, errors = process.communicate()
    assert process.returncode == 1
    assert output == ""
    assert "is not a folder of" in errors


# --- where Snakemake is a job itself ----------------------------------------------------------------------------------


@pytest.mark.parametrize(("universe", "found"), [(12, 7), (7, 7), (5, None)])
def test_a_job_on_the_access_point_is_known_by_its_classad(tmp_path, universe, found):
    (tmp_path / "ad").write_text(f'ClusterId = 7\nJobUniverse = {universe}\nIwd = "/f"\n')
    ad = local_universe.own_job({"_CONDOR_JOB_AD": str(tmp_path / "ad")})
    assert (ad and ad["ClusterId"]) == found


def test_without_a_classad_the_environment_tells_the_number_or_there_is_none():
    assert local_universe.own_job({}) is None
    ad = local_universe.own_job({"SNAKEMAKE_DRIVER_ID": "12", "_CONDOR_JOB_AD": "/gone"})
    assert ad["ClusterId"] == 12
    assert local_universe.WITH_IT in ad, "nothing is to be edited"
