"""The engine on a toy study: what is measured, what is reused, what is made again, and what a failure costs."""

from __future__ import annotations

import errno
import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import toy

from salt_bench import cell as cells
from salt_bench import files, publish, results, study
from salt_bench.cell import Cell
from salt_bench.errors import UserError, WrongUse
from salt_bench.executors.base import Done, Step, Task
from salt_bench.executors.inline import Inline
from salt_bench.executors.local import Local
from salt_bench.progress import Forecast, duration
from salt_bench.study import Outcome, Plan


def quiet(event: object) -> None:
    return None


def fill(plan: Plan, executor: Inline | Local | None = None) -> Outcome:
    return study.run(plan, study.missing(plan, quiet), executor or Inline(), quiet)


def table(plan: Plan) -> bytes:
    results.merge(plan.shards(), plan.place.work / "scores.jsonl")
    return (plan.place.work / "scores.jsonl").read_bytes()


@pytest.fixture
def plan(tmp_path: Path) -> Plan:
    return new_plan(tmp_path)


def new_plan(folder: Path, arms: str = toy.ARMS, more: str = "", after: str = "", scale: str = "default") -> Plan:
    study._module_names.cache_clear()
    folder.mkdir(exist_ok=True)
    return study.make_plan(toy.write_study(folder, arms, more, after), scale, folder / "runs")


def test_every_cell_setting_and_judge_is_there_with_its_known_value(plan: Plan) -> None:
    outcome = fill(plan)
    assert (outcome.trained, outcome.reused, outcome.judged, outcome.failures) == (4, 0, 5, [])
    table(plan)
    rows = results.load(plan.place.work)
    errors = rows[(rows.judge == "brightness") & (rows.part == "error")]
    assert len(errors) == (2 * 2 * 2 + 1) * len(toy.PROMPTS)
    means = errors.groupby("arm")["value"].mean()
    assert means["plus 7"] - means["plain"] == pytest.approx(4, abs=0.2)
    assert means["truth"] == pytest.approx(1, abs=0.5)
    steps = rows[rows.judge == "steps"].groupby("setting")["value"].unique()
    assert {setting: values.tolist() for setting, values in steps.items()} == {"2 steps": [2.0]}  # once, at the first setting
    assert set(rows[rows.judge == "steps"]["arm"]) == {"plain", "plus 7"}  # the truth cannot be stepped
    assert set(rows[rows.arm == "truth"]["setting"]) == {"own"}


def test_set_judges_compare_each_half_with_the_truth_at_another_seed(plan: Plan) -> None:
    fill(plan)
    table(plan)
    rows = results.load(plan.place.work)
    world, held_out = toy.ToyWorld(), np.array([cells.is_validation(p) for p in toy.PROMPTS])
    truth = [world.render(toy.PROMPTS, seed).mean(axis=(1, 2, 3, 4)) for seed in (0, cells.REFERENCE_SHIFT)]
    floor = {
        "distance": abs(truth[0][~held_out].mean() - truth[1][~held_out].mean()),
        "distance@validation": abs(truth[0][held_out].mean() - truth[1][held_out].mean()),
    }
    found = rows[(rows.arm == "truth") & (rows.judge == "frechet")].set_index("part")["value"]
    assert max(floor.values()) > 0
    assert found.to_dict() == pytest.approx(floor)
    means = rows[(rows.judge == "frechet") & (rows.part == "distance")].groupby("arm")["value"].mean()
    assert means["plus 7"] > means["plain"] + 3


def test_nothing_is_done_twice(plan: Plan) -> None:
    fill(plan)
    before = {p: (p.stat().st_mtime_ns, p.read_bytes()) for p in plan.runs.rglob("*") if p.is_file() and ".lock" not in p.name}
    outcome = fill(plan)
    assert (outcome.trained, outcome.reused, outcome.judged) == (0, 5, 0)
    assert before == {p: (p.stat().st_mtime_ns, p.read_bytes()) for p in before}


def test_a_deleted_checkpoint_trains_and_measures_again(plan: Plan) -> None:
    fill(plan)
    before = table(plan)
    arm = plan.study.arms["plain"]
    (arm.folder(1, plan.runs) / "weights").unlink()  # type: ignore[attr-defined]
    assert study.missing(plan, quiet) == [Cell("plain", 1)]
    outcome = fill(plan)
    assert (outcome.trained, outcome.reused, outcome.judged) == (1, 4, 1)
    assert table(plan) == before


