"""What the pages say must be there: every relative link leads to a file and heading, every make target exists."""

import re
import subprocess
from pathlib import Path
from urllib.parse import unquote

import pytest

ROOT = Path(__file__).resolve().parents[2]
# Pages that are kept, or about to be: neither what a run makes nor an environment's own.
LISTED = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "*.md"]
PAGES = [ROOT / name for name in subprocess.check_output(LISTED, cwd=ROOT, text=True).split("\n") if name]
TARGETS = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))


def page_name(path):
    """Return a page's path in the project, for the names of tests."""
    return path.relative_to(ROOT).as_posix()


def without_code(text):
    """Return the prose: what looks like a link in code is none."""
    return re.sub(r"`[^`\n]*`", "", re.sub(r"^(```|~~~).*?^\1", "", text, flags=re.MULTILINE | re.DOTALL))


def links(text):
    """Return the targets of the relative links and images of a page."""
    found = re.findall(r"\]\(\s*<?([^)\s>]+)>?[^)]*\)", without_code(text))
    found += re.findall(r"^\[[^\]]+\]:\s*(\S+)", without_code(text), re.MULTILINE)
    return [link for link in found if not re.match(r"[a-z][a-z0-9+.-]*:", link)]


def anchors(text):
    """Return the anchors of a page's headings, as GitHub makes them."""
    seen = {}
    fenceless = re.sub(r"^(```|~~~).*?^\1", "", text, flags=re.MULTILINE | re.DOTALL)
    for heading in re.findall(r"^#{1,6}\s+(.+?)\s*#*$", fenceless, re.MULTILINE):
        shown = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading)
        slug = re.sub(r"[^\w\- ]", "", shown.lower()).replace(" ", "-")
        seen[slug] = seen.get(slug, -1) + 1
        yield f"{slug}-{seen[slug]}" if seen[slug] else slug


def broken_links(page):
    """Return a sentence for each link of a page that leads nowhere."""
    for link in links(page.read_text(encoding="utf-8")):
        path, _, anchor = unquote(link).partition("#")
        target = (page.parent / path).resolve() if path else page
        if not target.exists():
            yield f"{link}: there is no such file"
        elif anchor and anchor not in anchors(target.read_text(encoding="utf-8")):
            yield f"{link}: there is no such heading"


def targets(text):
    """Return the make targets that a page names, in code."""
    code = re.findall(r"`([^`\n]+)`", text) + re.findall(r"^```\w*\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    named = re.findall(r"(?:^|[^\w-])make((?: [a-z][a-z-]*(?![\w=./-]))+)", "\n".join(code), re.MULTILINE)
    return {target for words in named for target in words.split()}


def test_there_are_pages():
    assert {"README.md", "CONTRIBUTING.md", "docs/pool.md", "config/README.md"} <= {page_name(page) for page in PAGES}


@pytest.mark.parametrize("page", PAGES, ids=page_name)
def test_every_relative_link_leads_somewhere(page):
    assert list(broken_links(page)) == []


@pytest.mark.parametrize("page", PAGES, ids=page_name)
def test_every_make_target_exists(page):
    assert targets(page.read_text(encoding="utf-8")) <= TARGETS


def test_targets_are_found_in_code_alone():
    text = "make haste; `make run CONFIG=my.yaml`, `VENV=x make lint`\n"
    text += "\n```\nmake setup test # both\nmake pool-up [NODES=4]\n```\n"
    assert targets(text) == {"run", "lint", "setup", "test", "pool-up"}


def test_a_broken_link_is_found(tmp_path):
    (tmp_path / "other.md").write_text("# One `two`, three\n\n# One `two`, three\n\n```\n# none\n```\n")
    page = tmp_path / "page.md"
    page.write_text(
        "[a](other.md) [b](other.md#one-two-three) [c](other.md#one-two-three-1) [d](https://example.org/x) `[e](f)`\n"
        "[g](gone.md) [h](other.md#none) [i](#here)\n\n```\n[j](k.md)\n```\n"
    )
    assert list(broken_links(page)) == [
        "gone.md: there is no such file",
        "other.md#none: there is no such heading",
        "#here: there is no such heading",
    ]
