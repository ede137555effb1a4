"""What HTCondor's hold and vacate codes mean, and what to do about them.

Numbers and names are those of HTCondor's sources (``condor_holdcodes.h``) and of its manual ("Hold reason codes",
"Vacate reason codes"). The sentences are about jobs of Snakemake whose files lie on a shared folder. `explain` puts a
job's own figures into them; run as a program, this module prints the whole table for the documentation.
"""

import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from .words import setting

MANUAL = "https://htcondor.readthedocs.io/en/latest/codes-other-values/hold-reason-codes.html"
# What the schedd is to be asked for about a held job. MemoryUsage refers to ResidentSetSize.
ATTRIBUTES = (
    *("ClusterId", "HoldReason", "HoldReasonCode", "HoldReasonSubCode", "MemoryUsage", "ResidentSetSize"),
    *("RequestMemory", "DiskUsage", "RequestDisk", "Iwd", "Cmd", "RemoteHost", "LastRemoteHost"),
)
MEMORY, DISK = 102, 104  # subcodes of 21 and 34
HEADROOM = 1.25
ERRNO = "errno of the system"


@dataclass(frozen=True)
class HoldCode:
    """A code that HTCondor gives for a hold.

    Attributes
    ----------
    number
        HoldReasonCode.
    name
        HTCondor's name of it.
    happened
        What happened.
    todo
        What to do about it.
    subcode
        What HoldReasonSubCode tells; empty where it tells nothing.
    """

    number: int
    name: str
    happened: str
    todo: str
    subcode: str = ""


@dataclass(frozen=True)
class Explanation:
    """A hold in words: what happened, and what to do about it, each in whole sentences."""

    happened: str
    todo: str


_EC2 = "This is about virtual machines at Amazon, which jobs of Snakemake don't start: look at how it was submitted."
_PROTOCOL = "Release the job. Should it come back, the versions of HTCondor on both hosts may not fit together."
_OLD = "Tell the pool's administrator; only HTCondor versions before 9 have this."
_RELEASE = "`condor_release {job}` lets it go on, `condor_rm {job}` ends it."

