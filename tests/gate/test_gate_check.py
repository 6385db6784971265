"""Checks of saved results whose verdicts are known."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from sides import ERROR, PROTOCOL, errors, saved, shifted, side

from salt_bench import results
from salt_bench.errors import WrongUse
from salt_bench.gate.agenda import Ask
from salt_bench.gate.check import Checked, check
from salt_bench.gate.stored import Stored, open_stored, save
from salt_bench.gate.verdict import Report, Verdict

BASE = errors(128)


def run(candidate: str, baseline: str, **asked: object) -> Checked:
    return check(candidate, baseline, Ask(**asked), lambda stage, share: None)  # type: ignore[arg-type]


def against(tmp_path: Path, candidate: Stored, baseline: Stored | None = None, **asked: object) -> Report:
    names = saved(tmp_path / "new", candidate), saved(tmp_path / "old", baseline or side(BASE))
    return run(*names, **asked).report


def test_the_same_scores_pass(tmp_path: Path) -> None:
    report = against(tmp_path, side(BASE))
    assert (report.verdict, report.candidate, report.baseline) == (Verdict.PASS, "new", "old")
    assert [(f.gauge.name, f.prompts, f.loss) for f in report.findings] == [("bright.error", 128, 0), ("sharp.score", 128, 0)]


@pytest.mark.parametrize(("lost", "verdict"), [(-8.0, "PASS"), (0.5, "PASS"), (2.0, "INCONCLUSIVE"), (4.0, "REGRESSION")])
def test_a_loss_is_held_against_the_margin_of_two(tmp_path: Path, lost: float, verdict: str) -> None:
    report = against(tmp_path, side(shifted(BASE, lost)))
    assert report.verdict == verdict
    found = report.findings[0]
    assert found.change(found.loss) == pytest.approx(lost, abs=1e-9)
    assert found.low < found.loss < found.high
    assert report.sentence().startswith(verdict)


def test_sharper_is_better_and_its_margin_is_a_share(tmp_path: Path) -> None:
    sharp = [1.0 + 0.01 * (i % 5) for i in range(128)]
    for factor, verdict in ((1.2, Verdict.PASS), (0.98, Verdict.PASS), (0.9, Verdict.REGRESSION)):
        assert against(tmp_path, side(BASE, [factor * s for s in sharp])).verdict is verdict
        assert against(tmp_path, side(BASE, [factor * s for s in sharp]), judges=("bright",)).verdict is Verdict.PASS


def test_a_margin_can_be_given_with_the_command(tmp_path: Path) -> None:
    worse = side(shifted(BASE, 4.0))
    assert against(tmp_path, worse, margins=("bright=8",)).verdict is Verdict.PASS
    assert against(tmp_path, side(shifted(BASE, 1.0)), margins=("bright.error=0.1",)).verdict is Verdict.REGRESSION


def test_three_samples_are_inconclusive_and_say_how_many_would_do(tmp_path: Path) -> None:
    report = against(tmp_path, side(BASE), prompts=3)
    assert report.verdict is Verdict.INCONCLUSIVE
    assert report.findings[0].needed is not None
    assert "3 prompts do not tell, about" in report.sentence()


def test_looking_early_saves_samples_where_the_answer_is_clear(tmp_path: Path) -> None:
    clear, close = side(shifted(BASE, 12.0)), side(shifted(BASE, 1.9))
    early = against(tmp_path, clear, sequential=True, batch=16)
    assert (early.verdict, early.used, early.asked) == (Verdict.REGRESSION, 16, 128)
    assert against(tmp_path, close, sequential=True, batch=16).used == 128
    assert against(tmp_path, side(BASE), sequential=True, batch=16).verdict is Verdict.PASS


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("sampler.grid", {"sampler": {**PROTOCOL["sampler"], "grid": [1.0]}}),  # type: ignore[dict-item]
        ("clip.fps", {"clip": {"frames": 12, "size": [24, 24], "fps": 16.0}}),
        ("clip.size", {"clip": {"frames": 12, "size": [48, 48], "fps": 8.0}}),
        ("judges.sharp.threshold", {"judges": {"bright": {"judge": "bright"}, "sharp": {"judge": "sharp", "threshold": 4}}}),
        ("sample_seeds", {"sample_seeds": [1]}),
        ("train_seeds", {"train_seeds": [0, 1, 2]}),
    ],
)
def test_another_protocol_is_incomparable_by_name(tmp_path: Path, field: str, value: dict[str, object]) -> None:
    report = run(saved(tmp_path / "new", side(BASE), **value), saved(tmp_path / "old", side(BASE))).report
    assert report.verdict is Verdict.INCOMPARABLE
    assert field in report.reason


def test_a_judge_that_is_not_gated_may_differ(tmp_path: Path) -> None:
    judges = {**PROTOCOL["judges"], "sharp": {"judge": "sharp", "threshold": 4}}  # type: ignore[dict-item]
    names = saved(tmp_path / "new", side(BASE), judges=judges), saved(tmp_path / "old", side(BASE))
    assert run(*names, judges=("bright",)).report.verdict is Verdict.PASS


def test_missing_prompts_are_incomparable_and_more_do_no_harm(tmp_path: Path) -> None:
    fewer = side(BASE[:100])
    report = against(tmp_path, fewer)
    assert report.verdict is Verdict.INCOMPARABLE
    assert "the candidate lacks 28 of 128" in report.reason
    assert run(str(tmp_path / "old"), str(tmp_path / "new")).report.verdict is Verdict.PASS


def test_what_only_the_baseline_could_be_judged_on_is_an_error(tmp_path: Path) -> None:
    report = against(tmp_path, side([None, *BASE[1:]]))
    assert report.verdict is Verdict.ERROR
    assert "1 clips of the candidate could not be judged, the first because: too dark" in report.sentence()
    assert run(str(tmp_path / "old"), str(tmp_path / "new")).report.verdict is Verdict.PASS, "127 pairs are left"


def test_a_row_that_is_missing_is_an_error(tmp_path: Path) -> None:
    whole = side(BASE)
    report = against(tmp_path, replace(whole, scores=whole.scores[:-3]))
    assert report.verdict is Verdict.ERROR
    assert "1 of 128 clips of the candidate were never judged" in report.sentence()


def test_empty_and_damaged_results_are_errors(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    old = saved(tmp_path / "old", side(BASE))
    nothing = saved(tmp_path / "nothing", side(BASE))
    results.write(Path(nothing) / "scores.jsonl", [])
    cut = saved(tmp_path / "cut", side(BASE))
    (Path(cut) / "scores.jsonl").write_text((Path(cut) / "scores.jsonl").read_text()[:-40])
    for word, reason in ((str(tmp_path / "empty"), "is empty"), (nothing, "no score"), (cut, "is damaged")):
        for pair in ((word, old), (old, word)):
            report = run(*pair).report
            assert (report.verdict, report.findings) == (Verdict.ERROR, ())
            assert reason in report.reason
    with pytest.raises(WrongUse, match="nor is it a folder of results"):
        run("nowhere", old)


def test_a_saved_baseline_reads_back(tmp_path: Path) -> None:
    stored = side(BASE, name="side")
    save(tmp_path / "base", stored)
    again = open_stored(str(tmp_path / "base"))
    assert again is not None
    assert (again.prompts, again.protocol, again.outputs) == (stored.prompts, stored.protocol, stored.outputs)
    assert sorted(again.scores, key=lambda s: s.key()) == sorted(stored.scores, key=lambda s: s.key())
    save(tmp_path / "base", stored)  # over an earlier one
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "thesis.tex").write_text("")
    with pytest.raises(WrongUse, match="holds no saved baseline"):
        save(tmp_path / "full", stored)


def study(folder: Path, arms: dict[str, list[list[float]]]) -> Path:
    """A published study of `arms`, errors by training seed, at two settings."""
    stored = side(next(iter(arms.values()))[0])
    scores = [
        s.__class__(arm, setting, seed, s.prompt, 0, s.judge, s.values)
        for arm, seeds in arms.items()
        for seed, values in enumerate(seeds)
        for setting in ("1 step", "2 steps")
        for s in side(values).scores
    ]
    manifest = {
        "study": {
            "arms": {name: {} for name in arms},
            "anchors": {},
            "settings": {"1 step": [1.0], "2 steps": [1.0, 0.5]},
            "prompts": [{"id": p.id, "text": p.text, "tags": []} for p in stored.prompts],
        },
        "protocol": {"sample_seeds": [0], "clip": PROTOCOL["clip"], "judges": list(PROTOCOL["judges"].values())},  # type: ignore[attr-defined]
        "outputs": {j: {p: vars(o) for p, o in parts.items()} for j, parts in stored.outputs.items()},
    }
    results.write(folder / "scores.jsonl", scores)
    (folder / "manifest.json").write_text(json.dumps(manifest))
    return folder


def test_arms_of_a_published_study(tmp_path: Path) -> None:
    seeds = [errors(48, seed=s) for s in range(4)]
    worse = [shifted(values, 8.0, seed=9 + s) for s, values in enumerate(seeds)]
    folder = study(tmp_path / "study", {"plain": seeds, "worse": worse})
    plain, other = f"{folder}::plain::2 steps", f"{folder}::worse::2 steps"
    assert run(plain, plain).report.verdict is Verdict.PASS
    report = run(other, plain).report
    assert report.verdict is Verdict.REGRESSION
    assert (report.findings[0].prompts, report.findings[0].train_seeds) == (48, 4)
    assert "sampler.grid is [1.0] against [1.0, 0.5]" in run(f"{folder}::plain::1 step", plain).report.reason
    for word, words in ((folder, "has 2 arms"), (f"{folder}::plan", "did you mean plain"), (f"{folder}::plain", "2 settings")):
        with pytest.raises(WrongUse, match=words):
            run(str(word), plain)
    assert ERROR.name == report.findings[0].gauge.name
