"""Hold codes in words: the whole table, and a job's own figures, files and hosts in the sentences."""

import itertools
import re
from pathlib import Path

import pytest
from snakemake_logger_plugin_htcondor import codes

ROOT = Path(__file__).resolve().parents[2]
# As condor_holdcodes.h of HTCondor 24 and 25 has them.
NAMES = re.findall(
    r"\w+",
    """
Unspecified UserRequest GlobusGramError JobPolicy CorruptedCredential JobPolicyUndefined FailedToCreateProcess
UnableToOpenOutput UnableToOpenInput UnableToOpenOutputStream UnableToOpenInputStream InvalidTransferAck
TransferOutputError TransferInputError IwdError SubmittedOnHold SpoolingInput JobShadowMismatch InvalidTransferGoAhead
HookPrepareJobFailure MissedDeferredExecutionTime StartdHeldJob UnableToInitUserLog FailedToAccessUserAccount
NoCompatibleShadow InvalidCronSettings SystemPolicy SystemPolicyUndefined GlexecChownSandboxToUser
PrivsepChownSandboxToUser GlexecChownSandboxToCondor PrivsepChownSandboxToCondor MaxTransferInputSizeExceeded
MaxTransferOutputSizeExceeded JobOutOfResources InvalidDockerImage FailedToCheckpoint EC2UserError EC2InternalError
EC2AdminError EC2ConnectionProblem EC2ServerError EC2InstancePotentiallyLostError PreScriptFailed PostScriptFailed
SingularityTestFailed JobDurationExceeded JobExecuteExceeded HookShadowPrepareJobFailure CannotSwitchPrimaryGroup
""",
)


def held(code, reason="", subcode=0, **more):
    return codes.explain({"HoldReasonCode": code, "HoldReasonSubCode": subcode, "HoldReason": reason, **more})


def test_every_code_of_htcondor_has_its_name_and_two_whole_sentences():
    assert [(code.number, code.name) for code in codes.HOLD_CODES.values()] == list(enumerate(NAMES))
    for code in codes.HOLD_CODES.values():
        assert re.fullmatch(r"[A-Z].*\.", code.happened), code
        assert re.fullmatch(r"[`A-Z].*\.", code.todo), code


def test_vacate_codes_are_without_a_gap_and_read_on_after_a_colon():
    assert list(codes.VACATE_CODES) == list(range(1000, 1037))
    assert len({name for name, _ in codes.VACATE_CODES.values()}) == 37
    assert all(re.fullmatch(r"[a-z].*[^.]", why) for _, why in codes.VACATE_CODES.values())


@pytest.mark.parametrize("code", codes.HOLD_CODES)
def test_any_code_explains_itself_with_nothing_else_known(code):
    reasons = [None, "", "It broke", "Error from slot1@ep1: ünicode {job} %s 'x"]
    for subcode, reason in itertools.product([None, 0, 2, 13, 62, 102, 104, 256], reasons):
        found = codes.explain({"HoldReasonCode": code, "HoldReasonSubCode": subcode, "HoldReason": reason})
        assert found.happened.endswith(".")
        assert found.todo.endswith(".")
        assert "None" not in found.happened + found.todo
        assert "  " not in found.happened + found.todo


@pytest.mark.parametrize(
    ("ad", "happened", "todo"),
    [
        (
            {"HoldReasonCode": 34, "HoldReasonSubCode": 102, "MemoryUsage": 612, "RequestMemory": 250},
            "Out of memory: it used 612 MB of the 250 MB it asked for.",
            "mem_mb=800 (request_memory with executor htcondor).",  # 612 and a quarter
        ),
        (  # an older HTCondor gives no subcode; the queue's figure is of a minute ago
            {"HoldReasonCode": 34, "HoldReasonSubCode": 0, "MemoryUsage": 3, "RequestMemory": 2000},
            "Out of memory: it went beyond the 2,000 MB it asked for.",
            "mem_mb=3000 (request_memory with executor htcondor).",
        ),
        (
            {
                "HoldReasonCode": 34,
                "HoldReason": "Job has gone over cgroup memory limit of 250 megabytes. Peak usage: 249 megabytes.  "
                "Consider resubmitting with a higher request_memory.",
                "MemoryUsage": 1,
                "RequestMemory": 250,
            },
            "Out of memory: it used 249 MB of the 250 MB it asked for.",
            "mem_mb=400 (request_memory with executor htcondor).",
        ),
        ({"HoldReasonCode": 34, "HoldReasonSubCode": 102, "MemoryUsage": 5}, "Out of memory: it used 5 MB.", "mem_mb"),
        (
            {"HoldReasonCode": 34, "HoldReasonSubCode": 104, "DiskUsage": 3 * 2**20, "RequestDisk": 2**20},
            "Out of disk: it used 3,072 MB on the node, of the 1,024 MB it asked for.",
            "disk_mb=3900 (htcondor_request_disk_mb with executor htcondor).",
        ),
        (
            {"HoldReasonCode": 34, "HoldReasonSubCode": 104, "RequestDisk": 2**20},
            "Out of disk: it went beyond the 1,024 MB it asked for on the node.",
            "disk_mb=1600 (htcondor_request_disk_mb with executor htcondor).",
        ),
    ],
)
def test_out_of_memory_or_disk_has_the_figures(ad, happened, todo):
    found = codes.explain(ad)
    assert found.happened == happened
    assert todo in found.todo


