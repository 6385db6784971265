"""The README says what is there: its tree, its commands, its studies."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
TEXT = (ROOT / "README.md").read_text(encoding="utf-8")
TREE = re.findall(r"```\n(salt_bench/.*?)```", TEXT, flags=re.S)[0]
NAME = re.compile(r"(?<![\w/])[\w.]+(?:/|\.(?:py|toml|txt|md))")


def blocks() -> dict[str, str]:
    """Top-level entry → its lines in the tree."""
    parts = re.split(r"^(?=\S)", TREE, flags=re.M)
    return {part.split()[0]: part for part in parts if part.strip()}


@pytest.mark.parametrize("package", ["salt_bench", "salt_train"])
def test_tree_names_every_file_of_a_package_and_no_other(package: str) -> None:
    said = {n for line in blocks()[f"{package}/"].splitlines()[1:] for n in NAME.findall(line.strip().split("  ")[0])}
    folder = ROOT / package
    there = {p.name for p in folder.glob("*.py") if p.name != "__init__.py"}
    there |= {f"{p.name}/" for p in folder.iterdir() if p.is_dir() and not p.name.startswith("__")}
    assert said == there


def test_every_study_stands_in_the_table_and_every_report_is_linked() -> None:
    for path in (ROOT / "ablations").glob("[!_]*.py"):
        assert f"`ablations/{path.name}`" in TEXT
    for path in (ROOT / "reports").glob("*/report.md"):
        assert f"]({path.relative_to(ROOT)})" in TEXT, f"the README does not link {path}"


def test_links_lead_somewhere() -> None:
    for target in re.findall(r"\]\(([^)#]+)\)", TEXT):
        assert target.startswith("https://") or (ROOT / target).exists(), target


def test_the_commands_of_the_first_block_are_sessions() -> None:
    sessions = set(re.findall(r"^def (\w+)\(session", (ROOT / "noxfile.py").read_text(encoding="utf-8"), flags=re.M))
    sessions |= {f"ablation_{p.stem}" for p in (ROOT / "ablations").glob("[!_]*.py")}
    first = re.findall(r"```sh\n(.*?)```", TEXT, flags=re.S)[0]
    assert set(re.findall(r"nox -s (\w+)", first)) <= sessions


def test_console_scripts_are_the_commands_that_the_readme_names() -> None:
    scripts = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["scripts"]
    assert set(scripts) == set(re.findall(r"`(salt-\w+) run", TEXT))
