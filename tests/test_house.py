"""What holds for the repository as a whole, so that nobody has to remember it."""

from __future__ import annotations

import ast
import importlib
import pkgutil
import re
import shutil
import subprocess
import tomllib
from collections import defaultdict
from collections.abc import Iterator
from importlib.metadata import distribution
from pathlib import Path
from types import ModuleType
from urllib.parse import unquote

import pytest

import hub
from hub.core.errors import HubError
from hub.site.explanations import EXPLANATIONS

ROOT = Path(__file__).parents[1]
MODULES = sorted((ROOT / "hub").rglob("*.py"))
LONGEST_MODULE = 620
GENERATED = {"0001_first_schema.py"}  # written by Alembic, one line per column
TALKATIVE = ("cli", "demo", "bench", "simulators")  # they speak to a person at a terminal
UNFIT = (
    re.compile(r"/(?:work|tmp/w|home|root)/"),
    re.compile(r"\b(?:pypi|pythonhosted|npmjs|registry\.)\b", re.IGNORECASE),
    re.compile(r"\b(?:claude|anthropic|openai|gpt|llm|subagent|ai assistant)\b", re.IGNORECASE),
)
"""Paths of somebody's machine, hosts of package registries, and talk about how the text came about."""
TEXT = {"", ".py", ".md", ".toml", ".csv", ".txt", ".html", ".css", ".js", ".svg", ".cfg", ".mako", ".yml", ".yaml"}
LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
HEADING = re.compile(r"^#{1,6} +(.+?)\s*$", re.MULTILINE)
FENCED = re.compile(r"^```.*?^```", re.MULTILINE | re.DOTALL)


def shown(path: Path) -> str:
    return str(path.relative_to(ROOT))


