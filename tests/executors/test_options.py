"""Executors by name: their options are typed, and what is not there is named with its remedy."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from salt_bench.errors import WrongUse
from salt_bench.executors.base import Width
from salt_bench.executors.inline import Inline
from salt_bench.executors.local import Local
from salt_bench.executors.options import make, parsed, width
from salt_bench.executors.ray import RayOptions
from salt_bench.executors.slurm import SlurmOptions


def test_values_are_of_the_type_of_their_default() -> None:
    assert parsed(RayOptions, []) == RayOptions()
    assert parsed(RayOptions, ["address=head:6379", "cpus=2", "gpus=0.5"]) == RayOptions("head:6379", 2, 0.5)
    assert parsed(SlurmOptions, ["partition=a=b", "gpus=8"]) == SlurmOptions(partition="a=b", gpus=8)


@pytest.mark.parametrize(
    ("option", "words"),
    [
        ("gpu=1", r"one of address=local, cpus=1, gpus=0\.0, processes=0; got 'gpu=1'"),
        ("cpus", "NAME=VALUE"),
        ("cpus=many", "cpus is of type int, got 'many'"),
    ],
)
def test_a_wrong_option_names_the_right_ones(option: str, words: str) -> None:
    with pytest.raises(WrongUse, match=words):
        parsed(RayOptions, [option])


def test_here_only_the_processes_can_be_chosen(tmp_path: Path) -> None:
    assert isinstance(make("inline", None, tmp_path, []), Inline)
    local = make("local", 3, tmp_path, [])
    assert isinstance(local, Local)
    assert local.workers == 3
    for name in ("local", "inline"):
        with pytest.raises(WrongUse, match=r"one of processes=1; got 'gpus=1'"):
            make(name, None, tmp_path, ["gpus=1"])


@pytest.mark.parametrize(
    ("name", "jobs", "options", "expected"),
    [
        ("local", None, [], Width(8)),
        ("local", 3, ["processes=2"], Width(3, 0.0, 2)),
        ("local", None, ["processes=3"], Width(2, 0.0, 3)),
        ("inline", 5, [], Width(1)),
        ("ray", None, ["cpus=3"], Width(2)),
        ("ray", None, ["address=auto", "gpus=0.5"], Width(None, 0.5, 1)),
        ("ray", 6, ["address=auto", "gpus=4"], Width(6, 4.0, 4)),
        ("slurm", None, ["gpus=8", "processes=2"], Width(None, 8.0, 2)),
        ("slurm", None, ["cluster=local"], Width(8)),
    ],
)
def test_the_width_is_known_before_anything_starts(
    monkeypatch: pytest.MonkeyPatch, name: str, jobs: int | None, options: list[str], expected: Width
) -> None:
    monkeypatch.setattr("os.sched_getaffinity", lambda process: set(range(8)))
    assert width(name, jobs, options) == expected


@pytest.mark.parametrize(("name", "library"), [("ray", "ray"), ("slurm", "submitit")])
def test_a_missing_library_is_named_with_its_remedy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, library: str
) -> None:
    monkeypatch.setitem(sys.modules, library, None)
    with pytest.raises(WrongUse, match=rf"pip install 'salt-bench\[{name}\]'"):
        make(name, None, tmp_path, [])


@pytest.mark.parametrize(
    ("name", "option"),
    [
        ("ray", "cpus=0"),
        ("ray", "gpus=-1"),
        ("slurm", "cluster=cloud"),
        ("slurm", "minutes=0"),
        ("ray", "processes=-1"),
        ("local", "processes=-2"),
    ],
)
def test_impossible_options_are_refused_before_anything_starts(name: str, option: str) -> None:
    with pytest.raises(WrongUse, match="at least"):
        width(name, None, [option])
