"""The same study under every executor: the same bytes, whatever dies on the way. Ray and Slurm are real, on this machine."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import psutil
import pytest

sys.path.insert(0, str(Path(__file__).parent.parent))

import toy

from salt_bench import results, study
from salt_bench.executors.base import Done, Step, Task
from salt_bench.executors.options import make
from salt_bench.study import Outcome, Plan

ARMS = '{"plain": ToyArm(3, steps=20, pause=0.02), "plus 7": ToyArm(7, steps=20, pause=0.02)}'
STORE = 100_000_000  # bytes of each node's object store


def plan_in(folder: Path, arms: str = ARMS) -> Plan:
    study._module_names.cache_clear()
    folder.mkdir(exist_ok=True)
    return study.make_plan(toy.write_study(folder, arms), runs=folder / "runs")


def fill(plan: Plan, executor: str, *options: str, watch: Callable[[Step | Done], None] = lambda event: None) -> Outcome:
    wanted = study.missing(plan, print)
    return study.run(plan, wanted, make(executor, 2, plan.place.work / "logs", options), watch)


def table(plan: Plan) -> bytes:
    results.merge(plan.shards(), plan.place.work / "scores.jsonl")
    return (plan.place.work / "scores.jsonl").read_bytes()


@pytest.fixture(scope="module")
def calm(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """What one cell after the other leaves."""
    plan = plan_in(tmp_path_factory.mktemp("calm"))
    assert fill(plan, "inline").failures == []
    return table(plan)


@pytest.fixture
def cluster() -> Iterator[Any]:
    """A Ray cluster of three nodes with one CPU each."""
    pytest.importorskip("ray")
    from ray.cluster_utils import Cluster

    node = {"num_cpus": 1, "object_store_memory": STORE}
    made = Cluster(initialize_head=True, head_node_args={**node, "include_dashboard": False})
    made.extra = [made.add_node(**node) for _ in range(2)]
    yield made
    made.shutdown()


def test_local_processes_leave_the_same_bytes(tmp_path: Path, calm: bytes) -> None:
    plan = plan_in(tmp_path)
    assert fill(plan, "local").judged == 5
    assert table(plan) == calm


def test_a_ray_cluster_of_many_nodes_leaves_the_same_bytes(tmp_path: Path, calm: bytes, cluster: Any) -> None:
    plan, steps = plan_in(tmp_path), set[tuple[Task, str]]()
    seen: list[Done] = []

    def watch(event: Step | Done) -> None:
        if isinstance(event, Step):
            steps.add((event.task, event.stage))
        else:
            seen.append(event)

    outcome = fill(plan, "ray", f"address={cluster.address}", watch=watch)
    assert (outcome.judged, outcome.failures) == (5, [])
    assert table(plan) == calm
    assert {stage for _, stage in steps} >= {"train"}
    assert {event.worker for event in seen} <= {0, 1}
    assert fill(plan, "ray", f"address={cluster.address}").reused == 5


def test_ray_workers_that_die_cost_their_own_cell(tmp_path: Path, cluster: Any) -> None:
    arms = '{"plain": ToyArm(3), "once": ToyArm(1, harm="die once"), "always": ToyArm(2, harm="die")}'
    plan = plan_in(tmp_path, arms)
    outcome = fill(plan, "ray", f"address={cluster.address}")
    assert sorted(cell for cell, _ in outcome.failures) == ["always seed 0", "always seed 1"]
    assert all("its Ray worker died, twice" in reason for _, reason in outcome.failures)
    assert outcome.judged == 5
    (plan.runs / "mended").touch()
    assert (fill(plan, "ray", f"address={cluster.address}").judged, study.missing(plan, print)) == (2, [])


def test_a_ray_node_that_dies_costs_nothing(tmp_path: Path, calm: bytes, cluster: Any) -> None:
    plan, doomed = plan_in(tmp_path), list(cluster.extra)

    def watch(event: Step | Done) -> None:
        if doomed and isinstance(event, Step):
            for node in doomed:
                cluster.remove_node(node, allow_graceful=False)
            doomed.clear()

    assert fill(plan, "ray", f"address={cluster.address}", watch=watch).failures == []
    assert table(plan) == calm


def start(folder: Path, *arguments: str) -> subprocess.Popen[str]:
    command = toy.command("run", "toy_study.py", "--jobs", "2", "--out", "out", *arguments)
    pipe = subprocess.PIPE
    return subprocess.Popen(command, cwd=folder, env=toy.environment(), stdout=pipe, stderr=pipe, text=True)


def wait_for(happened: Callable[[], object], seconds: float = 120) -> None:
    end = time.monotonic() + seconds
    while not happened():
        assert time.monotonic() < end, "it never happened"
        time.sleep(0.05)


def test_a_ray_head_that_is_restarted_loses_nothing(tmp_path: Path, calm: bytes, cluster: Any) -> None:
    from ray.cluster_utils import Cluster

    toy.write_study(tmp_path, ARMS.replace("0.02", "0.5"))
    run = start(tmp_path, "--executor", "ray", "-o", f"address={cluster.address}")
    wait_for(lambda: list((tmp_path / "runs").glob("checkpoints/*/state")))
    cluster.head_node.kill_all_processes(check_alive=False, allow_graceful=False)
    out, err = run.communicate(timeout=100)
    assert run.returncode == 5, out + err  # what Ray says first, that the head or that the workers are gone, depends
    assert "the Ray head at" in err or "run again to retry" in err
    node = {"num_cpus": 2, "object_store_memory": STORE, "include_dashboard": False}
    fresh = Cluster(initialize_head=True, head_node_args=node)
    try:
        again = start(tmp_path, "--executor", "ray", "-o", f"address={fresh.address}")
        out, err = again.communicate(timeout=100)
    finally:
        fresh.shutdown()
    assert again.returncode == 0, out + err
    assert (tmp_path / "out" / "scores.jsonl").read_bytes() == calm


def descendants(process: subprocess.Popen[str]) -> list[psutil.Process]:
    return psutil.Process(process.pid).children(recursive=True)


def at_work(process: psutil.Process) -> bool:
    """Whether it lives; Ray's own agents look for their lost head for a minute, which costs nobody anything."""
    try:
        return process.status() != psutil.STATUS_ZOMBIE and not process.name().endswith("Agent")
    except psutil.NoSuchProcess:
        return False


