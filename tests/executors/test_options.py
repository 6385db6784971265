"""Executors by name: their options are typed, and what is not there is named with its remedy."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from salt_bench.errors import WrongUse
from salt_bench.executors.inline import Inline
from salt_bench.executors.local import Local
from salt_bench.executors.options import make, parsed
from salt_bench.executors.ray import RayOptions
from salt_bench.executors.slurm import SlurmOptions


def test_values_are_of_the_type_of_their_default() -> None:
    assert parsed(RayOptions, []) == RayOptions()
    assert parsed(RayOptions, ["address=head:6379", "cpus=2", "gpus=0.5"]) == RayOptions("head:6379", 2, 0.5)
    assert parsed(SlurmOptions, ["partition=a=b", "gpus=8"]) == SlurmOptions(partition="a=b", gpus=8)


@pytest.mark.parametrize(
    ("option", "words"),
    [
        ("gpu=1", r"one of address=local, cpus=1, gpus=0\.0; got 'gpu=1'"),
        ("cpus", "NAME=VALUE"),
        ("cpus=many", "cpus is of type int, got 'many'"),
    ],
)
def test_a_wrong_option_names_the_right_ones(option: str, words: str) -> None:
    with pytest.raises(WrongUse, match=words):
        parsed(RayOptions, [option])


def test_here_needs_no_options(tmp_path: Path) -> None:
    assert isinstance(make("inline", None, tmp_path, []), Inline)
    local = make("local", 3, tmp_path, [])
    assert isinstance(local, Local)
    assert local.workers == 3
    with pytest.raises(WrongUse, match="local takes no options, got 'gpus=1'"):
        make("local", None, tmp_path, ["gpus=1"])


@pytest.mark.parametrize(("name", "library"), [("ray", "ray"), ("slurm", "submitit")])
def test_a_missing_library_is_named_with_its_remedy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, library: str
) -> None:
    monkeypatch.setitem(sys.modules, library, None)
    with pytest.raises(WrongUse, match=rf"pip install 'salt-bench\[{name}\]'"):
        make(name, None, tmp_path, [])


@pytest.mark.parametrize(
    ("name", "option"), [("ray", "cpus=0"), ("ray", "gpus=-1"), ("slurm", "cluster=cloud"), ("slurm", "minutes=0")]
)
def test_impossible_options_are_refused_before_anything_starts(tmp_path: Path, name: str, option: str) -> None:
    with pytest.raises(WrongUse, match="at least"):
        make(name, None, tmp_path, [option])
