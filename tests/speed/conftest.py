"""One thread, shared networks with random weights (weights do not change speed), and the summary at the end."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import table
import torch

from salt_bench import record
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


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    if table.FIGURES:
        terminalreporter.section("speed on one core")
        terminalreporter.write_line("\n".join(table.lines(table.FIGURES)))
