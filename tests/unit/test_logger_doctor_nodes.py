"""What a node's answer means; the probe itself runs here, against a folder of the test's own."""

import json
import os
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest
from snakemake_logger_plugin_htcondor.doctor import checks, imports, mounts, nodes, questions, versions
from snakemake_logger_plugin_htcondor.doctor.nodes import Finding, Here
from snakemake_logger_plugin_htcondor.doctor.report import Result

from tests.unit.test_logger_alike import Fake, job, slot

PACKAGE = Path(nodes.__file__).parent
NONCE = "0123abcd"


# --- mounts ---

MOUNTINFO = [
    "21 1 8:1 / / rw,relatime shared:1 - ext4 /dev/vda1 rw,errors=remount-ro",
    "30 21 0:40 / /data rw,relatime - nfs4 server:/data rw,vers=4.2,hard,acregmin=3,acregmax=60,local_lock=none",
    "31 21 0:41 / /data/with\\040space ro,relatime - nfs server:/s rw,soft,nolock,acdirmax=600,local_lock=all",
    "32 21 0:42 / /hidden rw - ext4 /dev/a rw",
    "33 21 0:43 / /hidden rw - tmpfs none rw",
    "a line of nonsense",
]


@pytest.mark.parametrize(
    ("path", "point", "kind"),
    [
        ("/data/x", "/data", "nfs4"),
        ("/database", "/", "ext4"),
        ("/data/with space/x", "/data/with space", "nfs"),
        ("/hidden/x", "/hidden", "tmpfs"),
        ("/", "/", "ext4"),
    ],
)
def test_the_mount_of_a_folder(path, point, kind):
    mount = mounts.mount_of(path, MOUNTINFO)
    assert (mount.point, mount.kind) == (point, kind)


def test_no_table_no_mount():
    assert mounts.mount_of("/x", []) is None
    assert nodes.mount_finding("node.mount", "/x", []).result is Result.NOT_RUN


def options_of(options, kind="nfs4", own="rw"):
    mount = mounts.mount_of("/m", [f"1 0 0:1 / /m {own} - {kind} s:/x {options}"])
    return [option for option, _ in mounts.trouble(mount)]


@pytest.mark.parametrize(
    ("options", "hurt"),
    [
        ("rw,hard,vers=4.2", []),
        ("rw,soft", ["soft"]),
        ("rw,softerr", ["softerr"]),
        ("rw,acregmax=60,acdirmax=60", []),
        ("rw,acregmax=61,acdirmax=120", ["acregmax=61", "acdirmax=120"]),
        ("rw,actimeo=600", ["actimeo=600"]),
        ("rw,noac,sync,nocto", ["noac", "sync", "nocto"]),
        ("rw,nolock,local_lock=all", ["nolock"]),
        ("rw,local_lock=flock", ["local_lock=flock"]),
        ("rw,local_lock=none", []),
    ],
)
def test_nfs_options_that_hurt(options, hurt):
    assert options_of(options) == hurt


def test_options_of_other_file_systems_are_their_own_affair():
    assert options_of("rw,sync,soft", kind="ext4") == []
    assert options_of("rw", kind="ext4", own="ro") == ["ro"]


def test_an_option_is_told_with_its_reason():
    found = nodes.mount_finding("folder.mount", "/data/with space/x", MOUNTINFO)
    assert found.result is Result.FAIL  # it is read-only
    assert "acdirmax=600: what another host changes in folders is seen up to 600 s late" in found.sentence
    assert found.remedy.endswith("to mount it without: ro, soft, acdirmax=600, nolock")
    soft = nodes.mount_finding("folder.mount", "/m/x", ["1 0 0:1 / /m rw - nfs s:/x rw,soft"])
    assert soft.result is Result.WARN


# --- clocks ---


@pytest.mark.parametrize(
    ("told", "began", "seen", "ahead"),
    [
        (1000.0, 999.0, 1001.0, 0.0),
        (1010.0, 999.0, 1001.0, 9.0),
        (990.0, 999.0, 1001.0, -8.0),
        (998.5, 999.0, 1001.0, 0.0),  # within the slack
        (990.0, None, 1001.0, 0.0),
        (1010.0, 999.0, None, 0.0),
    ],
)
def test_only_what_is_certain_is_told_of_a_clock(told, began, seen, ahead):
    assert nodes.skew(told, began, seen) == pytest.approx(ahead)


# --- space ---