HOLD_CODES: Mapping[int, HoldCode] = {
    code.number: code
    for code in (
        HoldCode(
            0,
            "Unspecified",
            "HTCondor gives no code for this hold.",
            "Read its reason; the ShadowLog on the access point and the StarterLog on the node say more.",
        ),
        HoldCode(1, "UserRequest", "Somebody put the job on hold with condor_hold.", _RELEASE),
        HoldCode(
            2,
            "GlobusGramError",
            "A Globus gatekeeper, to which HTCondor passed the job on, reported an error.",
            "Ask the administrator of that gatekeeper; the subcode is its error number.",
            "error number of GRAM",
        ),
        HoldCode(
            3,
            "JobPolicy",
            "The job's own rule for holds, periodic_hold or on_exit_hold, came true.",
            "Look at that expression: the rule's resources or the pool's defaults for submission set it.",
            "set by who wrote the expression",
        ),
        HoldCode(
            4,
            "CorruptedCredential",
            "The job's credentials are missing, expired or not valid.",
            "Get new ones (kinit, condor_store_cred or voms-proxy-init, as the pool asks for), then release the job.",
        ),
        HoldCode(
            5,
            "JobPolicyUndefined",
            "One of the job's own policy expressions has no value: it names an attribute that isn't there.",
            "Correct the expression; `=?=` compares with attributes that may be missing.",
        ),
        HoldCode(
            6,
            "FailedToCreateProcess",
            "The node could not start the job's program.",
            "See that the program exists on every node, at this very path, and may be executed.",
            ERRNO,
        ),
        HoldCode(
            7,
            "UnableToOpenOutput",
            "The node could not open the file for the job's standard output or error.",
            "See that the working folder is mounted on that node, and that the job's account may write there.",
            ERRNO,
        ),
        HoldCode(
            8,
            "UnableToOpenInput",
            "The node could not open the file that is the job's standard input.",
            "See that the file exists and that the node sees its folder.",
            ERRNO,
        ),
        HoldCode(
            9,
            "UnableToOpenOutputStream",
            "The stream for the job's standard output or error could not be opened on the access point.",
            "Leave out stream_output and stream_error, or see that the job's account may write to the file.",
            ERRNO,
        ),
        HoldCode(
            10,
            "UnableToOpenInputStream",
            "The stream for the job's standard input could not be opened on the access point.",
            "Leave out stream_input, or see that the file can be read.",
            ERRNO,
        ),
        HoldCode(
            11,
            "InvalidTransferAck",
            "The access point and the node did not understand each other while they copied files.",
            _PROTOCOL,
        ),
        HoldCode(
            12,
            "TransferOutputError",
            "Results could not be copied from the node to the access point.",
            "See that the job made the files it was to bring back, and that there is room and the right to write.",
            f"{ERRNO}; 62 where a transfer plugin took too long, else its exit code times 256",
        ),
        HoldCode(
            13,
            "TransferInputError",
            "Files that the job needs could not be copied from the access point to the node.",
            "See that the files exist and can be read on the access point, and that the node's disk has room.",
            f"{ERRNO}; 62 where a transfer plugin took too long, else its exit code times 256",
        ),
        HoldCode(
            14,
            "IwdError",
            "The job's working folder could not be entered.",
            "See that the folder exists, is mounted at the same path, and that the job's account may enter it.",
            ERRNO,
        ),
        HoldCode(15, "SubmittedOnHold", "The job was submitted on hold, as `hold = true` asks for.", _RELEASE),
        HoldCode(
            16,
            "SpoolingInput",
            "The job's input files are still being copied to the access point.",
            "Wait: HTCondor releases the job itself. Where it doesn't, the submission broke off: submit it again.",
        ),
        HoldCode(
            17,
            "JobShadowMismatch",
            "The job belongs to the standard universe, and the access point's shadow has another version.",
            "Submit it to the vanilla universe; HTCondor has no standard universe any more.",
        ),
        HoldCode(
            18,
            "InvalidTransferGoAhead",
            "The access point and the node did not understand each other before they copied files.",
            _PROTOCOL,
        ),
        HoldCode(
            19,
            "HookPrepareJobFailure",
            "A program that the node runs before each job (PREPARE_JOB hook) failed.",
            "Tell the node's administrator; the node's StarterLog says more.",
            "0 where it did not start, else its exit code, or minus the number of its signal",
        ),
        HoldCode(
            20,
            "MissedDeferredExecutionTime",
            "The job was to start at a set time (deferral_time), and that time is past.",
            "Submit it with a later time, or a longer deferral_window.",
        ),
        HoldCode(
            21,
            "StartdHeldJob",
            "The node's own policy (WANT_HOLD) put the job on hold.",
            "Read the reason: such a policy mostly guards memory, disk or time.",
            "set by the node's administrator; HTCondor's own policies give 102 for memory, 104 for disk",
        ),
        HoldCode(
            22,
            "UnableToInitUserLog",
            "HTCondor could not open the job's event log.",
            "See that the log's folder exists, that there is room, and that the job's owner may write there.",
        ),
        HoldCode(
            23,
            "FailedToAccessUserAccount",
            "HTCondor could not switch to the account of the job's owner.",
            "Have the administrator see that the account exists there (`id NAME`), with the same number on all hosts.",
        ),
        HoldCode(
            24,
            "NoCompatibleShadow",
            "The access point has no shadow program that can look after this job.",
            "Tell the access point's administrator: SHADOW or the job's universe is not set up.",
        ),
        HoldCode(
            25,
            "InvalidCronSettings",
            "The job's cron settings (cron_minute and so on) are not valid.",
            "Correct them in the submit description.",
        ),
        HoldCode(
            26,
            "SystemPolicy",
            "The access point's policy (SYSTEM_PERIODIC_HOLD) put the job on hold.",
            "Read the reason: such a policy mostly limits memory, disk, run time or the number of starts.",
            "set by the access point's administrator",
        ),
        HoldCode(
            27,
            "SystemPolicyUndefined",
            "One of the access point's policy expressions has no value for this job.",
            "Tell the access point's administrator: a SYSTEM_PERIODIC expression names an attribute that isn't there.",
        ),
        *(
            HoldCode(number, name, "The owner of the job's folder on the node could not be changed.", _OLD)
            for number, name in enumerate(
                (
                    *("GlexecChownSandboxToUser", "PrivsepChownSandboxToUser"),
                    *("GlexecChownSandboxToCondor", "PrivsepChownSandboxToCondor"),
                ),
                start=28,
            )
        ),
        HoldCode(
            32,
            "MaxTransferInputSizeExceeded",
            "The job's input files are larger than the pool lets HTCondor copy (MAX_TRANSFER_INPUT_MB).",
            "Read large files from the shared folder, or ask for a higher max_transfer_input_mb.",
        ),
        HoldCode(
            33,
            "MaxTransferOutputSizeExceeded",
            "The job's results are larger than the pool lets HTCondor copy (MAX_TRANSFER_OUTPUT_MB).",
            "Write large files to the shared folder, or ask for a higher max_transfer_output_mb.",
        ),
        HoldCode(
            34,
            "JobOutOfResources",
            "The job used more memory or disk than it asked for, and the node stopped it.",
            f"Ask for more in the rule's resources: {setting('mem_mb')} or {setting('disk_mb')}.",
            "102 for memory, 104 for disk; older versions give 0 for memory",
        ),
        HoldCode(
            35,
            "InvalidDockerImage",
            "The job's container image does not exist or can't be fetched.",
            "Check the image's name, and that the node may fetch it: `docker pull IMAGE` on a node.",
        ),
        HoldCode(
            36,
            "FailedToCheckpoint",
            "The job failed when it was told to save its state.",
            "See why the job doesn't end as it should at its checkpoint signal, or leave out checkpoint_exit_code.",
        ),
        HoldCode(
            37,
            "EC2UserError",
            "The EC2 job's submit description has an error.",
            _EC2,
            "1 no public key file, 2 no private key file, 4 no service URL, 9 not authenticated, 10 SSH key pair of no "
            "use there, 20 cancelled by a person",
        ),
        HoldCode(
            38,
            "EC2InternalError",
            "HTCondor's part for EC2 has an internal error.",
            _EC2,
            "3 grid resource isn't EC2, 5 it isn't set, 7 job id isn't of EC2, 21 unexpected status",
        ),
        HoldCode(
            39,
            "EC2AdminError",
            "HTCondor's part for EC2 is not set up.",
            _EC2,
            "6 EC2_GAHP isn't defined",
        ),
        HoldCode(
            40,
            "EC2ConnectionProblem",
            "The connection to EC2 failed.",
            _EC2,
            "11 at the SSH key pair, 12 at an instance's start, 17 at a spot request",
        ),
        HoldCode(
            41,
            "EC2ServerError",
            "EC2 ended the instance in an unexpected way.",
            _EC2,
            "13 not a normal end, 14 an unknown one, 22 the service was away for too long",
        ),
        HoldCode(
            42,
            "EC2InstancePotentiallyLostError",
            "An EC2 instance may still run, and HTCondor lost sight of it.",
            "Look for it in Amazon's console, so that it costs nothing more.",
            "15 and 17 connection failed at its end, 16 and 18 it didn't end, 19 spot request vanished",
        ),
        HoldCode(
            43,
            "PreScriptFailed",
            "The script that runs on the node before the job (+PreCmd) failed.",
            "Run that script by hand on a node; its own output says why.",
        ),
        HoldCode(
            44,
            "PostScriptFailed",
            "The script that runs on the node after the job (+PostCmd) failed.",
            "Run that script by hand on a node; its own output says why.",
        ),
        HoldCode(
            45,
            "SingularityTestFailed",
            "The node's trial of Apptainer (Singularity) failed before the job was to start in it.",
            "Tell the node's administrator, and check the image; other nodes may work.",
        ),
        HoldCode(
            46,
            "JobDurationExceeded",
            "The job took longer than its allowed_job_duration, file transfer included.",
            "Allow more time, or divide the work.",
        ),
        HoldCode(
            47,
            "JobExecuteExceeded",
            "The job ran longer than its allowed_execute_duration.",
            "Allow more time, such as by the rule's runtime, or divide the work.",
        ),
        HoldCode(
            48,
            "HookShadowPrepareJobFailure",
            "A program that the access point runs before each job (shadow's PREPARE_JOB hook) failed.",
            "Tell the access point's administrator; the ShadowLog says more.",
        ),
        HoldCode(
            49,
            "CannotSwitchPrimaryGroup",
            "The access point could not make the job's primary_unix_group its primary group.",
            "Name a group of which you are a member on the access point (`id` there lists them), or leave it out.",
        ),
    )
}