@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGKILL], ids=["ctrl-c", "killed"])
def test_a_ray_cluster_of_the_run_ends_with_it(tmp_path: Path, calm: bytes, signum: signal.Signals) -> None:
    pytest.importorskip("ray")
    toy.write_study(tmp_path, ARMS.replace("0.02", "0.5"))
    run = start(tmp_path, "--executor", "ray")
    wait_for(lambda: list((tmp_path / "runs").glob("checkpoints/*/state")))
    others = descendants(run)
    assert len(others) > 3  # the cluster and its workers
    run.send_signal(signum)
    run.communicate(timeout=60)
    assert run.returncode == (130 if signum is signal.SIGINT else -signum)
    wait_for(lambda: not any(at_work(process) for process in others), 30)
    toy.write_study(tmp_path, ARMS)
    plan = study.make_plan(tmp_path / "toy_study.py", runs=tmp_path / "runs")
    assert fill(plan, "local").failures == []
    assert table(plan) == calm


@cache
def slurm_answers() -> bool:
    if shutil.which("sinfo") is None:
        return False
    return subprocess.run(["sinfo", "--noheader"], capture_output=True, timeout=20, check=False).returncode == 0


@pytest.fixture(params=["local", "slurm"])
def where(request: pytest.FixtureRequest) -> str:
    """submitit's stand-in for a cluster, and Slurm itself where this machine is part of one."""
    pytest.importorskip("submitit")
    if request.param == "slurm" and not slurm_answers():
        pytest.skip("no Slurm answers on this machine")
    return str(request.param)


def test_jobs_leave_the_same_bytes(tmp_path: Path, calm: bytes, where: str) -> None:
    plan, stages = plan_in(tmp_path), set[str]()
    outcome = fill(plan, "slurm", f"cluster={where}", watch=lambda e: stages.add(e.stage) if isinstance(e, Step) else None)
    assert (outcome.judged, outcome.failures) == (5, [])
    assert stages == {"train", "sample", "judge", "probe"}
    assert table(plan) == calm
    assert not list((plan.place.work / "logs").iterdir())


def test_jobs_that_die_cost_their_own_cell(tmp_path: Path, where: str) -> None:
    plan = plan_in(tmp_path, '{"plain": ToyArm(3), "plus 7": ToyArm(7), "bad": ToyArm(1, harm="die")}')
    outcome = fill(plan, "slurm", f"cluster={where}", "cells=4")
    assert sorted(cell for cell, _ in outcome.failures) == ["bad seed 0", "bad seed 1"]
    assert all("ended without an outcome" in reason for _, reason in outcome.failures)
    assert outcome.judged == 5
    (plan.runs / "mended").touch()
    assert (fill(plan, "slurm", f"cluster={where}").judged, study.missing(plan, print)) == (2, [])


def test_stopping_ends_the_jobs_and_the_same_command_goes_on(tmp_path: Path, calm: bytes, where: str) -> None:
    toy.write_study(tmp_path, ARMS.replace("0.02", "0.5"))
    run = start(tmp_path, "--executor", "slurm", "-o", f"cluster={where}")
    wait_for(lambda: list((tmp_path / "runs").glob("checkpoints/*/state")))
    run.send_signal(signal.SIGINT)
    out, err = run.communicate(timeout=60)
    assert run.returncode == 130, out + err
    wait_for(lambda: not jobs_of(tmp_path), 60)
    toy.write_study(tmp_path, ARMS)
    again = start(tmp_path, "--executor", "slurm", "-o", f"cluster={where}")
    out, err = again.communicate(timeout=100)
    assert again.returncode == 0, out + err
    assert (tmp_path / "out" / "scores.jsonl").read_bytes() == calm


def jobs_of(folder: Path) -> list[psutil.Process]:
    """Processes of submitit that work in `folder`."""
    found = []
    for process in psutil.process_iter(["cmdline"]):
        command = process.info["cmdline"] or []
        if "submitit.core._submit" in command and any(str(folder) in word for word in command) and process.pid != os.getpid():
            found.append(process)
    return found
