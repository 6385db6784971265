"""What a log says of a training: synthetic logs of known answer, and a real one."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from test_resume import Stopped, stop_after
from tiny import contents, quiet, student, teacher

from salt_bench.errors import UserError
from salt_train import checkpoint, health
from salt_train.notes import BINS
from salt_train.train import train

Course = Callable[[float], float]  # share of the run → number


def flat(value: float) -> Course:
    return lambda share: value


def from_on(start: float, before: float, after: float) -> Course:
    """Flat until `start`, then straight to `after`."""
    return lambda share: before + max(0.0, share - start) / (1 - start) * (after - before)


CALM: dict[str, Course] = {
    "DMD": flat(0.5),
    "DMD/saturation": flat(0.004),
    "DMD/spread": flat(1.0),
    "DMD/motion": flat(0.5),
    "gradient": flat(0.3),
    "clipped": flat(0.0),
    **{f"DMD/{name}/{place}": flat(0.2) for name in ("gradient", "apart", "critic", "behind") for place in BINS},
}


def rows(changes: dict[str, Course], count: int = 300, noise: float = 0.05) -> list[dict[str, Any]]:
    draw = random.Random(0)
    courses = CALM | changes
    return [
        {"step": i, **{name: course(i / count) * (1 + noise * draw.gauss(0, 1)) for name, course in courses.items()}}
        for i in range(count)
    ]


def said(found: list[dict[str, Any]]) -> str:
    return "\n".join(health.advice(found, health.noted(found)))


def test_a_calm_run_gets_no_advice_but_what_the_loss_is_not() -> None:
    text = said(rows({}))
    assert text.startswith("Nothing looks wrong")
    assert "The loss of DMD is no measure of progress" in text
    assert len(text.splitlines()) == 2


@pytest.mark.parametrize("start", [0.6, 0.7])
def test_saturation_that_rises_and_motion_that_falls_say_where_to_stop(start: float) -> None:
    """Until `start` the student gets better, then worse: the tenth that ends there is the best."""
    better = {
        "DMD/saturation": lambda s: 0.008 - 0.005 * min(s, start) + 0.04 * max(0.0, s - start),
        "DMD/motion": lambda s: 0.3 + 0.2 * min(s, start) - 0.9 * max(0.0, s - start),
    }
    text = said(rows(better, noise=0.01))
    assert f"update {round(300 * start)} looked best" in text
    assert "saturation rose (" in text
    assert "motion fell (" in text
    assert "Nothing looks wrong" not in text


def test_what_gets_better_is_no_reason_to_stop() -> None:
    text = said(rows({"DMD/saturation": from_on(0.5, 0.01, 0.004), "DMD/motion": from_on(0.5, 0.3, 0.6)}))
    assert "Nothing looks wrong" in text


def test_an_early_rise_is_how_a_student_learns() -> None:
    assert "Nothing looks wrong" in said(rows({"DMD/saturation": lambda s: 0.001 + 0.01 * min(s, 0.5)}))


@pytest.mark.parametrize(("loss", "gradient", "lags"), [(2, 2, True), (2, 0.5, False), (0.5, 2, False), (0.5, 0.5, False)])
def test_a_critic_lags_where_its_loss_and_the_gradient_grow(loss: float, gradient: float, lags: bool) -> None:
    place = BINS[2]
    changes = {f"DMD/critic/{place}": from_on(0.5, 0.2, 0.2 * loss), f"DMD/gradient/{place}": from_on(0.5, 0.2, 0.2 * gradient)}
    text = said(rows(changes))
    assert ("The critic cannot keep up" in text) == lags
    assert (f"σ {place}" in text) == lags


def test_a_critic_that_denoises_no_better_than_the_teacher_is_named() -> None:
    text = said(rows({f"DMD/behind/{BINS[1]}": flat(1.3)}))
    assert f"no better than the guided teacher does, at σ {BINS[1]} (1.3" in text


@pytest.mark.parametrize(("share", "named"), [(1.0, True), (0.8, False)])
def test_clipping_that_is_the_rule_is_named(share: float, named: bool) -> None:
    found = rows({})
    for i, row in enumerate(found):
        row["clipped"] = float(i % 10 < 10 * share)
    assert ("The gradient was clipped at 100% of the updates (median norm 0.3" in said(found)) == named


def test_old_logs_say_what_they_lack() -> None:
    old = [{"step": i, "DMD": 0.5, "critic0": 1.0, "gradient": 0.3} for i in range(50)]
    text = said(old)
    assert "written before trainings noted that" in text
    assert "Nothing looks wrong" not in text
    flow = [{"step": i, "FlowMatching": 0.5, "gradient": 0.3, "clipped": 0.0} for i in range(50)]
    assert "only DMD notes that" in said(flow)


def test_a_run_that_an_older_version_began_says_since_when() -> None:
    found = rows({})
    for row in found[:40]:
        for name in [name for name in row if "/" in name]:
            del row[name]
    assert "The first 40 updates have no numbers of DMD" in said(found)


def test_few_updates_are_no_trend() -> None:
    text = said(rows({"DMD/saturation": from_on(0.0, 0.01, 0.1)}, count=20))
    assert "Stop earlier" not in text
    assert "20 updates are too few" in text
    assert "Nothing looks wrong" not in text


def test_the_tables_hold_means() -> None:
    found = rows({"DMD/motion": from_on(0.0, 0.0, 10.0), "DMD/critic/0-0.25": from_on(0.5, 1.0, 1.0)}, count=100, noise=0.0)
    tenths = health.by_tenths(found, "DMD")
    assert [line[0] for line in tenths[1:]] == [f"{10 * i}-{10 * i + 9}" for i in range(10)]
    motion = [float(line[tenths[0].index("motion")]) for line in tenths[1:]]
    assert motion == pytest.approx([0.45 + i for i in range(10)])
    assert health.by_bins(found, "DMD")[1] == ["0-0.25", "0.2 → 0.2", "0.2 → 0.2", "1 → 1", "0.2 → 0.2"]


def test_a_real_run_finished_or_stopped_can_be_read(root: Path, often: None) -> None:
    recipe = student()
    folder = root / recipe.fingerprint()
    with pytest.raises(Stopped):
        train(recipe, root, stop_after(5, recipe.steps))
    paused = health.log(folder)
    assert [row["step"] for row in paused] == [0, 1, 2, 3]
    finished = health.log(train(recipe, root, quiet))
    assert finished[:4] == paused
    text = health.page(finished)
    assert text.startswith("6 updates\n\nupdates  ")
    assert "The loss of DMD is no measure" in text
    assert "nan" not in text


def test_what_is_no_run_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="neither a finished nor a stopped run"):
        health.log(tmp_path)
    (tmp_path / checkpoint.LOG).write_text('{"step": 0}\n{"st')
    with pytest.raises(UserError, match="is damaged"):
        health.log(tmp_path)


def test_a_teachers_log_is_strict_json_and_notes_nothing(root: Path) -> None:
    lines = contents(root / teacher().fingerprint())["log.jsonl"].splitlines()
    assert all(set(json.loads(line)) == {"step", "FlowMatching", "gradient", "clipped"} for line in lines)