@pytest.mark.parametrize(
    ("left", "total", "result"),
    [
        (1023, 2000, Result.WARN),
        (1024, 2000, Result.PASS),
        (10_000, 201_000, Result.WARN),
        (10_000, 199_000, Result.PASS),
        (50 << 10, 100 << 20, Result.PASS),
        ((50 << 10) - 1, 100 << 20, Result.WARN),
        (4 << 20, 100 << 20, Result.PASS),
    ],
)
def test_space_is_short_below_a_gigabyte_or_below_fifty_and_five_percent(left, total, result):
    assert nodes.space_finding("folder.space", [("/x", left, total)]).result is result


def test_of_two_folders_the_full_one_is_named():
    found = nodes.space_finding("folder.space", [("/a", 50_000, 90_000), ("/b", 10, 90_000)])
    assert found.sentence == "/b has 10 MB of 87.9 GB left, less than 1 GB, or than 50 GB and 5%"


def test_nodes_that_have_more_or_less_space_are_told_in_few_lines():
    def found(left):
        return nodes.space_finding("node.space", [("the scratch folder", left, 2 << 20)])

    told = nodes.together({f"ep{number}": [found((200 << 10) + number * 100)] for number in range(200)})
    assert [check.line for check in told] == ["ep0, ep1, ep2 and 197 more: at least 128 GB are free"]


# --- the probe, run for real ---


def here(folder, **changes):
    about = {"uid": os.getuid(), "python": sys.executable, "version": sys.version.split()[0]}
    return Here(str(folder), NONCE, **(about | {"packages": versions.versions(["rich", "pyyaml"])} | changes))


@pytest.fixture
def place(tmp_path):
    """Scratch folder, and working folder with what the access point puts there."""
    scratch, folder = tmp_path / "scratch", tmp_path / "working folder"
    own = folder / ".snakemake" / "htcondor-doctor" / NONCE
    own.mkdir(parents=True)
    scratch.mkdir()
    (own / "from-access-point").write_text(NONCE + "\n")
    for name in ("probe.sh", "versions.py", "imports.py"):
        shutil.copy(PACKAGE / name, scratch)
    (scratch / "names.txt").write_text("rich\npyyaml\n")
    return scratch, folder, own


def probe(place, python=sys.executable, seconds="20", **changes):
    """Run the probe and return the row that the doctor makes of it."""
    scratch, folder, own = place
    began = time.time()
    done = subprocess.run(
        ["/bin/sh", "probe.sh", str(folder), NONCE, "node-0", python, seconds, "4000"],
        cwd=scratch,
        capture_output=True,
        text=True,
        check=False,
        timeout=30,
    )
    seen = own / "node-0.seen"
    row = {"node": "ep1", "output": done.stdout, "began": began, "seen": time.time(), "held": "", "started": True}
    row |= {"given_back": [], "late": False, "refused": False}
    row |= {"content": "", "owner": None}
    if seen.exists():
        row |= {"content": seen.read_text().strip(), "owner": seen.stat().st_uid}
    return row | changes


def judged(row, of, state="free"):
    return {found.id: found for found in nodes.findings(row, of, state, 60)}


def wrong(found):
    return {name for name, one in found.items() if one.result is not Result.PASS}


def test_a_healthy_node(place):
    row = probe(place)
    found = judged(row, here(place[1]))
    assert wrong(found) - {"node.space", "node.mount"} == set()  # those are this machine's own
    assert set(found) == set(nodes._IDS)
    assert found["node.packages"].sentence == "2 locked packages as here, and they can be imported"
    said = nodes.parse(row["output"])
    assert said["real"] == str(place[1]) and said["uid"] == str(os.getuid())
    assert [len(said[name].split()) for name in ("space", "scratch_space")] == [2, 2]
    assert sorted(path.name for path in place[2].iterdir()) == ["from-access-point", "node-0.seen"]


def test_a_folder_that_is_not_there(place):
    shutil.rmtree(place[1])
    found = judged(probe(place), here(place[1]))
    assert found["node.folder"].sentence == f"{place[1]} can't be opened: No such file or directory"
    assert "node.mount" not in found and found["node.python"].result is Result.PASS


def test_a_folder_that_is_another(place):
    shutil.rmtree(place[2])
    found = judged(probe(place), here(place[1]))
    assert "is not the folder of this host" in found["node.folder"].sentence


