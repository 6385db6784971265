"""Waiting for a video, by hand: four pieces of four frames at four frames a second."""

from __future__ import annotations

import pytest

from salt_bench import playback
from salt_bench.playback import Watched

FPS = 4.0
EVEN = Watched((1.0, 2.0, 3.0, 4.0), (4, 4, 4, 4))
SLOW = Watched((1.0, 2.5, 4.0, 4.5), (4, 4, 4, 4))


def test_rates_and_gaps() -> None:
    assert EVEN.rate == 4.0
    assert SLOW.rate == pytest.approx(16 / 4.5)
    assert SLOW.gaps == (1.5, 1.5, 0.5)
    assert SLOW.rate_from(2) == pytest.approx(8 / 2.0)


def test_a_player_that_starts_with_the_first_piece() -> None:
    assert EVEN.due(FPS) == (1.0, 2.0, 3.0, 4.0)
    assert (EVEN.late(FPS), EVEN.stalls(FPS)) == (0, 0.0)
    assert (SLOW.late(FPS), SLOW.stalls(FPS)) == (3, 1.0)  # it waits half a second twice, and then no more
    assert (SLOW.late(2.0), SLOW.stalls(2.0)) == (0, 0.0)
    assert Watched((1.0, 2.5), (1, 4)).late(FPS) == 1  # the first piece has one frame alone


def test_the_summary_of_several_videos() -> None:
    found = playback.summary([EVEN, SLOW, EVEN], FPS, -1)
    assert set(found) == set(playback.OUTPUTS)
    assert (found["rate"], found["real time"], found["first"]) == (4.0, 1.0, 1.0)
    assert (found["p50"], found["p90"], found["p99"]) == (1.0, 1.5, 1.5)
    assert found["on time"] == pytest.approx(1 - 3 / 9)
    assert found["stalls"] == pytest.approx(1 / 3)
    assert found["steady rate"] is None


def test_only_what_comes_after_the_memory_is_full_is_steady() -> None:
    found = playback.summary([SLOW], FPS, 3)
    assert (found["p50"], found["steady rate"]) == (0.5, 8.0)


def test_a_video_that_is_made_at_once_has_no_latency() -> None:
    found = playback.summary([Watched((2.0,), (16,))], FPS, -1)
    assert (found["p50"], found["on time"], found["steady rate"], found["stalls"]) == (None, None, None, 0.0)
    assert found["rate"] == 8.0


def test_quantiles_are_values_that_were_seen() -> None:
    values = [float(i) for i in range(1, 101)]
    assert [playback.quantile(values, q) for q in (0.5, 0.9, 0.99, 1.0)] == [50.0, 90.0, 99.0, 100.0]
    assert playback.quantile([3.0], 0.01) == 3.0
    assert playback.quantile([], 0.5) is None


@pytest.mark.parametrize("ends", [(), (2.0, 1.0), (0.0, 1.0)])
def test_nonsense_is_refused(ends: tuple[float, ...]) -> None:
    with pytest.raises(ValueError, match="pieces are finished one after the other"):
        Watched(ends, tuple(4 for _ in ends))
