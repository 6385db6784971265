"""Several processes train a model: who can, does; it is noted, and the page says so."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
import toy

from salt_bench import publish, results, study, together
from salt_bench.errors import WrongUse
from salt_bench.executors.inline import Inline
from salt_bench.executors.local import Local
from salt_bench.report import page
from salt_bench.study import Plan

ARMS = '{"plain": ToyArm(3), "shared": SharedToy(7)}'


def _plan(folder: Path, processes: int) -> Plan:
    study._module_names.cache_clear()
    folder.mkdir(exist_ok=True)
    return study.make_plan(toy.write_study(folder, ARMS), runs=folder / "runs", processes=processes)


def _filled(plan: Plan) -> Plan:
    outcome = study.run(plan, study.missing(plan, print), Inline(), lambda event: None)
    assert outcome.failures == []
    return plan


def _noted(plan: Plan) -> dict[str, int]:
    arms = plan.study.arms
    return {name: together.noted(arms[name], 0, plan.place.models) for name in arms}


def test_a_model_is_trained_by_as_many_processes_as_were_asked_for(tmp_path: Path) -> None:
    alone, both = _filled(_plan(tmp_path / "1", 1)), _filled(_plan(tmp_path / "2", 2))
    assert (_noted(alone), _noted(both)) == ({"plain": 1, "shared": 1}, {"plain": 1, "shared": 2})
    assert not (alone.place.models / together.FOLDER).exists()
    first, second = (plan.study.arms["shared"].evidence(0, plan.place.models) for plan in (alone, both))
    assert first != second
    assert publish.processes(alone) == [1]
    assert publish.processes(both) == [1, 2]


def test_a_finished_model_is_not_trained_again_by_others_and_its_note_stays(tmp_path: Path) -> None:
    plan = _filled(_plan(tmp_path / "s", 2))
    evidence = plan.study.arms["shared"].evidence(0, plan.place.models)
    for processes in (1, 3):
        again = replace(plan, processes=processes)
        assert study.missing(again, print) == []
        assert together.prepare(plan.study.arms["shared"], 0, plan.place.models, lambda *_: None, processes) is False
    assert plan.study.arms["shared"].evidence(0, plan.place.models) == evidence
    assert _noted(plan)["shared"] == 2


def test_workers_hear_of_it_and_the_page_says_so(tmp_path: Path) -> None:
    plan = _plan(tmp_path / "s", 2)
    outcome = study.run(plan, study.missing(plan, print), Local(2, plan.place.work / "logs"), lambda event: None)
    assert outcome.failures == []
    publish.publish(plan, outcome, tmp_path / "out", page.render)
    assert json.loads((tmp_path / "out/manifest.json").read_text())["processes"] == [1, 2]
    for name in ("index.html", "report.md"):
        assert "models trained by 1, 2 processes: repeatable within rounding only" in (tmp_path / "out" / name).read_text()
    assert len(results.read(tmp_path / "out/scores.jsonl")) > 10


def test_its_folder_is_no_name_for_a_study(tmp_path: Path) -> None:
    study._module_names.cache_clear()
    with pytest.raises(WrongUse, match="its name is to be a folder's name"):
        study.make_plan(toy.write_study(tmp_path, more=f"name={together.FOLDER!r}"))