# Why a running job went back into the queue, to be put after "evicted: ".
VACATE_CODES: Mapping[int, tuple[str, str]] = {
    1000: ("JobPolicyVacate", "the job's own policy (periodic_vacate) came true"),
    1001: ("SystemPolicyVacate", "the access point's policy (SYSTEM_PERIODIC_VACATE) came true"),
    1002: ("ShadowException", "the access point's shadow, which looks after the job, failed"),
    1003: ("JobNotStarted", "a step before the job's start failed on the node"),
    1004: ("UserVacateJob", "somebody sent it back with condor_vacate_job"),
    1005: ("JobShouldRequeue", "an error that HTCondor doesn't name"),
    1006: ("FailedToActivateClaim", "the node did not accept the job on the slot it had given"),
    1007: ("StarterError", "the node's starter, which runs the job, had an error"),
    1008: ("ReconnectFailed", "the connection to the node was lost, and did not come back in time"),
    1009: ("ClaimDeactivated", "the access point called it back"),
    1010: ("StartdVacateCommand", "the node's administrator sent it away with condor_vacate"),
    1011: ("StartdPreemptExpression", "the node's policy (PREEMPT) no longer wants it"),
    1012: ("StartdException", "the node's startd died of an internal error"),
    1013: ("StartdShutdown", "the node's HTCondor was shut down"),
    1014: ("StartdDraining", "the node is being drained"),
    1015: ("StartdCoalesce", "its slot was joined with others for a job that condor_now hurried"),
    1016: ("StartdHibernate", "the node went to sleep"),
    1017: ("StartdReleaseCommand", "the access point gave the slot back"),
    1018: ("StartdPreemptingClaimRank", "the node prefers another job (RANK)"),
    1019: ("StartdPreemptingClaimUserPrio", "a user with a better priority got the slot"),
    1020: ("VMError", "the node's virtual machine software had an error"),
    1021: ("ContainerError", "the node's container software had an error"),
    1022: ("ScheddVacate", "the access point sent it back"),
    1023: ("JobRemoved", "the job was removed"),
    1024: ("ScratchDirError", "the node's scratch folder had an error"),
    1025: ("SuccessfulCheckpoint", "it saved its state, and could not go on in the same slot"),
    1026: ("ActivationRefusedBadRequest", "the node refused the job: the request lacks something"),
    1027: ("ActivationRefusedNoMatch", "the node refused the job: it no longer fits the slot's requirements"),
    1028: ("ActivationRefusedStillCleaning", "the node refused the job: it still cleans up after the one before"),
    1029: ("ActivationRefusedWorklifeExpired", "the node refused the job: the slot was held for long enough"),
    1030: ("ActivationRefusedPreempted", "the node refused the job: another one takes the slot"),
    1031: ("ActivationRefusedBroken", "the node refused the job: the slot is broken"),
    1032: ("ActivationRefusedNotIdle", "the node refused the job: the slot is busy"),
    1033: ("ActivationRefusedUnclaimed", "the node refused the job: the slot is no longer ours"),
    1034: ("ActivationRefusedClaimNotFound", "the node refused the job: it doesn't know our claim on the slot"),
    1035: ("ActivationRefusedOldClaim", "the node refused the job: our claim on the slot is out of date"),
    1036: ("ActivationRefusedUnhealthy", "the node refused the job: its health check failed"),
}