def repository_files() -> list[Path]:
    """What belongs to the repository: what git tracks or would; every file when this is no clone."""
    git = shutil.which("git")
    if git and (ROOT / ".git").exists():
        listed = subprocess.run(
            [git, "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
            cwd=ROOT, check=True, capture_output=True, text=True,
        )  # fmt: skip
        return sorted(path for name in listed.stdout.split("\0") if name and (path := ROOT / name).is_file())
    built = {"var", "build", "node_modules", "__pycache__", "claimhub.egg-info"}
    parts = ((p, p.relative_to(ROOT).parts) for p in ROOT.rglob("*") if p.is_file())
    return sorted(
        p for p, names in parts if (not built & set(names) and not names[0].startswith(".")) or names[0] == ".ci"
    )


# ---------------------------------------------------------------- code


def hub_modules() -> Iterator[ModuleType]:
    for info in pkgutil.walk_packages(hub.__path__, "hub."):
        if ".migrations" not in info.name:
            yield importlib.import_module(info.name)


def error_classes() -> list[type[HubError]]:
    for _ in hub_modules():
        pass  # importing a module makes its classes known
    found: list[type[HubError]] = []
    waiting = [HubError]
    while waiting:
        kind = waiting.pop()
        found.append(kind)
        waiting += kind.__subclasses__()
    return [kind for kind in found if kind.__module__.startswith("hub.")]


def test_no_two_kinds_of_error_share_a_code() -> None:
    owners: defaultdict[str, set[str]] = defaultdict(set)
    for kind in error_classes():
        if "code" in vars(kind):  # others speak under their parent's code
            owners[kind.code].add(f"{kind.__module__}.{kind.__qualname__}")
    assert {code: sorted(names) for code, names in owners.items() if len(names) > 1} == {}


def test_every_error_code_has_its_form_and_an_explanation() -> None:
    codes = {kind.code for kind in error_classes()}
    assert [code for code in sorted(codes) if not re.fullmatch(r"H\d{3}", code)] == []
    assert sorted(codes - set(EXPLANATIONS)) == []


def test_every_module_says_what_it_is() -> None:
    silent = [shown(path) for path in MODULES if not ast.get_docstring(ast.parse(path.read_text()))]
    assert silent == []


def test_no_module_has_grown_past_one_sitting() -> None:
    lengths = {shown(path): path.read_text().count("\n") for path in MODULES if path.name not in GENERATED}
    assert {name: length for name, length in lengths.items() if length > LONGEST_MODULE} == {}


def test_only_what_speaks_to_a_terminal_prints() -> None:
    printing = [
        f"{shown(path)}:{node.lineno}"
        for path in MODULES
        if path.relative_to(ROOT / "hub").parts[0] not in TALKATIVE
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "print"
    ]
    assert printing == []


# ---------------------------------------------------------------- dependencies


def pyproject() -> dict[str, list[str]]:
    """The direct dependencies by group; the runtime's group is ``runtime``."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    groups = {"runtime": project["dependencies"], **project["optional-dependencies"]}
    return {group: [name(requirement) for requirement in wanted] for group, wanted in groups.items()}


def name(requirement: str) -> str:
    """The normalised name in ``sqlalchemy>=2.1`` or ``twisted[tls]``."""
    match = re.match(r"[A-Za-z0-9._-]+", requirement)
    assert match, requirement
    return re.sub(r"[-_.]+", "-", match[0]).lower()


def test_every_dependency_has_its_reason_and_every_reason_its_dependency() -> None:
    direct = {wanted for group in pyproject().values() for wanted in group}
    explained = set(re.findall(r"^- \*\*([^*]+)\*\*", (ROOT / "docs" / "dependencies.md").read_text(), re.MULTILINE))
    assert {name(each) for each in explained} == direct


def test_every_dependency_is_used_by_the_code() -> None:
    by_other_name = {
        "fhir-resources": "fhir",
        "argon2-cffi": "argon2",
        "python-multipart": "form(",  # Starlette imports it when a form is read
        "tzdata": "ZoneInfo",  # zoneinfo imports it where the system has no zones
    }
    code = "\n".join(path.read_text() for path in MODULES)
    unused = [wanted for wanted in pyproject()["runtime"] if by_other_name.get(wanted, wanted) not in code]
    assert unused == []


def test_the_pins_name_exact_versions_of_every_dependency_and_no_place_to_get_them() -> None:
    lines = [line for line in (ROOT / "constraints.txt").read_text().splitlines() if line and line[0] != "#"]
    assert [line for line in lines if not re.fullmatch(r"[a-z0-9-]+==[A-Za-z0-9.]+", line)] == []
    pinned = {line.partition("==")[0] for line in lines}
    assert {wanted for group in pyproject().values() for wanted in group} <= pinned


def test_this_environment_has_the_pinned_versions() -> None:
    lines = [line for line in (ROOT / "constraints.txt").read_text().splitlines() if line and line[0] != "#"]
    pinned = dict(line.split("==") for line in lines)
    direct = {wanted for group in pyproject().values() for wanted in group}
    assert {each: distribution(each).version for each in direct} == {each: pinned[each] for each in direct}


# ---------------------------------------------------------------- texts


def test_no_text_speaks_of_the_machine_it_was_written_on() -> None:
    found = [
        f"{shown(path)}:{number}: {line.strip()[:80]}"
        for path in repository_files()
        if path.suffix in TEXT and path != Path(__file__)
        for number, line in enumerate(path.read_text(encoding="utf-8", errors="replace").splitlines(), start=1)
        if any(unfit.search(line) for unfit in UNFIT)
    ]
    assert found == []


def anchors(document: Path) -> set[str]:
    """The places of a Markdown file that a link may name, as its readers' tools make them."""
    headings = HEADING.findall(FENCED.sub("", document.read_text()))
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("document", [p for p in repository_files() if p.suffix == ".md"], ids=shown)
def test_links_between_documents_lead_somewhere(document: Path) -> None:
    broken = []
    for target in LINK.findall(FENCED.sub("", document.read_text())):
        if re.match(r"[a-z]+:", target):
            continue
        file, _, anchor = unquote(target).partition("#")
        place = (document.parent / file).resolve() if file else document
        if not place.exists() or (anchor and anchor not in anchors(place)):
            broken.append(target)
    assert broken == []


def test_every_page_of_the_documentation_can_be_reached_from_its_map() -> None:
    docs = ROOT / "docs"
    reached: set[Path] = set()
    waiting = [docs / "index.md"]
    while waiting:
        page = waiting.pop()
        reached.add(page)
        for target in LINK.findall(page.read_text()):
            linked = (page.parent / target.partition("#")[0]).resolve()
            if linked.suffix == ".md" and linked.is_relative_to(docs) and linked.exists() and linked not in reached:
                waiting.append(linked)
    assert [shown(page) for page in sorted(docs.rglob("*.md")) if page not in reached] == []
