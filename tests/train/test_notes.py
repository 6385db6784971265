"""Notes of an update, by hand: bins, means over parts and processes, and how latents look."""

from __future__ import annotations

from collections.abc import Mapping

import pytest
import torch

from salt_train.notes import BINS, Note, Notes, look
from salt_train.parallel import ALONE, Crew


def note(values: list[float], sigma: list[float] | None = None) -> Note:
    return Note(torch.tensor(values), None if sigma is None else torch.tensor(sigma))


def test_a_bin_holds_its_lower_edge_and_the_last_one_both() -> None:
    notes = Notes(ALONE)
    notes.take("T", {"x": note([1, 2, 3, 4, 5, 6], [0.0, 0.25, 0.4999, 0.5, 0.75, 1.0])})
    assert notes.means() == {"T/x/0-0.25": 1, "T/x/0.25-0.5": 2.5, "T/x/0.5-0.75": 4, "T/x/0.75-1": 5.5}
    assert BINS == ("0-0.25", "0.25-0.5", "0.5-0.75", "0.75-1")


def test_parts_count_by_their_videos_and_an_empty_bin_is_not_named() -> None:
    notes, said = Notes(ALONE), {"x": note([1, 1, 1], [0.1, 0.1, 0.9]), "y": note([2, 4, 6])}
    notes.take("T", said)
    assert not said
    notes.take("T", {"x": note([4, 9, 9], [0.1, 0.9, 0.9])})
    assert notes.means() == {"T/x/0-0.25": 2, "T/x/0.75-1": pytest.approx(19 / 3), "T/y": 4}


class Two(Crew):
    """Two processes; the other one has what `theirs` holds."""

    theirs: Notes

    def mean(self, values: Mapping[str, float]) -> dict[str, float]:
        other: Mapping[str, float] = self.theirs.counts
        if any(isinstance(value, float) for value in values.values()):
            other = {name: self.theirs.sums.get(name, 0.0) for name in other}
        assert values.keys() == other.keys()
        return {name: (value + other[name]) / 2 for name, value in values.items()}


def test_the_mean_over_processes_is_weighted_by_videos() -> None:
    crew = Two()
    mine, theirs = Notes(crew), Notes(ALONE)
    object.__setattr__(crew, "theirs", theirs)
    mine.take("T", {"x": note([1, 8], [0.1, 0.9])})
    theirs.take("T", {"x": note([4, 4], [0.1, 0.1])})
    assert mine.means() == {"T/x/0-0.25": 3, "T/x/0.75-1": 8}


def test_every_process_names_every_bin() -> None:
    """A collective of processes of which each has other bins would hang, or add numbers of different names."""
    one, two = Notes(ALONE), Notes(ALONE)
    one.take("T", {"x": note([1], [0.1])})
    two.take("T", {"x": note([5, 7], [0.9, 0.9])})
    assert one.counts.keys() == two.counts.keys()


def test_latents_are_looked_at_in_their_channels_own_standard_deviations() -> None:
    std = torch.tensor([1.0, 10.0]).view(1, 2, 1, 1, 1)
    latents = torch.zeros(2, 2, 2, 1, 2)
    latents[0, 0, :, 0, 0] = torch.tensor([4.0, -4.0])  # far, and 8 apart
    latents[1, 1, :, 0, 1] = torch.tensor([20.0, 20.0])  # not far: 2 std, and at rest
    found = {name: n.values.tolist() for name, n in look(latents, std).items()}
    assert found["saturation"] == [0.25, 0.0]
    assert found["motion"] == [2.0, 0.0]
    assert found["spread"] == pytest.approx([2.0, 1.0])


def test_one_frame_does_not_move() -> None:
    assert set(look(torch.ones(1, 1, 1, 2, 2), torch.ones(1, 1, 1, 1, 1))) == {"saturation", "spread"}


def test_normal_latents_have_the_share_that_a_normal_has() -> None:
    torch.manual_seed(0)
    found = look(torch.randn(4, 1, 8, 64, 64), torch.ones(1, 1, 1, 1, 1))
    assert float(found["saturation"].values.mean()) == pytest.approx(0.0027, rel=0.1)
    assert float(found["spread"].values.mean()) == pytest.approx(1.0, rel=0.02)
    assert float(found["motion"].values.mean()) == pytest.approx(2 / torch.pi**0.5, rel=0.02)