# The nodes run Linux; the host that reads this may number its errors otherwise.
NOT_PERMITTED, NO_FILE, NO_PROGRAM, NO_ACCESS, NO_FOLDER, NO_SPACE, READ_ONLY, STALE, OVER_QUOTA, TIMEOUT = (
    *(1, 2, 8, 13, 20, 28, 30, 116, 122),
    62,
)
_WORDS_OF_ERRNO = {
    "No such file or directory": NO_FILE,
    "Permission denied": NO_ACCESS,
    "Operation not permitted": NOT_PERMITTED,
    "Exec format error": NO_PROGRAM,
    "Not a directory": NO_FOLDER,
    "No space left on device": NO_SPACE,
    "Read-only file system": READ_ONLY,
    "Stale file handle": STALE,
    "Disk quota exceeded": OVER_QUOTA,
}
_PATH = re.compile(r"'(?P<quoted>[^']*/[^']*)'|(?<!\S)(?P<bare>/\S.*?): (?=\(?errno|[A-Z])")
_OTHER_SIDE = re.compile(r"\b(?P<who>SHADOW|STARTER) at \S+ failed\b")
_AT_POINT = re.compile(r"failure at (?:the )?(?P<who>execution|access) point(?: (?P<name>\S+))? (?:while|using)")
_FROM = re.compile(r"^Error from (?P<name>[^\s:]+):")
# How a policy's reason, or its expression in HTCondor's default one, names memory; and reasons that name nothing.
_MEMORY = re.compile(r"memory|residentset|\brss\b", re.IGNORECASE)
_VAGUE = re.compile(r"\W*|.*(too (large|big|much)|resources?\b|unspecified).*", re.IGNORECASE | re.DOTALL)
_PEAK = re.compile(r"Peak usage: (\d+) megabytes", re.IGNORECASE)


