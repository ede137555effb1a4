"""Events as HTCondor writes them into a classic event log."""

BEGIN = 1795593600.0  # 2026-11-25 08:00:00 UTC
EP1 = "<10.0.0.4:9618?addrs=10.0.0.4-9618&alias=ep1&noUDP&sock=startd_1>"
EP2 = "<10.0.0.5:9618?addrs=10.0.0.5-9618&alias=ep2&noUDP&sock=startd_1>"

# The events as HTCondor writes them: number, job, time and headline; then lines that a tab begins.
TEXTS = {
    0: "Job submitted from host: <10.0.0.2:9618?addrs=10.0.0.2-9618&alias=ap&noUDP&sock=schedd_1>",
    1: f'Job executing on host: {EP1}\n\tSlotName: slot1_1@ep1\n\tCondorScratchDir = "/execute/dir_9"\n\tCpus = 1',
    4: "Job was evicted.\n\t(0) CPU times\n\t\tUsr 0 00:00:00, Sys 0 00:00:00  -  Run Remote Usage\n"
    "\t\tUsr 0 00:00:00, Sys 0 00:00:00  -  Run Local Usage\n\t0  -  Run Bytes Sent By Job\n"
    "\t0  -  Run Bytes Received By Job\n\tReason: The node's owner wants it back\n\tReason Code/Subcode: 1010/0",
    5: "Job terminated.\n\t(1) Normal termination (return value 0)\n"
    "\t\tUsr 0 00:00:01, Sys 0 00:00:00  -  Run Remote Usage\n\t\tUsr 0 00:00:00, Sys 0 00:00:00  -  Run Local Usage\n"
    "\t\tUsr 0 00:00:01, Sys 0 00:00:00  -  Total Remote Usage\n"
    "\t\tUsr 0 00:00:00, Sys 0 00:00:00  -  Total Local Usage\n"
    "\t0  -  Run Bytes Sent By Job\n\t0  -  Run Bytes Received By Job\n"
    "\t0  -  Total Bytes Sent By Job\n\t0  -  Total Bytes Received By Job\n"
    "\tPartitionable Resources :    Usage  Request Allocated \n"
    "\t   Cpus                 :     0.25        1         1 \n"
    "\t   Disk (KB)            :     2048     1024      4096 \n"
    "\t   Memory (MB)          :      150      200       256 ",
    6: "Image size of job updated: 307200\n\t300  -  MemoryUsage of job (MB)\n\t307200  -  ResidentSetSize of job (KB)",
    7: "Shadow exception!\n\tError from slot1_1@ep1: FileTransfer failed\n"
    "\t0  -  Run Bytes Sent By Job\n\t0  -  Run Bytes Received By Job",
    9: "Job was aborted.\n\tvia condor_rm (by user submit)",
    10: "Job was suspended.\n\tNumber of processes actually suspended: 1",
    11: "Job was unsuspended.",
    12: "Job was held.\n\tmemory 300 MB is above the request of 200 MB\n\tCode 26 Subcode 0",
    13: "Job was released.\n\tvia condor_release (by user submit)",
    22: f"Job disconnected, attempting to reconnect\n    Socket between submit and execute hosts closed unexpectedly\n"
    f"    Trying to reconnect to slot1_1@ep1 {EP1}",
    23: f"Job reconnected to slot1_1@ep1\n    startd address: {EP1}\n    starter address: {EP1}",
    24: "Job reconnection failed\n    Job not found at execution machine\n"
    "    Can not reconnect to slot1_1@ep1, rescheduling job",
}
KILLED = TEXTS[5].replace(
    "(1) Normal termination (return value 0)", "(0) Abnormal termination (signal 9)\n\t(0) No core file"
)
FAILED = TEXTS[5].replace("(return value 0)", "(return value 3)")
# As HTCondor writes it where max_retries or on_exit_remove keeps a job that has ended in the queue.
REQUEUED = (
    "Job was evicted.\n\t(0) Job terminated and was requeued\n"
    "\t\tUsr 0 00:00:01, Sys 0 00:00:00  -  Run Remote Usage\n\t\tUsr 0 00:00:00, Sys 0 00:00:00  -  Run Local Usage\n"
    "\t0  -  Run Bytes Sent By Job\n\t0  -  Run Bytes Received By Job\n"
    "\t(1) Normal termination (return value 3)\n"
    "\tThe job attribute OnExitRemove expression 'NumJobCompletions > JobMaxRetries' evaluated to FALSE"
)


def text(number, seconds=0.0, cluster=7, words=None):
    """Return an event as it stands in an event log, so many seconds after BEGIN."""
    minute, second = divmod(seconds, 60)
    head = f"{number:03} ({cluster:03}.000.000) 2026-11-25 08:{minute:02.0f}:{second:06.3f}Z"
    return f"{head} {words or TEXTS[number]}\n...\n"


def execute(host, at=0.0):
    words = TEXTS[1] if host == "ep1" else TEXTS[1].replace(EP1, EP2).replace("slot1_1@ep1", "slot1_1@ep2")
    return text(1, at, words=words)