def test_another_checkpoint_is_measured_anew(plan: Plan) -> None:
    fill(plan)
    before = table(plan)
    path = plan.study.arms["plain"].folder(0, plan.runs) / "weights"  # type: ignore[attr-defined]
    path.write_bytes(np.array([50.0]).tobytes())
    outcome = fill(plan)
    assert (outcome.trained, outcome.judged) == (0, 1)
    assert table(plan) != before
    clips = list((plan.place.work / "clips" / "plain-seed0").glob("*.npy"))
    assert len(clips) == 2  # one per setting: those of the first checkpoint are gone


@pytest.mark.parametrize("more", ["sample_seeds=(0, 1)", "judges=(Brightness(), Sick('p00', 2.0))", "prompts=PROMPTS[:-1]"])
def test_another_protocol_is_measured_anew_with_the_same_checkpoints(tmp_path: Path, more: str) -> None:
    fill(new_plan(tmp_path))
    outcome = fill(new_plan(tmp_path, more=more))
    assert (outcome.trained, outcome.reused, outcome.judged) == (0, 0, 5)


def test_a_damaged_shard_is_named_and_made_again(plan: Plan) -> None:
    fill(plan)
    before = table(plan)
    shard = plan.place.shard(Cell("plus 7", 0))
    shard.write_bytes(shard.read_bytes()[:-30])
    said: list[str] = []
    assert study.missing(plan, said.append) == [Cell("plus 7", 0)]
    assert str(shard) in said[0]
    assert fill(plan).judged == 1
    assert table(plan) == before


def test_saved_clips_are_judged_without_sampling_again(plan: Plan, monkeypatch: pytest.MonkeyPatch) -> None:
    fill(plan)
    before = table(plan)
    for shard in plan.shards():
        shard.unlink()
    monkeypatch.setattr(cells.clips, "save", lambda *_: pytest.fail("sampled again"))
    assert fill(plan).judged == 5
    assert table(plan) == before


def test_workers_leave_the_same_bytes(plan: Plan, tmp_path: Path) -> None:
    fill(plan)
    other = new_plan(tmp_path / "other")
    outcome = fill(other, Local(2, tmp_path / "logs"))
    assert outcome.failures == []
    assert outcome.wall["train"] > 0
    assert table(other) == table(plan)
    assert len((other.place.work / "timings.jsonl").read_text().splitlines()) == 5


@pytest.mark.parametrize(("harm", "words"), [("raise", "RuntimeError: the toy broke on two lines"), ("die", "SIGKILL.*memory")])
def test_a_failing_cell_stops_nothing_and_is_retried(tmp_path: Path, harm: str, words: str) -> None:
    plan = new_plan(tmp_path, arms=f'{{"bad": ToyArm(1, harm="{harm}"), "plain": ToyArm(3), "plus 7": ToyArm(7)}}')
    outcome = fill(plan, Local(2, tmp_path / "logs"))
    assert sorted(cell for cell, _ in outcome.failures) == ["bad seed 0", "bad seed 1"]
    assert all(re.search(words, reason) for _, reason in outcome.failures)
    assert (outcome.judged, outcome.reused) == (5, 0)
    files.write_text(plan.runs / "mended", "")
    again = fill(plan, Local(2, tmp_path / "logs"))
    assert (again.failures, again.judged, again.reused) == ([], 2, 5)


def test_a_number_that_is_none_fails_its_cell_by_name(tmp_path: Path) -> None:
    outcome = fill(new_plan(tmp_path, more="judges=(Sick('p04', float('nan')),)"))
    assert len(outcome.failures) == 5
    assert "'sick'" in outcome.failures[0][1]
    assert "'p04'" in outcome.failures[0][1]


@pytest.mark.parametrize(
    ("sick", "note"), [("'p04', None", "sick could not judge this"), ("'p04', None, True", "sick: too short to tell")]
)
def test_what_cannot_be_judged_is_a_row_with_a_reason(tmp_path: Path, sick: str, note: str) -> None:
    plan = new_plan(tmp_path, more=f"judges=(Sick({sick}),)")
    assert fill(plan).failures == []
    table(plan)
    rows = results.load(plan.place.work)
    rows = rows[rows.judge == "sick"]
    gaps = rows[rows.value.isna()]
    assert set(gaps.prompt) == {"p04"}
    assert set(gaps.note) == {note}
    assert set(rows[rows.prompt != "p04"].value) == {1.0}


