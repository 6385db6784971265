"""The same losses, however many processes share a batch, in how many parts, whole or sharded; killed, and on with others."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from causal_parts import long_video
from crews import KILLED, close, dmd, kill_after, losses, salt, sc_dmd, together, trained
from tiny import quiet

from salt_bench.errors import WrongUse
from salt_train import checkpoint, launch
from salt_train import train as training
from salt_train.layout import PLAIN, Layout
from salt_train.parallel import Crew, Share, batched, crew, parts
from salt_train.recipe import Recipe

SHARDED, TEAM = Layout(shard=True), Layout(sequence=2)
Rows = list[dict[str, float]]


@pytest.fixture
def elsewhere(root: Path, tmp_path: Path) -> Callable[[], Path]:
    """Makes further folders of checkpoints that hold the teacher."""
    made: list[Path] = []

    def make() -> Path:
        made.append(tmp_path / f"other{len(made)}")
        shutil.copytree(root, made[-1])
        return made[-1]

    return make


def alone(recipe: Recipe, root: Path) -> Rows:
    training.train(recipe, root, quiet)
    return losses(recipe, root)


def test_shares_are_the_batch() -> None:
    crews = [Crew(rank, 2, 3) for rank in range(2)]
    found = [list(range(12))[share.of(12)] for one in crews for share in one.shares()]
    assert found == [[0, 1], [2, 3], [4, 5], [6, 7], [8, 9], [10, 11]]
    with pytest.raises(ValueError, match="a batch of 4 does not divide among 3 processes"):
        Share(0, 3).of(4)


def test_gradients_are_sent_a_few_at_a_time() -> None:
    sizes = (3, 9, 1, 2, 12, 4)
    found = [[t.numel() for t in some] for some in batched([torch.zeros(n) for n in sizes], 10)]
    assert found == [[3, 9], [1, 2, 12], [4]]


def test_a_team_has_one_share() -> None:
    crews = [Crew(rank, 4, 2, TEAM) for rank in range(4)]
    assert [one.shares() for one in crews] == 2 * [[Share(0, 4), Share(1, 4)]] + 2 * [[Share(2, 4), Share(3, 4)]]
    whole = torch.arange(6.0).view(1, 6)
    assert torch.equal(torch.cat([one.own_heads(whole) for one in crews[:2]], 1), whole)


def test_a_team_that_cannot_be_is_named(root: Path) -> None:
    with pytest.raises(WrongUse, match="3 processes do not divide into teams of 2; change their number or --sequence"):
        parts(12, 3, TEAM)
    with pytest.raises(WrongUse, match="a batch of 3 does not divide among 2 teams of 2 processes"):
        parts(3, 4, TEAM)
    with pytest.raises(WrongUse, match="a network of this run has 2 heads; choose a number that divides it"):
        launch.train(dmd(), root, 3, Layout(sequence=3))


def test_a_batch_that_does_not_divide_into_parts_is_named() -> None:
    assert crew(12, Layout(micro=4)).shares() == [Share(0, 3), Share(1, 3), Share(2, 3)]
    with pytest.raises(
        WrongUse, match=r"a batch of 12 is no multiple of 1 processes × 5 videos; choose a `micro` that divides 12"
    ):
        crew(12, Layout(micro=5))


@pytest.mark.parametrize(
    ("make", "ranks", "layout"),
    [
        (dmd, 2, PLAIN),
        (sc_dmd, 2, PLAIN),
        (salt, 2, PLAIN),
        (sc_dmd, 1, Layout(micro=1)),
        (sc_dmd, 2, SHARDED),
        (salt, 2, TEAM),
    ],
    ids=["dmd in two", "sc_dmd in two", "salt in two", "sc_dmd in four parts", "sc_dmd in two, sharded", "salt by a team"],
)
def test_twenty_updates_have_the_losses_of_one_process(
    make: Callable[[], Recipe], ranks: int, layout: Layout, root: Path, elsewhere: Callable[[], Path]
) -> None:
    recipe, other = make(), elsewhere()
    trained(recipe, other, ranks, layout)
    wanted = alone(recipe, root)
    assert len(wanted) == 20
    assert close(wanted, losses(recipe, other))
    one, two = (checkpoint.weights(folder / recipe.fingerprint()) for folder in (root, other))
    assert all(torch.allclose(one[name], two[name], atol=1e-5) for name in one)


@pytest.mark.usefixtures("often")
@pytest.mark.parametrize(
    ("make", "before", "after"),
    [
        (salt, (2, PLAIN), (1, PLAIN)),
        (sc_dmd, (1, PLAIN), (2, PLAIN)),
        (dmd, (2, PLAIN), (4, PLAIN)),
        (sc_dmd, (2, SHARDED), (1, PLAIN)),
        (sc_dmd, (1, SHARDED), (2, PLAIN)),
    ],
    ids=["2 to 1", "1 to 2", "2 to 4", "2 sharded to 1", "1 sharded to 2"],
)
def test_a_killed_run_goes_on_with_others(
    make: Callable[[int], Recipe],
    before: tuple[int, Layout],
    after: tuple[int, Layout],
    root: Path,
    elsewhere: Callable[[], Path],
) -> None:
    recipe, other = make(6), elsewhere()
    folder = other / recipe.fingerprint()
    trained(recipe, other, *before, log=kill_after(3, 6), ends=(KILLED,))
    assert {path.name for path in folder.iterdir()} == {"resume.pt" if before == (1, PLAIN) else "resume-000002"}
    done: list[float] = []
    trained(recipe, other, *after, log=lambda _, fraction: done.append(fraction))
    assert {path.name for path in folder.iterdir()} == {"student.safetensors", "log.jsonl", "recipe.json"}
    assert done in ([], [3 / 6, 4 / 6, 5 / 6, 1.0])  # other processes have lists of their own
    assert close(alone(recipe, root), losses(recipe, other))


@pytest.mark.usefixtures("often")
@pytest.mark.parametrize(
    ("before", "after"),
    [((2, PLAIN), (1, Layout(micro=1))), ((1, PLAIN), (2, SHARDED)), ((2, TEAM), (1, PLAIN)), ((1, PLAIN), (2, TEAM))],
)
def test_a_long_video_goes_on_with_others(
    before: tuple[int, Layout], after: tuple[int, Layout], root: Path, elsewhere: Callable[[], Path]
) -> None:
    """Four pieces make a video and three are made per update, so that resume files hold videos in the middle."""
    recipe, other = long_video(), elsewhere()
    recipe = replace(recipe, stream=recipe.stream and replace(recipe.stream, longest=18))
    trained(recipe, other, *before, log=kill_after(4, 6), ends=(KILLED,))
    trained(recipe, other, *after)
    assert close(alone(recipe, root), losses(recipe, other))


@pytest.mark.usefixtures("often")
def test_a_kill_during_a_save_loses_nothing(root: Path, elsewhere: Callable[[], Path], monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever is written before the folder has its name, the one before it is what a run goes on from."""
    import os

    recipe, other = sc_dmd(steps=6), elsewhere()
    folder, rename = other / recipe.fingerprint(), Path.rename

    def killed(path: Path, target: Path) -> Path:
        if target.name == "resume-000004":
            os._exit(KILLED)
        return rename(path, target)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "rename", killed)
        trained(recipe, other, 2, SHARDED, ends=(KILLED, 1, -9))
    assert {path.name for path in folder.iterdir()} == {"resume-000002", ".resume.tmp"}
    trained(recipe, other, 2, SHARDED)
    assert {path.name for path in folder.iterdir()} == {"student.safetensors", "log.jsonl", "recipe.json"}
    assert close(alone(recipe, root), losses(recipe, other))


def test_a_loss_that_is_no_number_ends_every_process(root: Path) -> None:
    recipe = replace(dmd(steps=3), optimiser=replace(dmd().optimiser, rate=1e30))

    def work() -> None:
        with pytest.raises(training.TrainingError, match=r"at update [12]; lower the rate or the term's weight"):
            training.train(recipe, root, quiet)

    together(2, work)
