"""One thread, shared networks with random weights (weights do not change speed), and the summary at the end."""

from __future__ import annotations

import importlib.util
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest
import table
import torch

from salt_bench import record
from salt_bench.judges.vbench import random_weights, weights
from salt_train import checkpoint, codecs
from salt_train.codecs.captions import Captions
from salt_train.methods.teacher import teacher


@pytest.fixture(autouse=True, scope="session")
def one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of checkpoints that holds a teacher of the real size, where the package ships none."""
    folder, recipe = tmp_path_factory.mktemp("checkpoints"), teacher()
    if not checkpoint.find(recipe.fingerprint(), folder):
        codec = codecs.fitted(recipe.codec, folder)
        torch.manual_seed(0)
        net = recipe.backbone.build(recipe.codec.shape(), Captions(recipe.world).words, codec.std)
        checkpoint.finish(folder / recipe.fingerprint(), net.state_dict(), [{"step": 0}], record.dump(recipe))
    return folder


@pytest.fixture(scope="session")
def films() -> ModuleType:
    """tests/judges/vbench/films.py."""
    return beside("films")


@pytest.fixture(scope="session")
def straight() -> ModuleType:
    """tests/judges/vbench/straight.py."""
    return beside("straight")


def beside(name: str) -> ModuleType:
    """A module of tests/judges/vbench."""
    path = Path(__file__).parents[1] / "judges/vbench" / f"{name}.py"
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None
    assert spec.loader is not None
    sys.modules[name] = module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="session")
def real(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of random weights of VBench's networks at their real sizes; SALT_VBENCH_RANDOM_WEIGHTS keeps one (7 GB)."""
    kept = os.environ.get("SALT_VBENCH_RANDOM_WEIGHTS")
    folder = Path(kept) if kept else tmp_path_factory.mktemp("weights")
    if not all((folder / one.path).is_file() for one in weights.TABLE):
        list(random_weights.write(folder))
    return folder


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    if table.FIGURES:
        terminalreporter.section("speed on one core")
        terminalreporter.write_line("\n".join(table.lines(table.FIGURES)))
