"""The command `salt-train`: a method's name or a recipe file to a checkpoint."""

from __future__ import annotations

import inspect
import json
import os
import sys
from pathlib import Path
from typing import Annotated, get_type_hints

import typer

from salt_bench import record
from salt_bench.errors import UserError, WrongUse
from salt_train import encode as encoding
from salt_train.convert import command as conversion

ERROR, INTERRUPTED = 5, 130

app = typer.Typer(
    help="Train few-step video models: a method's name or a recipe file to a checkpoint.",
    epilog="Exit codes: 0 fine, 2 wrong use, 5 error, 130 Ctrl-C. SALT_TRACEBACK=1 shows where an error came from.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)

LAYOUT = ("micro", "shard", "device", "compute", "frozen", "checkpointing", "offload", "sequence")
FLEET = ("processes", "gpus", "memory")
"""Both are options that a layout's name stands for."""

Runs = Annotated[Path, typer.Option(help="Work folder; checkpoints go to <runs>/checkpoints/<fingerprint>.")]
Set = Annotated[list[str] | None, typer.Option("--set", help="A parameter of the method, as in --set points=8.")]

SCALES = "wan21, wan21_1b, wan21_14b, shapes"
Scale = Annotated[str | None, typer.Option("--setup", help=f"The scale: {SCALES}.")]
Named = Annotated[
    str | None,
    typer.Option("--layout", help="The setup's layout of that name, as in 8x80GB, in place of the options on devices."),
]
Micro = Annotated[int | None, typer.Option(min=1, help="Videos that a process takes at once; the batch stays what it is.")]
Shard = Annotated[bool, typer.Option("--shard", help="Cut networks and optimisers among the processes (FSDP2).")]
Device = Annotated[str, typer.Option(help="cpu or cuda.")]
Compute = Annotated[str | None, typer.Option(help="Matrix products in float32 or bfloat16; bfloat16 is usual on cuda.")]
Frozen = Annotated[str, typer.Option(help="What networks that do not learn are kept in: float32 or bfloat16.")]
Checkpointing = Annotated[bool, typer.Option("--checkpointing", help="Compute blocks again in the backward pass.")]
Offload = Annotated[bool, typer.Option("--offload", help="On cuda: what is not needed at the moment lies in the CPU's memory.")]
Sequence = Annotated[
    int, typer.Option(min=1, help="Processes that make every video together, each with some tokens and heads (Ulysses).")
]


@app.command()
def run(
    context: typer.Context,
    method: Annotated[str, typer.Argument(help="A method (see `salt-train list`) or a recipe.json.", show_default=False)],
    seed: Annotated[int | None, typer.Option(help="Training seed, instead of the recipe's own.")] = None,
    setup: Scale = None,
    set_: Set = None,
    layout: Named = None,
    runs: Runs = Path("runs"),
    processes: Annotated[int, typer.Option(min=1, help="Processes that share each batch; with --device cuda one per GPU.")] = 1,
    micro: Micro = None,
    shard: Shard = False,
    device: Device = "cpu",
    compute: Compute = None,
    frozen: Frozen = "float32",
    checkpointing: Checkpointing = False,
    offload: Offload = False,
    sequence: Sequence = 1,
    again: Annotated[bool, typer.Option("--again", help="Train even where the package ships this checkpoint.")] = False,
) -> None:
    """Train a method, its teacher first if that is missing. Stop it at any time: the same command goes on, with as many
    processes as you like. How a run is laid out changes no loss beyond rounding; `salt-train plan` says what fits."""
    from salt_train import checkpoint
    from salt_train.recipe import checkpoints

    recipe = _recipe(context, method, set_ or [])
    recipe = recipe if seed is None else recipe.seeded(seed)
    root = checkpoints(runs)
    here = root / recipe.fingerprint()
    shipped = checkpoint.find(recipe.fingerprint(), root)
    if shipped and (not again or shipped == here):
        print(f"nothing to do: {shipped} is finished" + ("" if shipped == here else " and ships with the package (--again)"))
        return
    from salt_train import launch

    asked = _layout(context)
    if layout:
        fleet = _fleet(context, setup, layout)
        processes, asked = fleet.processes, fleet.layout
    try:
        (launch.train if asked.device == "cpu" else launch.train_all)(recipe, runs, processes, asked)
    except KeyboardInterrupt:  # here, since typer ends the process without a word
        print("stopped; the same command goes on where this one stopped", file=sys.stderr)
        raise typer.Exit(INTERRUPTED) from None
    print(f"finished {here}")


@app.command()
def resume(folder: Annotated[Path, typer.Argument(help="The folder of a stopped run.", show_default=False)]) -> None:
    """Say how far a stopped run is and which command goes on."""
    from salt_train import checkpoint, paused

    if (folder / checkpoint.RECIPE).is_file():
        print(f"{folder} is finished: nothing to resume")
        return
    done = paused.rows(folder)
    if done is None:
        raise UserError(f"{folder} holds no stopped run ({checkpoint.RESUME} is missing); start it with salt-train run")
    print(f"{folder} stopped after {len(done)} updates; the command that started it goes on from there")


@app.command()
def health(
    folder: Annotated[Path, typer.Argument(help="A folder of <runs>/checkpoints, finished or stopped.", show_default=False)],
) -> None:
    """Say how a training went: its log by tenths of the run and by noise level, and what to change.

    DMD's loss is no measure of progress. Look at these instead:

    |gradient|: mean |fake - real| over the student's own error.
    |fake-real|: the same before that division.
    critic loss: the critic's, on the student's videos.
    critic/teacher: squared errors of the critic and of the guided teacher,
        on the same videos; from 1 on the critic does not know the student.
    saturation: share of latents beyond 3 std of their channel.
    spread: the latents' root mean square, in std.
    motion: mean difference of neighbouring latent frames, in std.
    norm, clipped: the student's gradient, and how often it was clipped.

    Saturation up and motion down at the end: stop earlier. A trend is a line
    with a slope above 3 standard errors and a change of more than 10 %."""
    from salt_train import health as training_health

    print(training_health.page(training_health.log(folder)))


@app.command()
def plan(
    context: typer.Context,
    method: Annotated[str, typer.Argument(help="A method (see `salt-train list`) or a recipe.json.", show_default=False)],
    setup: Scale = "wan21",
    set_: Set = None,
    layout: Named = None,
    gpus: Annotated[str, typer.Option(help="Numbers of GPUs, as in 1,8.")] = "1,4,8,64",
    memory: Annotated[str, typer.Option(help="What one GPU has.")] = "80GB",
    micro: Micro = None,
    shard: Shard = False,
    device: Device = "cuda",
    compute: Compute = None,
    frozen: Frozen = "float32",
    checkpointing: Checkpointing = False,
    offload: Offload = False,
    sequence: Sequence = 1,
    try_: Annotated[
        int | None, typer.Option("--try", min=1, help="Make so many updates here and now, with random weights and captions.")
    ] = None,
    json_: Annotated[bool, typer.Option("--json", help="Bytes, for programs.")] = False,
) -> None:
    """Say how much memory a run needs on each GPU, before it is run, and which options make it fit. Takes seconds to minutes:
    one update of the real networks is gone through, without data.

    With --try, updates are made on --device, under the layout asked for and in --gpus processes (1), of one part of the batch
    for each: what they took, beside the forecast. No file is needed and none is written."""
    from salt_train import plan as planning

    recipe = _recipe(context, method, set_ or [])
    asked, each = _layout(context), planning.amount(memory)
    if layout:
        fleet = _fleet(context, setup, layout)
        gpus, each, asked = str(fleet.processes), fleet.memory, fleet.layout
    if try_:
        _try(method, recipe, asked, gpus if layout or _given(context, "gpus") else "1", try_, json_)
        return
    found = planning.demands(recipe, asked, planning.counts(gpus), each)
    print(json.dumps([d.data() for d in found], indent=1) if json_ else planning.page(recipe, found))


def _try(method: str, recipe, layout, gpus: str, updates: int, json_: bool) -> None:  # type: ignore[no-untyped-def]
    """Makes updates here, and says what they took."""
    from salt_train import trial

    if not gpus.isdecimal():
        raise WrongUse(f"--try is for one number of GPUs, as in --gpus 8, got {gpus!r}")
    found = trial.tried(method, recipe, layout, int(gpus), updates)
    print(json.dumps(found.data(), indent=1) if json_ else trial.page(found))


@app.command("list")
def list_(
    setup: Annotated[str, typer.Option(help=f"The scale: {SCALES}.")] = "shapes",
    released: Annotated[bool, typer.Option("--released", help="Show published models instead.")] = False,
) -> None:
    """Show the methods: their parameters, and what they are at their defaults: terms, rollout, cache, start, source. Then the
    setup's layouts."""
    from salt_train import describe, setups
    from salt_train.methods import methods

    if released:
        print("\n".join(describe.released()))
        return
    on = setups.setup(setup)
    for name, function in methods().items():
        here = {"setup": setup} if "setup" in inspect.signature(function).parameters else {}
        headline, source = (inspect.getdoc(sys.modules[f"{methods.__module__}.{name}"]) or "").split("\n\nSource: ")
        print(f"{name}{inspect.signature(function)}".split(" ->")[0])
        print(f"    {headline}")
        said = describe.describe(function(**here)) | {"source": source.rstrip(".")}
        print("".join(f"    {what:<8} {how}\n" for what, how in said.items()))
    print("\n".join(describe.layouts(on)))


@app.command()
def inspect_(folder: Annotated[Path, typer.Argument(help="A checkpoint's folder, or others' weights.")]) -> None:
    """Show what a checkpoint is: recipe, size, digest, last losses; of others' weights: format, networks, model, misfits."""
    from salt_train import checkpoint

    if conversion.foreign(folder):
        conversion.inspect(folder)
        return
    recipe, tensors = checkpoint.recipe(folder), checkpoint.weights(folder)
    print(json.dumps(recipe, indent=1))
    print(f"{len(tensors)} tensors, {sum(t.numel() for t in tensors.values()):,} numbers, digest {checkpoint.digest(folder)}")
    print((folder / checkpoint.LOG).read_text().splitlines()[-1])


app.registered_commands[-1].name = "inspect"
conversion.register(app)
encoding.register(app)


def _recipe(context: typer.Context, word: str, settings: list[str]):  # type: ignore[no-untyped-def]  # Recipe is imported late: torch is slow
    """The recipe that a word on the command line stands for, at the scale that --setup names."""
    from salt_train.methods import method
    from salt_train.recipe import read

    setup, layout = context.params["setup"], context.params["layout"]
    scaled = _given(context, "setup") and not layout
    if word.endswith(".json"):
        if scaled:
            raise WrongUse(f"--setup {setup} is the scale of a method; a recipe file says its own")
        if settings:
            raise WrongUse("--set changes a method's parameters; edit the recipe file instead")
        return read(Path(word))
    function = method(word)
    known = inspect.signature(function).parameters
    values, hints = {}, get_type_hints(function)
    for setting in settings:
        name, _, text = setting.partition("=")
        if name not in known or not text:
            raise WrongUse(f"--set {setting!r}: {word} takes {', '.join(f'{k}=…' for k in known) or 'no parameters'}")
        values[name] = _parsed(text)
        if not record.fits(values[name], hints[name]):
            raise WrongUse(f"--set {setting}: {word} takes {name} as {record.in_words(hints[name])}")
    if scaled and "setup" not in known:
        raise WrongUse(f"--setup {setup}: {word} has one scale only, the embedded world's; leave --setup out")
    if setup and "setup" in known:
        values.setdefault("setup", setup)  # --set may name it too
    try:
        return function(**values)
    except (ValueError, TypeError) as error:
        raise WrongUse(f"{word} refuses {' '.join(f'--set {s}' for s in settings)}: {error}") from None


def _fleet(context: typer.Context, setup: str | None, name: str):  # type: ignore[no-untyped-def]
    """The layout of that name.

    Raises WrongUse where an option is given beside it, which it would contradict."""
    from salt_train import setups

    beside = [option for option in (*FLEET, *LAYOUT) if _given(context, option)]
    if beside:
        raise WrongUse(f"--layout {name} says what --{beside[0]} says; give the one or the other")
    if setup is None:
        raise WrongUse(f"--layout {name} is one of a setup's; name it too, as in --setup wan21")
    return setups.setup(setup).fleet(name)


def _given(context: typer.Context, option: str) -> bool:
    """Whether it stands on the command line, rather than at its default."""
    source = context.get_parameter_source(option)
    return source is not None and source.name == "COMMANDLINE"


def _layout(context: typer.Context):  # type: ignore[no-untyped-def]
    """What the options on devices say."""
    from salt_train.layout import Layout

    try:
        return Layout(**{option: context.params[option] for option in LAYOUT})
    except ValueError as error:
        raise WrongUse(str(error)) from None


def _parsed(text: str) -> object:
    try:
        return json.loads(text)
    except ValueError:
        return text


def main() -> None:
    """The entry point: every way to end is an exit code, uncaught exceptions included."""
    try:
        app()
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED)
    except Exception as error:
        if os.environ.get("SALT_TRACEBACK") == "1":
            raise
        print(f"salt-train: {error if isinstance(error, UserError) else f'{type(error).__name__}: {error}'}", file=sys.stderr)
        sys.exit(error.code if isinstance(error, UserError) else ERROR)