def test_a_nodes_policy_says_which_resource_it_was():
    found = held(21, "memory usage exceeded request_memory", 102, MemoryUsage=700, RequestMemory=500)
    assert "it used 700 MB of the 500 MB" in found.happened
    assert "WANT_HOLD" in found.happened
    assert "HTCondor says: memory usage exceeded request_memory." in found.happened
    assert "mem_mb=900" in found.todo
    assert "disk_mb=" in held(21, "disk usage exceeded request_disk", 104, RequestDisk=2**20).todo
    assert "mostly guards" in held(21, "ran for too long", 7, MemoryUsage=700, RequestMemory=500).todo


def test_the_access_points_policy_keeps_its_reason_and_gets_the_figure_that_is_above():
    reason = "The system macro SYSTEM_PERIODIC_HOLD expression 'MemoryUsage > 1.5 * RequestMemory' evaluated to TRUE"
    found = held(26, reason, MemoryUsage=800, RequestMemory=500)
    assert "it used 800 MB of the 500 MB" in found.happened
    assert reason in found.happened
    quiet = held(26, "too many starts", MemoryUsage=80, RequestMemory=500)
    assert "memory:" not in quiet.happened
    assert "HTCondor says: too many starts." in quiet.happened
    own = held(3, "The job attribute PeriodicHold expression 'NumJobStarts > 3' evaluated to TRUE")
    assert "NumJobStarts > 3" in own.happened
    assert "periodic_hold" in own.happened


@pytest.mark.parametrize("code", [3, 21, 26])
@pytest.mark.parametrize("reason", ["no jobs of more than a day", "expression 'NumJobStarts > 5' evaluated to TRUE"])
def test_a_policy_that_says_another_reason_is_not_told_as_memory(code, reason):
    found = held(code, reason, MemoryUsage=600, RequestMemory=500)
    assert found == codes._plain(codes.HOLD_CODES[code], {"HoldReason": reason})


@pytest.mark.parametrize("reason", ["RSS above the request", "'ResidentSetSize > 1024 * RequestMemory'", "MEMORY!"])
def test_a_policy_names_memory_in_several_ways(reason):
    assert held(3, reason, MemoryUsage=600, RequestMemory=500).happened.startswith("Out of memory: it used 600 MB")


@pytest.mark.parametrize("reason", ["", "too large", "Unspecified reason"])
def test_a_policy_that_gives_no_reason_may_be_about_memory(reason):
    found = held(26, reason, MemoryUsage=600, RequestMemory=500)
    assert found.happened.startswith("The access point's policy (SYSTEM_PERIODIC_HOLD) put the job on hold.")
    assert found.happened.endswith("It used 600 MB of memory and asked for 500 MB, which may be why.")
    assert "mem_mb=800" in found.todo
    assert "Out of" not in found.happened
    assert "may be why" not in held(26, reason, MemoryUsage=400, RequestMemory=500).happened