def test_a_full_disk_fails_the_cell_in_one_line_and_the_rerun_goes_on(plan: Plan, monkeypatch: pytest.MonkeyPatch) -> None:
    real, calls = os.fsync, [0]

    def full(handle: int) -> None:
        calls[0] += 1
        if calls[0] > 12:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        real(handle)

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        outcome = fill(plan)
    assert outcome.failures
    assert all(reason.startswith("disk full while writing /") for _, reason in outcome.failures)
    assert fill(plan).failures == []
    assert table(plan)


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ('baseline="plan"', "did you mean plain"),
        ("settings={}", "at least one prompt, setting"),
        ("prompts=PROMPTS[:1] * 2", r"prompt ids \['p00'\]"),
        ("anchors={}", "set judges need the world"),
        ('name="a/b"', "folder"),
        ("judges=(Brightness(), Brightness())", "brightness"),
        ("expectations=(Expectation('gray', 'plain', 'dark', 'brightness', 'mean', 1, ''),)", r"\['dark', 'gray'\]"),
    ],
)
def test_a_study_that_contradicts_itself_is_refused(tmp_path: Path, more: str, words: str) -> None:
    with pytest.raises(WrongUse, match=words):
        new_plan(tmp_path, more=more)


def test_a_study_is_found_by_its_path(tmp_path: Path) -> None:
    toy.write_study(tmp_path)
    with pytest.raises(WrongUse, match=r"no study file .*did you mean toy_study\.py"):
        study.load_study(tmp_path / "toy_stud.py")
    (tmp_path / "empty.py").write_text("")
    with pytest.raises(WrongUse, match="defines no STUDY"):
        study.load_study(tmp_path / "empty.py")
    with pytest.raises(WrongUse, match=r"a scale is one of.*did you mean smoke"):
        study.load_study(tmp_path / "toy_study.py", "smok")


def test_scales_are_a_table_or_derived(tmp_path: Path) -> None:
    smoke = new_plan(tmp_path, scale="smoke").study
    assert [cells.is_validation(p) for p in smoke.prompts] == [True] * 3 + [False] * 6
    assert (tuple(smoke.train_seeds), tuple(smoke.sample_seeds)) == ((0,), (0,))
    after = 'SCALES = {"smoke": Study(**(base | dict(arms={"plain": ToyArm(3)}, prompts=PROMPTS[:4])))}'
    assert len(new_plan(tmp_path, after=after, scale="smoke").study.prompts) == 4
    assert len(new_plan(tmp_path, after=after, scale="full").study.prompts) == 9


def test_publishing_is_whole_and_happens_once(plan: Plan, tmp_path: Path) -> None:
    outcome, out, rendered = fill(plan), tmp_path / "reports" / "toy", []

    def render(folder: Path) -> None:
        rendered.append(folder.name)
        (folder / "index.html").write_text("page")

    assert publish.publish(plan, outcome, out, render)
    facts = json.loads((out / "manifest.json").read_text())
    assert facts["cells"] == {"trained": 4, "reused": 0, "judged": 5}
    assert list(facts["study"]["arms"]) == ["plain", "plus 7"]
    assert facts["protocol"]["clip"] == {"frames": 3, "size": [8, 8], "fps": 4.0}
    assert facts["outputs"]["brightness"]["error"]["margin"] == 1.0
    before = snapshot(out)
    assert not publish.publish(plan, fill(plan), out, render)
    assert snapshot(out) == before
    assert rendered == ["toy"]
    assert sorted(p.name for p in out.parent.iterdir()) == ["toy"]


def test_a_row_of_another_protocol_is_never_published(plan: Plan, tmp_path: Path) -> None:
    outcome = fill(plan)
    other = new_plan(tmp_path, more="sample_seeds=(1,)")  # another run, which has seen another state of the study's file
    cells.measure(other.study, Cell("plain", 1), other.place, lambda *_: None)
    with pytest.raises(UserError, match=r"1 cells in .*shards are not what this study asks for \(plain-seed1 is the first\)"):
        publish.publish(plan, outcome, tmp_path / "out", _fail)
    assert not (tmp_path / "out").exists()
    again = fill(new_plan(tmp_path))
    assert (again.trained, again.reused, again.judged) == (0, 4, 1)
    assert publish.publish(plan, again, tmp_path / "out", lambda folder: (folder / "index.html").touch())


def test_a_stage_that_two_cells_share_is_made_once(tmp_path: Path) -> None:
    arms = '{name: ToyArm(3, steps=20, pause=0.02, grid=(1.0, float(n))) for n, name in enumerate(("plain", "b", "c"))}'
    plan = new_plan(tmp_path, arms, "train_seeds=(0,)")
    outcome = fill(plan, Local(3, tmp_path / "logs"))
    assert (outcome.trained, outcome.judged, outcome.failures) == (1, 4, [])
    assert len(list((plan.runs / "checkpoints").iterdir())) == 1


