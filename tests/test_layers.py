"""Imports run one way, heavy libraries stay in their adapters, and nothing happens on import: read from the source itself."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
HEAVY = {"diffusers", "transformers", "open_clip", "torchvision", "ray", "submitit"}
TORCH_FREE = ("results", "stats", "composites", "prompts", "report", "gate", "study", "cell", "publish", "cli")
TRAINER_MAY_SEE = ("types", "rng", "record", "errors", "files", "words", "worlds", "prompts")
INDEPENDENT = {  # package → the class whose subclasses must not know each other's files
    "salt_bench/judges": "Judge",
    "salt_bench/setjudges": "SetJudge",
    "salt_bench/probes": "Probe",
    "salt_train/objectives": "Objective",
    "salt_train/backbones": "Backbone",
}
SIDE_EFFECTS = {"logging", "torch", "warnings", "os", "np", "numpy", "random", "plt", "matplotlib", "signal"}


@dataclass(frozen=True)
class Import:
    """`module` is absolute; `top` where it runs as soon as the file is imported."""

    file: Path
    line: int
    module: str
    top: bool

    def __str__(self) -> str:
        return (
            f"{self.file.relative_to(ROOT) if self.file.is_relative_to(ROOT) else self.file}:{self.line} imports {self.module}"
        )


def sources(*packages: str) -> list[Path]:
    return sorted(path for package in packages for path in (ROOT / package).rglob("*.py"))


@cache
def tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


def imports(path: Path) -> list[Import]:
    return list(_walk(path, tree(path).body, top=True))


def _walk(path: Path, body: list[ast.stmt], top: bool) -> Iterator[Import]:
    for node in body:
        for name in _names(path, node):
            yield Import(path, node.lineno, name, top)
        inside = top and not isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)) and not _for_types_only(node)
        children = [child for child in ast.iter_child_nodes(node) if isinstance(child, (ast.stmt, ast.ExceptHandler))]
        for child in children:
            yield from _walk(path, child.body if isinstance(child, ast.ExceptHandler) else [child], inside)


def _for_types_only(node: ast.stmt) -> bool:
    return isinstance(node, ast.If) and ast.unparse(node.test) in ("TYPE_CHECKING", "typing.TYPE_CHECKING")


def _names(path: Path, node: ast.stmt) -> list[str]:
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    if not isinstance(node, ast.ImportFrom):
        return []
    package = list(path.relative_to(ROOT).parent.parts) if path.is_relative_to(ROOT) else []
    base = ".".join(
        [*package[: len(package) - node.level + 1], *([node.module] if node.module else [])]
        if node.level
        else [node.module or ""]
    )
    return [base, *(f"{base}.{alias.name}" for alias in node.names)]


def starts(module: str, *heads: str) -> bool:
    return any(module == head or module.startswith(f"{head}.") for head in heads)


def refuse(found: list[Import]) -> None:
    assert not found, "\n".join(map(str, found))


def test_the_walk_sees_what_python_would_import(tmp_path: Path) -> None:
    path = tmp_path / "x.py"
    guarded = "try:\n    import ray\nexcept ImportError:\n    import a\n"
    inside = "class C:\n    import b\n    def f(self):\n        from c import d\n"
    path.write_text(f"from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import torch\n{guarded}{inside}")
    top = {i.module for i in imports(path) if i.top}
    assert top == {"typing", "typing.TYPE_CHECKING", "ray", "a", "b"}
    assert {i.module for i in imports(path)} - top == {"torch", "c", "c.d"}


def test_the_bench_never_imports_the_trainer() -> None:
    refuse([i for path in sources("salt_bench") for i in imports(path) if starts(i.module, "salt_train")])


def test_the_trainer_sees_only_the_nouns_of_the_bench() -> None:
    allowed = ("salt_bench", *(f"salt_bench.{name}" for name in TRAINER_MAY_SEE))
    seen = [i for path in sources("salt_train") for i in imports(path) if starts(i.module, "salt_bench")]
    refuse([i for i in seen if i.module != "salt_bench" and not starts(i.module, *allowed[1:])])


def test_nothing_imports_tests_reports_or_ablations() -> None:
    files = sources("salt_bench", "salt_train", "ablations")
    refuse([i for path in files for i in imports(path) if starts(i.module, "tests", "reports", "ablations")])


def test_heavy_libraries_are_imported_where_they_are_used() -> None:
    files = sources("salt_bench", "salt_train", "ablations")
    refuse([i for path in files for i in imports(path) if i.top and starts(i.module, *HEAVY)])


def location(module: str) -> Path | None:
    path = ROOT / Path(*module.split("."))
    return next((p for p in (path.with_suffix(".py"), path / "__init__.py") if p.is_file()), None)


def loaded(path: Path, seen: set[Path]) -> Iterator[Import]:
    """All that importing `path` imports, through our own files."""
    if path in seen:
        return
    seen.add(path)
    for one in imports(path):
        if one.top:
            yield one
            if starts(one.module, "salt_bench", "salt_train") and (below := location(one.module)):
                yield from loaded(below, seen)


@pytest.mark.parametrize("name", TORCH_FREE)
def test_tables_and_pages_need_no_torch(name: str) -> None:
    files = [p for p in sources(f"salt_bench/{name}") or [ROOT / "salt_bench" / f"{name}.py"] if p.is_file()]
    refuse([i for path in files for i in loaded(path, set()) if starts(i.module, "torch")])
    refuse([i for path in files for i in imports(path) if starts(i.module, "torch")])
    modules = [".".join(p.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__") for p in files]
    check = "import sys, importlib\nfor m in sys.argv[1:]: importlib.import_module(m)\nassert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", check, *modules], cwd=ROOT, check=True)


def defines(path: Path, base: str) -> bool:
    classes = [node for node in ast.walk(tree(path)) if isinstance(node, ast.ClassDef)]
    return any(ast.unparse(parent).split("[")[0].split(".")[-1] == base for node in classes for parent in node.bases)


@pytest.mark.parametrize(("package", "base"), INDEPENDENT.items())
def test_one_file_is_deletable_by_itself(package: str, base: str) -> None:
    members = [path for path in sources(package) if path.name != "base.py" and defines(path, base)]
    names = {path: ".".join(path.relative_to(ROOT).with_suffix("").parts) for path in members}
    refuse(
        [
            i
            for path in members
            for i in imports(path)
            for other, name in names.items()
            if other != path and starts(i.module, name)
        ]
    )


def test_a_backbone_knows_no_objective() -> None:
    refuse([i for path in sources("salt_train/backbones") for i in imports(path) if starts(i.module, "salt_train.objectives")])


@pytest.mark.parametrize("path", sources("salt_bench", "salt_train"), ids=lambda p: str(p.relative_to(ROOT)))
def test_nothing_happens_on_import(path: Path) -> None:
    calls = [n.value for n in tree(path).body if isinstance(n, ast.Expr) and isinstance(n.value, ast.Call)]
    roots = {ast.unparse(call.func).split(".")[0] for call in calls}
    assert not roots & SIDE_EFFECTS, f"{path} calls {sorted(roots & SIDE_EFFECTS)} when it is imported"
