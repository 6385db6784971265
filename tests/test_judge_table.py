"""The table of judges: known answers on a small sample, and the committed one is the one that this code writes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from salt_bench import judge_table, registry
from salt_bench.errors import WrongUse
from salt_bench.judge_table import Row
from salt_bench.judges.corruptions import CORRUPTIONS
from salt_bench.judges.shapes import ShapesJudge
from salt_bench.judges.sharpness import Sharpness
from salt_bench.samplers.truth import TruthSampler
from salt_bench.suites.shapes import JUDGES
from salt_bench.types import Clip
from salt_bench.worlds.shapes import ShapesWorld
from salt_train.codecs.round_trip import RoundTrip, codec_arm

COMMITTED = Path(__file__).parent.parent / "reports" / "judges"
SMALL = (ShapesJudge(), Sharpness())
N = 16


@pytest.fixture(scope="module")
def truth() -> list[Clip]:
    return list(TruthSampler(ShapesWorld())(ShapesWorld().prompts("test")[:N], 0))


@pytest.fixture(scope="module")
def rows(truth: list[Clip]) -> list[Row]:
    true = judge_table.measure(judge_table.TRUTH, truth, SMALL)
    damage = [judge_table.measure(name, judge_table.damaged(truth, name), SMALL, true) for name in ("vanish", "blur")]
    return [*true, *damage[0], *damage[1]]


def find(rows: list[Row], source: str, part: str, judge: str = "shapes") -> Row:
    return next(row for row in rows if (row.source, row.judge, row.part) == (source, judge, part))


def test_truth_is_true_and_damage_is_seen_where_it_was_done(rows: list[Row]) -> None:
    assert find(rows, "truth", "accuracy").mean > 0.98
    assert find(rows, "vanish", "count").mean < 0.1
    assert find(rows, "vanish", "count").worse
    assert not find(rows, "vanish", "scene").worse
    assert find(rows, "blur", "score", "sharpness").worse
    assert not any(row.worse for row in rows if row.source == "truth")


def test_n_counts_the_clips_to_which_a_part_applies(rows: list[Row], truth: list[Clip]) -> None:
    two = sum(clip.prompt.factors["count"] == "2" for clip in truth)
    assert 0 < two < N
    assert find(rows, "truth", "relation").n == two
    assert find(rows, "truth", "shape").n == N


@pytest.mark.parametrize(
    ("values", "share", "wanted"),
    [
        ([1.0] * 512, True, (1.0, 0.992553, 1.0)),  # Wilson: n / (n + z²)
        ([0.0] * 512, True, (0.0, 0.0, 0.007447)),
        ([0.0, 1.0], False, (0.5, -5.853102, 6.853102)),  # Student: 12.7062 · √½ / √2 either side
        ([1.0] * 9, False, (1.0, 1.0, 1.0)),
    ],
)
def test_intervals(values: list[float], share: bool, wanted: tuple[float, float, float]) -> None:
    assert judge_table.interval(np.array(values), share) == pytest.approx(wanted, abs=2e-6)


def test_the_same_clips_give_the_same_bytes(tmp_path: Path, rows: list[Row], truth: list[Clip]) -> None:
    again = judge_table.measure(judge_table.TRUTH, truth, SMALL)
    assert again == rows[: len(again)]
    judge_table.write(tmp_path, rows)
    assert judge_table.read(tmp_path) == rows
    assert (tmp_path / judge_table.PAGE).read_text(encoding="utf-8") == judge_table.render(rows)
    assert "▾" not in "".join(line for line in judge_table.render(rows).splitlines() if line.startswith("| truth"))


def test_a_codec_is_an_arm_whose_clips_are_nearly_true(tmp_path: Path, truth: list[Clip]) -> None:
    arm = codec_arm("codec")
    assert isinstance(arm, RoundTrip)
    assert codec_arm("codecs") is None
    clips = list(arm.sampler(0, tmp_path)([c.prompt for c in truth[:4]], 0))
    away = [np.abs(a.frames().astype(int) - b.frames()).mean() for a, b in zip(clips, truth, strict=False)]
    assert 0 < max(away) < 6  # grey levels; another clip of the same prompts is further away than that
    other = list(TruthSampler(ShapesWorld())([c.prompt for c in truth[:4]], 1))
    assert all(np.abs(a.frames().astype(int) - b.frames()).mean() > max(away) for a, b in zip(clips, other, strict=True))


class Source:
    def __init__(self, name: str, arm: Callable[[str], object]) -> None:
        self.name, self.arm = name, arm

    def load(self) -> Callable[[str], object]:
        return self.arm


def test_a_word_is_an_arm_of_the_first_source_that_knows_it(monkeypatch: pytest.MonkeyPatch) -> None:
    sources = [Source("deaf", lambda word: None), Source("codec", codec_arm)]
    monkeypatch.setattr(registry.metadata, "entry_points", lambda group: sources if group == "salt_bench.sources" else [])
    assert registry.arm("codec") == codec_arm("codec")
    with pytest.raises(WrongUse, match="no arm 'kodec'; sources: codec, deaf"):
        registry.arm("kodec")


def test_the_committed_table_is_whole_and_its_page_is_its_own() -> None:
    rows = judge_table.read(COMMITTED)
    assert list(dict.fromkeys(row.source for row in rows)) == [judge_table.TRUTH, "codec", *CORRUPTIONS]
    assert {(row.judge, row.part) for row in rows} == {(j.name, part) for j in JUDGES for part in j.outputs}
    assert (COMMITTED / judge_table.PAGE).read_text(encoding="utf-8") == judge_table.render(rows)
    assert find(rows, "truth", "shape").n == 512
    assert min(row.mean for row in rows if row.source == "truth" and row.judge == "shapes") > 0.98