def snapshot(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def test_the_gallery_shows_test_prompts_of_every_arm(plan: Plan, tmp_path: Path) -> None:
    from PIL import Image

    publish.publish(plan, fill(plan), tmp_path / "out", lambda folder: (folder / "index.html").touch())
    clips = tmp_path / "out" / "clips"
    index = json.loads((clips / "index.json").read_text())
    assert list(index["prompts"]) == [p.id for p in toy.PROMPTS[3:]]
    assert (index["setting"], index["frames"], index["size"], index["fps"]) == ("2 steps", 3, [8, 8], 4.0)
    for name, wanted in (("plain", 3), ("plus 7", 7)):
        strip = np.asarray(Image.open(clips / index["arms"][name] / "p04.png"))
        assert strip.shape == (8, 24, 3)
        assert strip.mean() - 80 == pytest.approx(wanted, abs=1)


def test_a_failed_page_leaves_the_published_study_alone(plan: Plan, tmp_path: Path) -> None:
    out = tmp_path / "out"
    outcome = fill(plan)
    publish.publish(plan, outcome, out, lambda folder: (folder / "index.html").touch())
    before = snapshot(out)
    (out / "clips" / "index.json").unlink()
    with pytest.raises(RuntimeError, match="no page"):
        publish.publish(plan, outcome, out, _fail)
    assert snapshot(out).keys() == before.keys() - {"clips/index.json"}


def _fail(folder: Path) -> None:
    raise RuntimeError("no page")


def test_a_folder_of_something_else_is_not_replaced(plan: Plan, tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.tex").write_text("years")
    with pytest.raises(WrongUse, match="holds no published study"):
        publish.publish(plan, Outcome(), tmp_path / "mine", _fail)
    assert (tmp_path / "mine" / "thesis.tex").read_text() == "years"


def test_a_lock_is_held_against_others(tmp_path: Path) -> None:
    from filelock import FileLock, Timeout

    with files.lock(tmp_path / "x.lock"), pytest.raises(Timeout):
        FileLock(tmp_path / "x.lock").acquire(timeout=0.01)
    FileLock(tmp_path / "x.lock").acquire(timeout=0.01).lock.release()


def test_a_lock_is_released_by_the_death_of_its_holder(tmp_path: Path) -> None:
    holds = (
        f"import time; from pathlib import Path; from salt_bench import files\nwith files.lock(Path({str(tmp_path / 'x')!r})):"
    )
    command = [sys.executable, "-c", f"{holds}\n print('held', flush=True)\n time.sleep(60)"]
    with subprocess.Popen(command, env=toy.environment(), stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        holder.kill()
    with files.lock(tmp_path / "x"):
        pass


def test_an_arm_without_evidence_is_an_error(plan: Plan, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(type(plan.study.arms["plain"]), "evidence", lambda *_: "")
    with pytest.raises(UserError, match="'plain' shows no evidence"):
        cells.measure(plan.study, Cell("plain", 0), plan.place, lambda *_: None)


def forecast(known: dict[str, float], see: Callable[[Forecast, Task, Task], None]) -> Forecast:
    tasks = [Task("s", "default", "w", "m", arm, 0) for arm in ("a", "b")]
    made = Forecast(tasks, 1, (), known)
    see(made, *tasks)
    return made


def test_the_time_left_is_learned() -> None:
    assert forecast({}, lambda f, a, b: None).seconds_left(0) is None
    assert forecast({"a": 60.0}, lambda f, a, b: None).seconds_left(0) == 120

    def half_trained(f: Forecast, a: Task, b: Task) -> None:
        f.see(Step(0, a, "train", 0.0), 0)
        f.see(Step(0, a, "train", 0.5), 35)

    going = forecast({}, half_trained)
    assert going.fraction() == pytest.approx(0.35 / 2)
    assert going.seconds_left(35) == pytest.approx(65 * 2)  # .35 of a cell took 35 s, and b is taken to be like it
    going.see(Done(0, Task("s", "default", "w", "m", "a", 0), judged=True, wall={"train": 10.0, "judge": 30.0}), 40)
    assert going.seconds_left(40) == pytest.approx(40)
    assert going.fraction() == 0.5
    assert [duration(s) for s in (5, 185, 7800)] == ["5 s", "3 min 05 s", "2 h 10 min"]