def test_a_folder_with_old_content(place):
    (place[2] / "from-access-point").write_text("something else\n")
    assert "another content" in judged(probe(place), here(place[1]))["node.folder"].sentence


def test_a_file_that_cannot_be_read(place):
    (place[2] / "from-access-point").unlink()
    found = judged(probe(place), here(place[1]))["node.folder"]
    assert found.sentence.startswith(f"{place[1]} can't be read: ")


def test_a_folder_that_cannot_be_written(place):
    (place[2] / "node-0.new").mkdir()
    found = judged(probe(place), here(place[1]))["node.folder"]
    assert found.sentence == f"{place[1]} can't be written: Is a directory"


def test_a_file_that_the_access_point_does_not_see(place):
    found = judged(probe(place, content=""), here(place[1]))["node.folder"]
    assert found.sentence == f"what the node writes into {place[1]} isn't seen on this host in time"


def test_another_user(place):
    row = probe(place)
    found = judged(row, here(place[1], uid=os.getuid() + 1))["node.user"]
    assert found.sentence == f"jobs run there with uid {os.getuid()}, here you have uid {os.getuid() + 1}"
    squashed = judged(row | {"owner": 65534}, here(place[1]))["node.user"]
    assert squashed.sentence.startswith("what the node writes belongs to uid 65534 here")


def test_no_python(place):
    found = judged(probe(place, python="/no/such/python"), here(place[1], python="/no/such/python"))
    assert (
        found["node.python"].sentence == "/no/such/python, which runs Snakemake here, does not run there: No such file"
    )
    assert "node.packages" not in found


def test_a_python_that_fails(place):
    found = judged(probe(place, python="/bin/false"), here(place[1]))
    assert found["node.python"].sentence.endswith("does not run there: it ends with an error")


def test_another_python_and_other_packages(place):
    found = judged(probe(place), here(place[1], version="3.9.1", packages={"rich": "0.1", "no-such-package": "1.0"}))
    assert found["node.python"].sentence == f"Python is {sys.version.split()[0]} there and 3.9.1 here"
    there = versions.versions(["rich"])["rich"]
    wanted = f"2 packages differ: no-such-package (missing there, 1.0 here) and rich ({there} there, 0.1 here)"
    assert found["node.packages"].sentence == wanted


def test_a_wrong_clock(place):
    row = probe(place)
    row |= {"began": row["began"] - 100, "seen": row["seen"] - 100}
    found = judged(row, here(place[1]))["node.clock"]
    assert found.result is Result.WARN and "s ahead of this host's" in found.sentence


@pytest.mark.parametrize(
    ("changes", "state", "result", "words"),
    [
        ({"started": False}, "busy", Result.WARN, "did not start there within 60 s: it is busy"),
        ({"started": False}, "draining", Result.WARN, "it is draining"),
        ({"started": False}, "free", Result.WARN, "it gives no answer, though it counts as free"),
        ({"given_back": ["Gone."] * 3}, "free", Result.FAIL, "was sent there and came back 3 times (Gone): "),
        ({"given_back": ["Gone."]}, "free", Result.WARN, "was sent there and came back 1 time (Gone): "),
        ({"started": True}, "busy", Result.FAIL, "started there, and did not end"),
        ({"started": True, "late": True}, "busy", Result.WARN, "started there too late to end within 60 s"),
        ({"refused": True}, "free", Result.NOT_RUN, "no small job (1 core, 512 MB) can start there"),
        (
            {"held": "Error from slot1: no space."},
            "free",
            Result.FAIL,
            "can't run a job there: Error from slot1: no space",
        ),
    ],
)
def test_a_probe_that_did_not_end(changes, state, result, words):
    row = {
        "node": "ep1",
        "output": "",
        "began": None,
        "seen": None,
        "held": "",
        "started": False,
        "given_back": [],
        "late": False,
        "refused": False,
    } | changes
    (found,) = nodes.findings(row, here("/x"), state, 60)
    assert (found.id, found.result) == ("node.probe", result)
    assert words in found.sentence and bool(found.remedy) is (result is not Result.NOT_RUN)


