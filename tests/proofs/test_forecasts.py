"""Configurations of hundreds of megabytes: what each is said to need, against what its update takes."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent.parent / "train"))

from test_forecast import CASES, TEAM, within_a_tenth

from salt_train.layout import PLAIN
from salt_train.parallel import start


@pytest.mark.parametrize("name", CASES)
def test_a_forecast_is_within_a_tenth(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    within_a_tenth(name, tmp_path, monkeypatch)


def test_a_forecast_of_a_team_is_within_a_tenth(tmp_path: Path) -> None:
    """Not forked: a forecast starts threads of autograd's that a fork would lose."""
    job = ("-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2", __file__, str(tmp_path))
    subprocess.run((sys.executable, *job), check=True, timeout=300)


if __name__ == "__main__":
    start(PLAIN)
    with pytest.MonkeyPatch.context() as patch:
        within_a_tenth(TEAM, Path(sys.argv[1]), patch)
