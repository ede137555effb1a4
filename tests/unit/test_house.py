"""What must hold of the project as a whole: one lock, one stem a rule, thin glue, documented functions."""

import ast
import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet

from scripts.shared.config import Config, load_config
from scripts.tools import config_docs, environment_file

ROOT = Path(__file__).resolve().parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
MODULES = sorted((ROOT / "scripts").rglob("*.py"))
RULE_FILES = sorted((ROOT / "workflow" / "rules").glob("*.smk"))


def locked():
    """Return the pinned versions by name; a package may have one a Python version."""
    pins = {}
    for line in environment_file.locked((ROOT / "requirements.lock").read_text()):
        requirement = Requirement(line)
        pins.setdefault(requirement.name.lower().replace("_", "-"), []).append(requirement)
    return pins


def test_the_lock_satisfies_every_range_of_the_project():
    pins = locked()
    for text in PROJECT["dependencies"] + PROJECT["optional-dependencies"]["dev"]:
        wanted = Requirement(text)
        for pin in pins[wanted.name.lower()]:
            (version,) = [s.version for s in pin.specifier]
            assert wanted.specifier.contains(version), f"{pin} is outside {wanted}"


def test_the_lock_is_exact_and_hashed():
    text = (ROOT / "requirements.lock").read_text()
    for requirements in locked().values():
        for requirement in requirements:
            assert [s.operator for s in requirement.specifier] == ["=="]
    assert text.count("--hash=sha256:") > len(locked())
    assert "://" not in text


def test_environment_yml_has_the_versions_of_the_lock():
    text = (ROOT / "environment.yml").read_text()
    assert text == environment_file.environment((ROOT / "requirements.lock").read_text()), "run: make lock"
    content = yaml.safe_load(text)
    python = next(d for d in content["dependencies"] if isinstance(d, str) and d.startswith("python "))
    assert SpecifierSet(python.removeprefix("python ")) == SpecifierSet(PROJECT["requires-python"])


def test_the_config_docs_and_the_json_schema_are_as_the_code_says():
    assert (ROOT / config_docs.README).read_text() == config_docs.reference(), "run: make docs"
    assert (ROOT / config_docs.JSON_SCHEMA).read_text() == config_docs.to_json(config_docs.json_schema())


def test_the_config_docs_link_the_pages_that_they_name():
    page = config_docs.reference()
    for name in ("registry", "tuning"):
        assert f"[docs/{name}.md](../docs/{name}.md)" in page
    assert page.count("docs/") == 2 * page.count("](../docs/"), "each of them, once"


def test_every_key_of_the_config_is_described():
    def fields(model):
        for name, info in model.model_fields.items():
            child, _ = config_docs._section_of(info)
            if child is None:
                yield f"{model.__name__}.{name}", info.description
            else:
                yield from fields(child)

    assert [name for name, description in fields(Config) if not description] == []


def test_the_shipped_configs_are_valid():
    paths = sorted(set((ROOT / "config").rglob("*.yaml")) - {ROOT / "config" / "rules.yaml"})
    assert [p.name for p in paths] == ["config.yaml", "german_credit.yaml", "loan_data.yaml", "tuned.yaml"]
    for path in paths:
        load_config(yaml.safe_load(path.read_text()), str(path))


def rules():
    """Yield (name, text) of every rule."""
    for path in RULE_FILES:
        blocks = re.split(r"^ *rule ?(\w*):$", path.read_text(), flags=re.MULTILINE)[1:]
        for name, text in zip(blocks[::2], blocks[1::2], strict=True):
            yield name or re.search(r'name:\s+f"(\w+?)_\{(?:NAME|NUMBER)\}', text)[1], text


def test_every_rule_says_what_it_needs_and_leaves():
    names = [name for name, _ in rules()]
    assert sorted(names) == sorted(
        [
            *("divide", "preprocess", "split", "check", "split", "tune", "gather", "train", "cross_validate", "score"),
            *("evaluate", "compare", "select", "predict", "divide_application", "predict_share", "join"),
            *("predict_batch", "profile", "explain", "screen", "draw_rules", "report"),
        ]
    )
    for name, text in rules():
        for directive in ("input", "output", "log", "benchmark", "threads", "resources", "message", "conda", "shell"):
            assert re.search(rf"^ +{directive}:", text, re.MULTILINE), f"{name} lacks {directive}:"