def test_nodes_that_take_other_jobs_only_are_not_waited_for(monkeypatch, tmp_path):
    names = ["ep1", "ep2", "ep3"]
    probes = [
        job(9, f'TARGET.Machine == "{name}"', ProcId=n, SnakemakeDoctorNonce=NONCE) for n, name in enumerate(names)
    ]
    busy = {"Cpus": 0, "NumDynamicSlots": 16}
    pool = Fake([slot(1, start="TARGET.RequestGPUs > 0"), slot(2, **busy)], [*probes, job(10)])
    monkeypatch.setattr(questions.htcondor, "Collector", lambda: pool)
    monkeypatch.setattr(questions.htcondor, "Schedd", lambda: pool)
    watch = questions._Watch(str(tmp_path), tmp_path, names)
    watch.refused = questions._refusing(names, NONCE)
    assert watch.refused == {0}, "one is busy, and of one nothing is known"
    assert watch._settled() == {0}
    assert [row["refused"] for row in watch.found(60)] == [True, False, False]


def test_a_probe_that_began_late_is_told_from_one_that_hangs_or_has_ended(tmp_path):
    watch = questions._Watch(str(tmp_path), tmp_path, ["ep1", "ep2", "ep3", "ep4"])
    watch._began = {0: time.time() - 45, 1: time.time() - 35, 2: time.time() - 5}
    watch._done = {2}
    assert [row["late"] for row in watch.found(60)] == [False, True, False, False]


def test_nodes_that_drain_or_are_off_get_no_small_job(monkeypatch, tmp_path):
    asked = []

    def ask(question, seconds, /, **about):
        asked.append((question, about.get("nodes")))
        row = {"output": "", "held": "no", "given_back": [], "started": False}
        return [{"node": node} | row for node in about["nodes"]] if question == "probe" else {"slots": []}

    def slot_of(machine, state):
        return {"machine": machine, "state": state}

    monkeypatch.setattr(checks, "ask", ask)
    states = {"ep1": "free", "ep2": "draining", "ep3": "offline", "ep4": "draining", "ep5": "busy"}
    told = {
        "schedd": {},
        "negotiator": {"name": "cm"},
        "collector": {"slots": [slot_of(*one) for one in states.items()]},
    }
    found = checks.node_checks(tmp_path, told, 60, [], {})
    assert ("probe", ["ep1", "ep5"]) in asked
    assert [(check.result, check.line) for check in found] == [
        (Result.FAIL, "ep1 and ep5: HTCondor can't run a job there: no"),
        (Result.NOT_RUN, "ep2 and ep4: it is draining, so no small job was sent there, and nothing could be checked"),
        (Result.NOT_RUN, "ep3: it is switched off, so no small job was sent there, and nothing could be checked"),
    ]
    asked.clear()
    off = told | {"collector": {"slots": [slot_of("ep1", "offline")]}}
    (only,) = checks.node_checks(tmp_path, off, 60, [], {})
    assert only.result is Result.NOT_RUN and asked == []


def test_half_an_answer_is_none():
    row = {"node": "ep1", "output": "uid=0\ntime=1", "began": 1.0, "seen": 1.0, "held": "", "started": True}
    row |= {"given_back": [], "late": False, "refused": False}
    (found,) = nodes.findings(row, here("/x"), "free", 60)
    assert found.result is Result.FAIL


def test_nodes_that_are_alike_are_told_in_one():
    good, bad = Finding("node.user", Result.PASS, "fine"), Finding("node.user", Result.FAIL, "not fine", "Mend it")
    probes = Finding("node.probe", Result.PASS, "runs")
    checks = nodes.together({"ep1": [good, probes], "ep2": [bad, probes], "ep3": [good, probes]})
    assert [(check.id, check.line) for check in checks] == [
        ("node.probe", "ep1, ep2 and ep3: runs"),
        ("node.user", "ep2: not fine"),
        ("node.user", "ep1 and ep3: fine"),
    ]


def test_versions_are_printed_for_any_python(tmp_path):
    (tmp_path / "names").write_text("rich\nno-such-package\n")
    command = [sys.executable, str(PACKAGE / "versions.py"), str(tmp_path / "names")]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    found = json.loads(done.stdout)
    assert found["python"] == sys.version.split()[0]
    assert found["packages"]["no-such-package"] is None and found["packages"]["rich"]


# --- imports ---