@pytest.mark.parametrize(
    ("code", "subcode", "reason", "words", "todo"),
    [
        (
            6,
            2,
            "Error from slot1_1@ep2.pool: Failed to execute '/usr/local/bin/here' with arguments -x a: "
            "(errno=2: 'No such file or directory')",
            "The program /usr/local/bin/here is not there on ep2.pool, or what its first line names is not.",
            "every node",
        ),
        (
            6,
            13,
            "Error from slot1@ep1: Failed to execute '/s/run.sh': Permission denied",
            "may not be exec",
            "chmod +x",
        ),
        (6, 8, "Error from slot1@ep1: Failed to execute '/s/run.sh': Exec format error", "#!/bin/sh", "processor"),
        (
            7,
            2,
            "Error from slot1_1@cn030.example: Failed to open '/data/g/1.o' as standard output: "
            "No such file or directory (errno 2)",
            "The file for standard output or error /data/g/1.o is not there on cn030.example.",
            "mounted there at the same path (`ls -ld /data/g/1.o` on that host)",
        ),
        (
            7,
            0,
            "Error from slot1@ep1: Failed to open '/data/1.o' as standard output: Permission denied (errno 13)",
            "The job's account may not use the file for standard output or error /data/1.o on ep1.",
            "UID_DOMAIN",
        ),
        (
            14,
            2,
            "Cannot access initial working directory /home/ann/work: No such file or directory",
            "The working folder /home/ann/work is not there on the access point.",
            "ls -ld /home/ann/work",
        ),
        (
            14,
            13,
            "Error from slot1@ep1: Cannot access initial working directory /home/ann/my work: Permission denied",
            "The job's account may not use the working folder /home/ann/my work on ep1.",
            "ls -ld /home/ann/my work",
        ),
        (
            12,
            2,
            "Transfer output files failure at execution point slot1_1@ep7 while sending files to access point ap. "
            "Details: reading from file /var/lib/condor/execute/dir_1929/out.zip: (errno 2) No such file or directory",
            "The file /var/lib/condor/execute/dir_1929/out.zip is not there on ep7, so it can't be brought back.",
            "should_transfer_files",
        ),
        (
            12,
            28,
            "Transfer output files failure at access point ap while receiving files from execution point slot1@ep7. "
            "Details: writing to file /home/ann/out: (errno 28) No space left on device",
            "The disk is full for the file /home/ann/out on the access point.",
            "Free some space",
        ),
        (
            13,
            2,
            "Error from slot1_2@n9: SHADOW at 192.0.2.10 failed to send file(s) to <192.0.2.3:44375>: error reading "
            "from /afs/u/a/x.script: (errno 2) No such file or directory; STARTER failed to receive file(s)",
            "The file /afs/u/a/x.script is not there on the access point.",
            "before the job is submitted",
        ),
        (
            12,
            0,
            "Error from slot1@n9: STARTER at 192.0.2.4 failed to send file(s) to <192.0.2.1:9618>: error reading from "
            "/var/x.dat: (errno 2) No such file or directory; SHADOW failed to receive file(s)",
            "The file /var/x.dat is not there on n9, so it can't be brought back.",
            "should_transfer_files",
        ),
        (
            13,
            256,
            "Transfer input files failure at execution point slot1@n1 using protocol osdf.",
            "exit code 1.",
            "plug",
        ),
        (13, 62, "Transfer input files failure at execution point slot1@n1 using protocol osdf.", "too long.", "plug"),
        (
            14,
            30,
            "Error from slot1@n1: Cannot access initial working directory /s/w: ...",
            "read-only on n1",
            "mounted",
        ),
        (14, 122, "Error from slot1@n1: x", "The quota is used up", "Free"),
        (23, 0, "Unable to switch to user: ann", "could not switch to the account ann on the access point", "id ann"),
    ],
)
def test_files_folders_programs_and_accounts_are_named_with_their_host(code, subcode, reason, words, todo):
    found = held(code, reason, subcode)
    assert words in found.happened
    assert todo in found.todo


def test_a_folder_without_a_path_in_the_reason_is_the_jobs_own():
    assert "/home/ann" in held(14, "", 2, Iwd="/home/ann").happened
    assert "program /bin/x " in held(6, "Error from slot1@n: no", 2, Cmd="/bin/x").happened
    hosts = {"LastRemoteHost": "slot1@n5"}
    reason = "Transfer output files failure at the execution point while sending files to access point ap. Details: x"
    assert "on n5" in held(12, reason, 2, **hosts).happened


def test_the_way_out_of_a_persons_hold_names_the_job():
    found = held(1, "via condor_hold (by user ann)", ClusterId=17)
    assert "via condor_hold (by user ann)" in found.happened
    assert "condor_release 17" in found.todo


def test_unknown_codes_keep_htcondors_words_and_point_to_its_manual():
    found = held(999, "Flux capacitor is empty.", 3)
    assert found.happened == "Flux capacitor is empty (code 999, subcode 3)."
    assert codes.MANUAL in found.todo
    assert codes.explain({}).happened == "HTCondor gives no reason (no code)."
    assert "no code" in codes.explain({"HoldReasonCode": object(), "HoldReason": "Odd"}).happened


def test_figures_that_are_no_numbers_are_unknown():
    found = held(34, "", 102, MemoryUsage=object(), RequestMemory="2 GB")
    assert found.happened == "Out of memory."


def test_evictions():
    assert codes.vacated(1019) == "a user with a better priority got the slot"
    assert codes.vacated(34, 102).startswith("the job used more memory or disk")
    assert codes.vacated(2000, 5) == "vacate code 2000, subcode 5"
    assert codes.vacated(None) == codes.vacated(0) == "HTCondor doesn't say why"


def test_the_page_of_hold_codes_is_as_the_table_says():
    page = (ROOT / "docs" / "hold-codes.md").read_text()
    assert page == codes.markdown(), "run: python -m snakemake_logger_plugin_htcondor.codes > docs/hold-codes.md"
    for line in page.splitlines():
        if line.startswith("|"):
            assert line.count("|") in (4, 6), line