# Rules whose module has another name: scripts/select.py would hide Python's own select; the others run a step on a
# different kind of file, or two steps at once.
MODULE_OF = {"select": ["select_model"], "split": ["check_and_split", "split"]}
MODULE_OF |= {"profile": ["profile_data"]}  # profile would hide Python's own
MODULE_OF |= {"divide_application": ["divide"], "predict_share": ["predict"]}


def test_rule_module_log_and_benchmark_share_a_stem():
    for name, text in rules():
        stem = "train_{NAME}" if name == "train" else name
        assert f'"results/logs/{stem}/' in text
        assert f'"results/benchmarks/{stem}/' in text
        module = re.search(r'step\(\s*"(\w+)"', text)[1]
        assert module in MODULE_OF.get(name, [name])
        assert f'code_of("{module}")' in text
        assert (ROOT / "scripts" / f"{module}.py").exists()


@pytest.mark.parametrize("path", MODULES, ids=lambda p: str(p.relative_to(ROOT)))
def test_steps_know_nothing_of_snakemake(path):
    for node in ast.walk(ast.parse(path.read_text())):
        names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
        assert not any(name.split(".")[0] == "snakemake" for name in names), "only the glue may import Snakemake"
        assert not (isinstance(node, ast.Name) and node.id == "snakemake")


@pytest.mark.parametrize("path", MODULES, ids=lambda p: str(p.relative_to(ROOT)))
def test_public_functions_and_classes_are_documented(path):
    tree = ast.parse(path.read_text())
    assert path.name == "__init__.py" or ast.get_docstring(tree), "a module says what it is for"
    for node in public_definitions(tree):
        assert ast.get_docstring(node), f"{node.name} has no docstring"


def public_definitions(node):
    """Yield the functions and classes that others may use: not those within functions."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.FunctionDef | ast.ClassDef):
            if not child.name.startswith("_"):
                yield child
            if isinstance(child, ast.ClassDef):
                yield from public_definitions(child)


@pytest.mark.parametrize(
    ("module", "heavy"),
    [
        ("gather", {"numpy", "pandas", "polars", "pyarrow", "sklearn"}),
        ("shared.plan", {"numpy", "pandas", "polars", "pyarrow", "sklearn"}),  # what the Snakefile needs
        ("compare", {"numpy", "pandas", "polars", "pyarrow", "pydantic", "sklearn"}),
        ("select_model", {"numpy", "pandas", "polars", "pyarrow", "sklearn"}),
        ("split", {"pandas", "polars", "sklearn"}),
        ("preprocess", {"pandas", "sklearn"}),
    ],
)
def test_a_step_imports_only_what_it_uses(module, heavy):
    """An import costs each job up to a second (benchmarks/README.md)."""
    code = f"import sys, scripts.step, scripts.{module}; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert not heavy & set(done.stdout.split())


def test_no_step_from_raw_files_to_the_split_loads_pandas_on_the_way(tmp_path):
    """Arrow does so behind one's back (scripts/shared/arrays.py)."""
    rows = [f"{n},{n % 60 + 10},{'AB'[n % 2]},{n % 3 // 2}" for n in range(200)]
    bad = ["-1,oops,A,0", "-2, 12 ,C,0", "-3,1e999,A,0", ",1,A,1", '-4,"1,5",A,', "-5,99,?,1"]
    (tmp_path / "raw.csv").write_text("\n".join(["id,x,t,y", *rows, *bad, ""]))
    code = """
import sys
from pathlib import Path
from builders import config
from scripts import check, preprocess, split
from scripts.shared.config import Rejects
at, settings = Path(sys.argv[1]), config(**{
    "columns": {"id": "id", "target": {"column": "y", "positive": "1"}, "numeric": ["x"], "categorical": ["t"]},
    "cleaning": {"bounds": {"x": {"max": 65}},
                 "checks": {"c": {"require": "x > 11", "column": "x", "otherwise": "missing"}}},
    "features": {"double": "2 * x"},
})
preprocess.preprocess(at / "raw.csv", at / "p", at / "r", settings.contract(), Rejects())
found = check.Dataset([at / "p"], settings.columns, settings.split, at).duplicates()
split.split(at / "p", [], at / "m", settings.columns, settings.split)
print("pandas" in sys.modules)
"""
    paths = os.pathsep.join([str(ROOT), str(ROOT / "tests/unit")])
    command = [sys.executable, "-c", code, str(tmp_path)]
    done = subprocess.run(command, env=os.environ | {"PYTHONPATH": paths}, capture_output=True, text=True, check=False)
    assert done.stdout == "False\n", done.stderr