def package(root, name, modules, version="1.0"):
    """Install a package as pip would: its files, and the record of them."""
    about = root / f"{name}-{version}.dist-info"
    about.mkdir(parents=True)
    (about / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
    for path, text in modules.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(text)
    (about / "RECORD").write_text("".join(f"{path},,\n" for path in modules))


@pytest.fixture
def site(tmp_path, monkeypatch):
    """A folder of packages, some of them broken, that the probe's Python looks into."""
    root = tmp_path / "site"
    package(root, "sound", {"sound/__init__.py": "print('I print')\n"})
    package(root, "torn", {"torn/__init__.py": "from . import part\n", "torn/part.so": "no library\n"})
    package(root, "deadly", {"deadly.py": "import os; os._exit(132)\n", "deadly_part.so": ""})
    monkeypatch.setenv("PYTHONPATH", str(root))
    return root


def imported(place, *names, broken=(), **changes):
    """Run the probe for packages, and return what it finds of them."""
    scratch, folder, _ = place
    (scratch / "names.txt").write_text("\n".join(names) + "\n")
    of = here(folder, packages=dict.fromkeys(names, "1.0"), broken=frozenset(broken))
    return judged(probe(place, **changes), of)["node.packages"]


def test_packages_that_can_be_imported(place, site):
    found = imported(place, "sound")
    assert (found.result, found.sentence) == (Result.PASS, "1 locked package as here, and they can be imported")


def test_a_package_whose_library_is_broken(place, site):
    found = imported(place, "sound", "torn")
    assert found.result is Result.FAIL and found.remedy
    assert found.sentence.startswith("1 package can't be imported there: torn (ImportError: ")
    assert "cannot import name 'part'" in found.sentence or "part.so" in found.sentence


def test_a_package_that_ends_python_is_named(place, site):
    found = imported(place, "deadly", "sound")
    assert found.sentence == ("1 package can't be imported there: deadly (it ends Python itself, with exit code 132)")


def test_a_package_whose_module_is_gone(place, site):
    (site / "sound/__init__.py").unlink()
    (site / "sound").rmdir()
    assert imported(place, "sound").sentence == "1 package can't be imported there: sound (it is not there)"


def test_what_cannot_be_imported_here_either_is_no_fault_of_the_node(place, site):
    assert imported(place, "torn", broken=["torn"]).result is Result.PASS


def test_an_import_that_hangs_ends_with_the_time(place, site):
    package(site, "slow", {"slow.py": "import time; time.sleep(60)\n", "slow_part.so": ""})
    found = imported(place, "slow", seconds="3")
    assert found.result is Result.NOT_RUN
    assert found.sentence.endswith("whether all can be imported is not known: slow took too long")


def test_imports_end_with_the_time_that_they_have(place, site):
    package(site, "late", {"late.py": "import time; time.sleep(3.1)\n", "late_part.so": ""})
    found = imported(place, "late", "sound", seconds="6")
    assert found.result is Result.NOT_RUN
    assert found.sentence == "2 locked packages as here; there was time or memory to import 1 of them, and they can be"


def test_what_fails_on_a_node_is_tried_here(site, monkeypatch):
    rows = [{"output": "broken=torn torn ImportError: x\nbroken=sound sound ImportError: x\n"}, {"output": ""}]
    assert checks._broken_here(rows) == {"torn"}
    assert checks._broken_here([{"output": ""}]) == frozenset()


@pytest.mark.parametrize(
    ("name", "files", "modules"),
    [
        ("scikit-learn", ["sklearn/__init__.py", "sklearn/svm/__init__.py"], ["sklearn"]),
        ("black", ["black/__init__.cpython-311.so", "blackd/__init__.py", "85ca__mypyc.so"], ["black"]),
        ("polars-runtime-32", ["_polars_runtime_32/__init__.py", "_polars_runtime_32/x.so"], ["_polars_runtime_32"]),
        ("Jinja2", ["jinja2/__init__.py"], ["jinja2"]),
        ("six", ["six.py", "../../bin/six"], ["six"]),
        ("types-x", ["x-stubs/__init__.pyi"], []),
    ],
)
def test_what_a_package_is_imported_as(name, files, modules):
    assert imports.modules(files, name) == modules


# --- the job that carries the probe ---


def test_no_macro_is_found_in_the_words_of_the_probe():
    job = questions._probe_job("/tmp/a$(b)", "/data/it's $(X)", "0", "/env/$ENV(HOME)/python", 60.0)
    own = ("$(Number)", "$(Node)", "$(DOLLAR)")
    left = " ".join(job.values())
    for macro in own:
        left = left.replace(macro, "")
    assert not re.search(r"\$\w*\(", left), left
    assert "'/data/it''s $(DOLLAR)(X)'" in job["arguments"]
    assert job["initialdir"] == "/tmp/a$(DOLLAR)(b)"