def explain(ad: Mapping[str, Any]) -> Explanation:
    """Say why a job is held, and what to do.

    Parameters
    ----------
    ad
        The attributes of the job that `ATTRIBUTES` names, as far as they are known.

    Examples
    --------
    >>> ad = {"HoldReasonCode": 34, "HoldReasonSubCode": 102, "MemoryUsage": 612, "RequestMemory": 250}
    >>> explain(ad).happened
    'Out of memory: it used 612 MB of the 250 MB it asked for.'
    """
    number = ad.get("HoldReasonCode")
    if not isinstance(number, int) or number not in HOLD_CODES:
        return _unknown(ad)
    code = HOLD_CODES[number]
    if number in _SPECIAL:
        found = _SPECIAL[number](code, ad)
        if found:
            return found
    return _plain(code, ad)


def _plain(code: HoldCode, ad: Mapping[str, Any]) -> Explanation:
    """Return a code's own sentences, with HTCondor's reason behind them."""
    return Explanation(f"{code.happened}{_quoted(ad)}", code.todo.format(job=_job(ad)))


def _unknown(ad: Mapping[str, Any]) -> Explanation:
    number = _int(ad, "HoldReasonCode")
    which = "no code" if number is None else f"code {number}, subcode {_int(ad, 'HoldReasonSubCode') or 0}"
    reason = _reason(ad)
    said = reason.rstrip(".") or "HTCondor gives no reason"
    return Explanation(f"{said} ({which}).", f"HTCondor's manual has a table of its hold codes: {MANUAL}")


def _reason(ad: Mapping[str, Any]) -> str:
    return str(ad.get("HoldReason") or "").strip()


def _sentence(text: str) -> str:
    return text if text.endswith((".", "!", "?")) else f"{text}."


def _quoted(ad: Mapping[str, Any]) -> str:
    return f" HTCondor says: {_sentence(_reason(ad))}" if _reason(ad) else ""


