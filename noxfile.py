"""Sessions: how this project is checked. `nox -l` lists them; what follows `--` goes to the tool inside."""

import shutil
from pathlib import Path

import nox

nox.options.default_venv_backend = "uv"
nox.options.reuse_venv = "yes"
nox.options.sessions = ["tests"]
nox.options.error_on_external_run = True

ROOT = Path(__file__).parent
ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")


def install(session: nox.Session, *what: str) -> None:
    """The pinned versions, whatever is asked for."""
    session.install("-c", "constraints.txt", *(what or ("-e", ".[test]")))


def run(session: nox.Session, *command: str) -> None:
    session.run(*command, *session.posargs, env=ONE_THREAD)


@nox.session
def tests(session: nox.Session) -> None:
    """Everything that takes seconds, on two processes."""
    install(session)
    run(session, "pytest", "tests", "--ignore", "tests/proofs", "--ignore", "tests/speed", "-n", "2")


@nox.session
def proofs(session: nox.Session) -> None:
    """What takes minutes: kills, clusters, coverage of intervals, browsers."""
    install(session, "-e", ".[test,ray,slurm]")
    run(session, "pytest", "tests/proofs", "-s")


@nox.session
def gate(session: nox.Session) -> None:
    """This project under its own gate: a student of a few updates, trained and judged anew, against tests/baseline/."""
    install(session)
    runs = ROOT / "runs" / "gate"
    shutil.rmtree(runs, ignore_errors=True)  # or what an earlier state of the code has trained would be judged
    session.run("salt-train", "run", "tests/baseline/student.json", "--runs", str(runs), env=ONE_THREAD)
    (student,) = (path.parent for path in runs.glob("checkpoints/*/recipe.json"))
    run(session, "salt-bench", "check", str(student), "--baseline", "tests/baseline", "--runs", str(runs))


@nox.session
def simulation(session: nox.Session) -> None:
    """The suite's own intervals and gate on judges whose truth is known: reports/statistics/; minutes on one core."""
    install(session)
    run(session, "python", "-m", "salt_bench.simulation")


@nox.session
def lint(session: nox.Session) -> None:
    install(session, "ruff")
    session.run("ruff", "check", ".", *session.posargs)
    session.run("ruff", "format", "--check", ".")


@nox.session
def types(session: nox.Session) -> None:
    install(session, "-e", ".[test]", "mypy")
    run(session, "mypy")


@nox.session
def smoke(session: nox.Session) -> None:
    """Every ablation at smoke scale; publishes into runs/smoke/ and never into reports/."""
    install(session)
    for path in ABLATIONS:
        run(session, "salt-bench", "run", str(path.relative_to(ROOT)), "--scale", "smoke")


@nox.session
def vbench_smoke(session: nox.Session) -> None:
    """All of VBench's dimensions, on four small clips and with random weights, to a page."""
    install(session)
    work = Path("runs") / "vbench_smoke"
    run(session, "python", "-m", "salt_bench.judges.vbench.smoke", str(work))
    options = ("--mode", "custom", "--prompts", f"{work}/prompts.json", "--weights", f"{work}/weights", "--jobs", "2")
    judge = ("salt-bench", "judge", f"{work}/videos", *options, "--dimensions", "all", "--out", f"{work}/scores")
    session.run(*judge, env=ONE_THREAD, success_codes=[0, 6])  # 6: a random network sees no thing whose color could be judged


@nox.session
def speed(session: nox.Session) -> None:
    install(session)
    run(session, "pytest", "tests/speed", "--benchmark-only")


@nox.session
def teacher(session: nox.Session) -> None:
    """Trains the teacher that ships with the package again, from nothing."""
    install(session)
    run(session, "salt-train", "run", "teacher", "--again", "--processes", "2")


@nox.session
def semantic(session: nox.Session) -> None:
    """Fits the embedded world's text-video model again, from nothing: its weights, and what it can see."""
    install(session)
    run(session, "python", "-m", "salt_bench.judges.networks.shapes_clip_training")
    run(session, "python", "-m", "salt_bench.judges.networks.shapes_clip_sight")


def ablation(path: Path) -> None:
    """One session per file in ablations/: the file that exists is the session that exists."""

    @nox.session(name=f"ablation_{path.stem}")
    def session(session: nox.Session) -> None:
        extras = ["test", *(name for name in ("ray", "slurm") if name in session.posargs)]
        install(session, "-e", f".[{','.join(extras)}]")
        run(session, "salt-bench", "run", str(path.relative_to(ROOT)))


ABLATIONS = sorted((ROOT / "ablations").glob("[!_]*.py"))
for file in ABLATIONS:
    ablation(file)