def _job(ad: Mapping[str, Any]) -> str:
    return str(ad.get("ClusterId", "JOB"))


def _int(ad: Mapping[str, Any], name: str) -> int | None:
    value = ad.get(name)  # an attribute without a value is an object of the bindings
    return round(value) if isinstance(value, int | float) and not isinstance(value, bool) else None


# --- memory and disk ---


def _out_of_resources(code: HoldCode, ad: Mapping[str, Any]) -> Explanation | None:
    words = _reason(ad).lower()
    if _int(ad, "HoldReasonSubCode") == DISK or ("disk" in words and "memory" not in words):
        return _out_of_disk(ad)
    return _out_of_memory(ad)


def _policy(code: HoldCode, ad: Mapping[str, Any]) -> Explanation | None:
    """Say which figure is above its request, where a policy's reason names it, or may mean it."""
    subcode, reason = _int(ad, "HoldReasonSubCode") if code.number == 21 else None, _reason(ad)
    memory, disk = _above(ad, "MemoryUsage", "RequestMemory"), _above(ad, "DiskUsage", "RequestDisk")
    memory = memory and subcode in (None, 0)
    if subcode == DISK:
        found = _out_of_disk(ad)
    elif subcode == MEMORY or (memory and _MEMORY.search(reason)):
        found = _out_of_memory(ad)
    elif disk and "disk" in reason.lower():
        found = _out_of_disk(ad)
    elif memory and _VAGUE.fullmatch(reason):
        return _perhaps_out_of_memory(code, ad)
    else:
        return None
    return Explanation(f"{found.happened} {code.happened}{_quoted(ad)}", found.todo)


def _perhaps_out_of_memory(code: HoldCode, ad: Mapping[str, Any]) -> Explanation:
    used, asked, more = _int(ad, "MemoryUsage"), _int(ad, "RequestMemory"), _out_of_memory(ad).todo
    return Explanation(
        f"{code.happened}{_quoted(ad)} It used {used:,} MB of memory and asked for {asked:,} MB, which may be why.",
        f"Where it is: {more[0].lower()}{more[1:]}",
    )


def _above(ad: Mapping[str, Any], used: str, asked: str) -> bool:
    have, want = _int(ad, used), _int(ad, asked)
    return have is not None and want is not None and have > want


def _out_of_memory(ad: Mapping[str, Any]) -> Explanation:
    asked = _int(ad, "RequestMemory")
    peak = _PEAK.search(_reason(ad))
    used = max((value for value in (int(peak[1]) if peak else None, _int(ad, "MemoryUsage")) if value), default=None)
    if asked is None:
        said = f"Out of memory: it used {used:,} MB." if used else "Out of memory."
        return Explanation(said, f"Ask for more in the rule's resources: {setting('mem_mb')}.")
    if used is None or used < asked / 2:
        # The kernel stops a job in a moment, and the usage that the queue knows is minutes old.
        said = f"Out of memory: it went beyond the {asked:,} MB it asked for."
    else:
        said = f"Out of memory: it used {used:,} MB of the {asked:,} MB it asked for."
    # What it would have used is not known: it was stopped.
    more = _rounded_up(max((used or 0) * HEADROOM, asked * 1.5))
    return Explanation(said, f"Ask for more in the rule's resources, such as {setting('mem_mb', f'mem_mb={more}')}.")


def _out_of_disk(ad: Mapping[str, Any]) -> Explanation:
    used, asked = _int(ad, "DiskUsage"), _int(ad, "RequestDisk")
    if asked is None:
        return Explanation("Out of disk on the node.", f"Ask for more in the rule's resources: {setting('disk_mb')}.")
    used_mb, asked_mb = math.ceil((used or 0) / 1024), math.ceil(asked / 1024)
    if used_mb < asked_mb / 2:
        said = f"Out of disk: it went beyond the {asked_mb:,} MB it asked for on the node."
    else:
        said = f"Out of disk: it used {used_mb:,} MB on the node, of the {asked_mb:,} MB it asked for."
    more = _rounded_up(max(used_mb * HEADROOM, asked_mb * 1.5))
    return Explanation(said, f"Ask for more in the rule's resources, such as {setting('disk_mb', f'disk_mb={more}')}.")


def _rounded_up(megabytes: float) -> int:
    return math.ceil(megabytes / 100) * 100


# --- files, folders and programs ---


def _files(code: HoldCode, ad: Mapping[str, Any]) -> Explanation | None:
    """Say which file or folder, where, and what is wrong with it."""
    error = _errno(ad)
    what, path, place = _WHAT[code.number], _path(code, ad), _place(ad)
    thing = f"{what} {path}" if path else what
    if error in (NO_FILE, NO_FOLDER, STALE):
        return _missing(code, thing, path, place)
    if error in (NO_ACCESS, NOT_PERMITTED):
        return Explanation(
            f"The job's account may not use the {thing} {place}.",
            f"See whose it is and who may write there (`ls -ld {path or 'FOLDER'}`). Where jobs run as nobody, have "
            "the node's UID_DOMAIN set to the access point's; accounts need the same numbers on all hosts.",
        )
    if error in (NO_SPACE, OVER_QUOTA):
        full = "The disk is full" if error == NO_SPACE else "The quota is used up"
        return Explanation(f"{full} for the {thing} {place}.", "Free some space there, then release the job.")
    if error == READ_ONLY:
        return Explanation(
            f"The {thing} is on a folder that is mounted read-only {place}.", "Have it mounted for writing."
        )
    if code.number in (12, 13) and (error == TIMEOUT or (error or 0) >= 256):
        how = "took too long" if error == TIMEOUT else f"failed with exit code {(error or 0) >> 8}"
        return Explanation(f"{code.happened} A transfer plugin {how}.{_quoted(ad)}", "See the plugin's words above.")
    return None


def _missing(code: HoldCode, thing: str, path: str, place: str) -> Explanation:
    if code.number == 12:
        return Explanation(
            f"The {thing} is not there {place}, so it can't be brought back.",
            "See whether the job made it; with a shared folder, set should_transfer_files to NO.",
        )
    if code.number == 13:
        return Explanation(f"The {thing} is not there {place}.", "See that it exists before the job is submitted.")
    return Explanation(
        f"The {thing} is not there {place}.",
        f"See that its folder exists and is mounted there at the same path (`ls -ld {path or 'FOLDER'}` on that host).",
    )


def _program(code: HoldCode, ad: Mapping[str, Any]) -> Explanation | None:
    error, path, place = _errno(ad), _path(code, ad) or str(ad.get("Cmd") or ""), _place(ad)
    program = f"program {path}" if path else "program"
    if error in (NO_FILE, NO_FOLDER):
        return Explanation(
            f"The {program} is not there {place}, or what its first line names is not.",
            "Have it at this very path on every node, such as in an environment on the shared folder.",
        )
    if error in (NO_ACCESS, NOT_PERMITTED):
        return Explanation(
            f"The {program} may not be executed {place}.",
            f"Make it executable (`chmod +x {path or 'PROGRAM'}`), and see that its folder isn't mounted with noexec.",
        )
    if error == NO_PROGRAM:
        return Explanation(
            f"The {program} is made for another kind of machine, or a script without a first line such as #!/bin/sh.",
            "Add that line, or build the program for the node's processor.",
        )
    return None


def _account(code: HoldCode, ad: Mapping[str, Any]) -> Explanation | None:
    found = re.search(r"user:? (\S+)", _reason(ad))
    if not found:
        return None
    name = found[1].strip("'\".")
    return Explanation(
        f"HTCondor could not switch to the account {name} {_place(ad)}.",
        f"Have the administrator see that the account exists there (`id {name}`), with the same number on all hosts.",
    )


def _errno(ad: Mapping[str, Any]) -> int | None:
    """Return the system's error number: the subcode, or what the reason tells."""
    subcode = _int(ad, "HoldReasonSubCode")
    if subcode:
        return subcode
    if found := re.search(r"errno[ =:]+(\d+)", _reason(ad)):
        return int(found[1])
    return next((number for words, number in _WORDS_OF_ERRNO.items() if words.lower() in _reason(ad).lower()), None)


def _path(code: HoldCode, ad: Mapping[str, Any]) -> str:
    found = _PATH.search(_reason(ad))
    if found:
        return found["quoted"] or found["bare"]
    return str(ad.get("Iwd") or "") if code.number == 14 else ""


def _place(ad: Mapping[str, Any]) -> str:
    """Return where it happened; HTCondor says so in several ways."""
    reason = _reason(ad)
    node = _host(str(ad.get("RemoteHost") or ad.get("LastRemoteHost") or ""))
    if found := _AT_POINT.search(reason):
        side, node = found["who"], (_host(found["name"] or "") if found["who"] == "execution" else "") or node
    elif found := _OTHER_SIDE.search(reason):
        side = "access" if found["who"] == "SHADOW" else "execution"
    else:
        side = "execution" if _FROM.search(reason) else "access"
    if side == "access":
        return "on the access point"
    if found := _FROM.search(reason):
        node = _host(found["name"])
    return f"on {node}" if node else "on the node"


def _host(slot: str) -> str:
    return slot.rpartition("@")[2]


_WHAT = {
    7: "file for standard output or error",
    8: "file for standard input",
    9: "file for standard output or error",
    10: "file for standard input",
    12: "file",
    13: "file",
    14: "working folder",
}
_SPECIAL: Mapping[int, Callable[[HoldCode, Mapping[str, Any]], Explanation | None]] = {
    **dict.fromkeys((3, 21, 26), _policy),
    6: _program,
    **dict.fromkeys(_WHAT, _files),
    23: _account,
    34: _out_of_resources,
}


def vacated(code: int | None, subcode: int | None = None) -> str:
    """Say why a running job went back into the queue.

    >>> vacated(1014)
    'the node is being drained'
    """
    if code is not None and code in VACATE_CODES:
        return VACATE_CODES[code][1]
    if code and code in HOLD_CODES:
        happened = HOLD_CODES[code].happened.rstrip(".")  # an eviction may carry the code of the hold that caused it
        return happened[0].lower() + happened[1:] if not happened.startswith(("HTCondor", "EC2")) else happened
    return "HTCondor doesn't say why" if not code else f"vacate code {code}, subcode {subcode or 0}"


def markdown() -> str:
    """Return the page of all codes, as the documentation has it."""
    lines = [
        "# HTCondor's hold codes, in plain words",
        "",
        "A held job stays in the queue and does nothing until somebody releases or removes it. HTCondor says why by a",
        "code: `condor_q -held` shows the reason, `condor_q JOB -af HoldReasonCode HoldReasonSubCode` the numbers.",
        f"The names are HTCondor's ([its own table]({MANUAL})). This page is made by",
        "`python -m snakemake_logger_plugin_htcondor.codes`.",
        "",
        "| Code | Name | What happened | What to do | Subcode |",
        "| ---: | --- | --- | --- | --- |",
        *(
            f"| {code.number} | {code.name} | {code.happened} | {code.todo.format(job='JOB')} | {code.subcode or '–'} |"
            for code in HOLD_CODES.values()
        ),
        "",
        "Well-known numbers of system errors: 2 no such file, 8 not a program, 13 permission denied, 28 disk full,",
        "30 mounted read-only, 116 stale file handle of a shared folder, 122 quota used up.",
        "",
        "## Vacate codes",
        "",
        "An evicted job goes back into the queue and starts again by itself. Its event log says why.",
        "",
        "| Code | Name | Why |",
        "| ---: | --- | --- |",
        *(f"| {number} | {name} | {why[0].upper()}{why[1:]}. |" for number, (name, why) in VACATE_CODES.items()),
        "",
    ]
    return "\n".join(lines)


if __name__ == "__main__":
    print(markdown(), end="")
