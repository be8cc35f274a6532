"""The command line. Every heavy import happens inside a command, so that help comes at once."""

import io
import os
import sys
import traceback
from pathlib import Path
from typing import Annotated, Any, NoReturn

import typer

from smartrec.core.errors import InvalidConfig, SmartRecError
from smartrec.tasks.cli_rank import rank_command
from smartrec.tasks.cli_recommend import demo_command, recommend_command
from smartrec.tasks.cli_train import train_command
from smartrec.tasks.options import parse_columns, parse_pairs
from smartrec.version import __version__

app = typer.Typer(
    help="Train and judge recommenders on simulated crowds of users.\n\n"
    "Begin with: smartrec list, smartrec run --task 1 --agent thompson, smartrec leaderboard",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
    rich_markup_mode=None,
)
data_app = typer.Typer(help="Fetch data sets and look at them.", no_args_is_help=True, rich_markup_mode=None)
app.add_typer(data_app, name="data")
app.command("rank")(rank_command)
app.command("recommend")(recommend_command)
app.command("demo")(demo_command)
app.command("train")(train_command)

Pairs = Annotated[
    list[str] | None,
    typer.Option("--world", metavar="NAME=VALUE", help="Option of the world, e.g. slate_size=3. Repeatable."),
]
Columns = Annotated[
    str | None,
    typer.Option(help="For a table of your own: user=reader_id,item=book_id,rating=stars,timestamp=when"),
]


def main() -> None:
    """Run the command line: errors are one message and a non-zero exit, never a traceback."""
    # A console script does not have the current folder on its path; an agent of one's own lies there.
    sys.path.append(os.getcwd())
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")  # a terminal that cannot show an arrow shows a question mark
    try:
        app()
    except SmartRecError as error:
        _fail(str(error))
    except BrokenPipeError:
        sys.stderr.close()
        sys.exit(1)
    except Exception as error:
        if os.environ.get("SMARTREC_DEBUG"):
            raise
        _fail(f"{type(error).__name__}: {error}{_where(error)} (SMARTREC_DEBUG=1 shows the whole traceback)")


def _fail(message: str) -> NoReturn:
    print(f"error: {message}", file=sys.stderr)
    sys.exit(2)


def _where(error: BaseException) -> str:
    """Return file and line in which an error came up, which for an agent of one's own is in its file."""
    last = traceback.extract_tb(error.__traceback__)[-1]
    return f", in {Path(last.filename).name}, line {last.lineno}"


@app.callback(invoke_without_command=True)
def root(
    version: Annotated[bool, typer.Option("--version", help="Print the version and stop.")] = False,
) -> None:
    """Answer options that need no command."""
    if version:
        print(__version__)
        raise typer.Exit


@app.command("list")
def list_names() -> None:
    """List environments, tasks, agents and data sets."""
    from smartrec import ENVIRONMENTS
    from smartrec.agents.registry import AGENTS
    from smartrec.data import DATASETS
    from smartrec.tasks.registry import TASKS
    from smartrec.tasks.show import print_pairs

    print_pairs(
        "Environments: gymnasium.make(id), gymnasium.make_vec(id, num_envs=500)",
        [
            (name, f"task {name[len('SmartRec/Task') : -len('-v0')]}" if "/Task" in name else "walks a log")
            for name in ENVIRONMENTS
        ],
    )
    for title, registry in (
        ("Tasks: smartrec run --task NAME", TASKS),
        ("Agents: smartrec run --agent NAME, or module:Class", AGENTS),
        ("Data sets: --dataset NAME, or a path; synthetic needs none", DATASETS),
    ):
        print_pairs(title, [(name, registry.entry(name).about) for name in registry])


@app.command("run")
def run_command(
    task: Annotated[str, typer.Option(help="Name of the task: 1, 2, 3 or 4.")],
    agent: Annotated[str, typer.Option(help="Name of the agent (smartrec list), or module:Class.")],
    dataset: Annotated[str, typer.Option(help="synthetic, a data set, or a path to one.")] = "synthetic",
    option: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="NAME=VALUE", help="Option of the agent, e.g. discount=0.7. Repeatable."),
    ] = None,
    world: Pairs = None,
    columns: Columns = None,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the world; the agent's is derived from it.")] = 0,
    num_envs: Annotated[
        int | None, typer.Option(min=1, help="Users served at once; default: those of an iteration.")
    ] = None,
    delay: Annotated[int, typer.Option(min=0, help="Steps after which feedback arrives.")] = 0,
    loss: Annotated[float, typer.Option(min=0, max=1, help="Share of feedback that is lost.")] = 0.0,
    out: Annotated[Path | None, typer.Option(help="File to which the record is added, one JSON line.")] = None,
    log: Annotated[
        Path | None, typer.Option(metavar="FOLDER", help="Folder for TensorBoard: figures on the way.")
    ] = None,
    save: Annotated[
        Path | None, typer.Option(metavar="FOLDER", help="Folder for the agent as it is at the end.")
    ] = None,
) -> None:
    """Run one agent on one task and print what it reached.

    Example: smartrec run --task 3 --agent thompson --set discount=0.7
    """
    from smartrec import agents
    from smartrec.agents.registry import agent_class
    from smartrec.core.config import from_dict
    from smartrec.evaluation.loop import run
    from smartrec.evaluation.store import RecordStore
    from smartrec.tasks.registry import TASKS
    from smartrec.tasks.runner import agent_seed, saved
    from smartrec.tasks.show import print_record, progress

    store = None if out is None else RecordStore(out)
    options = _world_options(world, columns)
    if num_envs is not None:
        options["num_envs"] = num_envs
    found = TASKS.get(task)
    envs = found.make(found.setting(dataset, **options))
    config = parse_pairs(option or [])
    from_dict(agent_class(agent).Config, config, f"agent {agent}")
    who = agents.make(agent, envs, seed=agent_seed(seed), **config)
    for name, value in envs.unwrapped.crowd.report:
        print(f"{name}: {value}")
    steps = found.steps(envs)
    with progress(steps, agent) as tick, saved(who, save):
        record = run(
            who,
            envs,
            seed=seed,
            feedback_delay=delay,
            feedback_loss=loss,
            label=agent,
            agent_seed=agent_seed(seed),
            progress=tick,
            log=log,
        )
    if store is not None:
        with store.alone():
            store.append(record)
    print_record(record)
    if store is not None:
        print(f"added to {out}")
    if log is not None:
        print(f"curves are in {log}; tensorboard --logdir {log} shows them")
    if save is not None:
        print(f"the agent is in {save}; smartrec.agents.load({str(save)!r}) brings it back")


@app.command("leaderboard")
def leaderboard_command(
    tasks: Annotated[str, typer.Option(help="Names with commas, e.g. 1,3; default: all.")] = "",
    dataset: Annotated[
        list[str] | None,
        typer.Option(help="Data set or path. Repeatable. Default: synthetic, and ml-100k where it is found."),
    ] = None,
    agents: Annotated[str, typer.Option(help="Rows with commas; a name or module:Class. Default: all.")] = "",
    deep: Annotated[
        bool, typer.Option("--deep", help="Also deep agents, recommenders and other rows that take minutes.")
    ] = False,
    seeds: Annotated[int, typer.Option(min=1, help="Runs of each row.")] = 10,
    first_seed: Annotated[int, typer.Option(min=0, help="First seed; tune on seeds below 1000.")] = 1000,
    jobs: Annotated[int, typer.Option(min=1, help="Processes.")] = 1,
    world: Pairs = None,
    columns: Columns = None,
    out: Annotated[Path, typer.Option(help="Folder for records, tables and the plot.")] = Path("results/leaderboard"),
    engine: Annotated[str, typer.Option(help="numpy, or spark: the same protocol on Spark.")] = "numpy",
    master: Annotated[str, typer.Option(help="Of Spark: local[2], spark://host:7077, yarn, ...")] = "local[*]",
    logs: Annotated[
        str, typer.Option(help="Of Spark: path or URL for the logs, which all workers reach; default: OUT/logs.")
    ] = "",
) -> None:
    """Run agents on tasks over seeds; print and write who wins. Interrupted, it goes on where it stopped."""
    from smartrec.core.config import require
    from smartrec.core.spark import session
    from smartrec.tasks import board
    from smartrec.tasks.runner import Engine, jobs_of, run_all
    from smartrec.tasks.show import print_leaderboard, progress

    require(engine in ("numpy", "spark"), "--engine", engine, "numpy, spark")
    require(engine == "numpy" or jobs == 1, "--jobs", jobs, "1 on Spark, which shares out the work itself")
    for option, value, usual in (("--master", master, "local[*]"), ("--logs", logs, "")):
        require(engine == "spark" or value == usual, option, value, "only with --engine spark")
    place = Engine(master, logs or str(out.resolve() / "logs")) if engine == "spark" else None
    if place is not None:
        session(master)  # what is wrong with it shows before anything is written
    store = board.open_store(out)
    options = _world_options(world, columns)
    rows = {"deep": deep, "spark": place is not None}
    entries, left_out = board.plan(_names(tasks), dataset or [], _names(agents), options, **rows)
    numbers = range(first_seed, first_seed + seeds)
    tables = []
    try:
        with store.alone():
            for entry in entries:
                todo, before = jobs_of(entry.task, entry.setting, entry.contenders, numbers, place), len(store.records)
                with progress(len(todo), entry.title) as tick:
                    records = run_all(todo, store, jobs, tick)
                tables.append((entry, board.table_of(entry, records), records))
                there = len(todo) - (len(store.records) - before)
                print_leaderboard(tables[-1][1], [*entry.notes, *_kept_note(there, len(todo))])
    except KeyboardInterrupt:
        kept = f"{len(store.records)} runs are in {store.path}"
        print(f"\ninterrupted; {kept}. The same command goes on from there.", file=sys.stderr)
        raise typer.Exit(130) from None
    finally:
        if tables:
            board.write_files(out, tables)
    for line in left_out:
        print(line)
    print(f"Records, tables and learning curves are in {out}.")


def _kept_note(there: int, wanted: int) -> list[str]:
    return [f"{there} of {wanted} runs were there already and were not run again"] if there else []


@data_app.command("describe")
def describe(
    name: Annotated[str, typer.Argument(help="Data set, or path of a file or folder.")],
    columns: Columns = None,
    positive: Annotated[float | None, typer.Option(help="Rating from which an answer is a click.")] = None,
) -> None:
    """Count what a data set holds, and say where it was found."""
    from smartrec import data
    from smartrec.tasks.show import print_pairs

    found = data.load(name, parse_columns(columns), positive)
    print_pairs(found.name, found.describe())


@data_app.command("fetch")
def fetch_command(
    name: Annotated[str, typer.Argument(help="Data set, see smartrec list.")],
    to: Annotated[Path | None, typer.Option(help="Folder; default: $SMARTREC_DATA, else the cache folder.")] = None,
    url: Annotated[str | None, typer.Option(help="A copy of the archive; default: the publisher's.")] = None,
) -> None:
    """Download a data set from its publisher. Interrupted, it goes on where it stopped."""
    from smartrec.data import fetch

    try:
        print(f"{name}: {fetch(name, to, url)}")
    except KeyboardInterrupt:
        print("\ninterrupted; the same command goes on from there.", file=sys.stderr)
        raise typer.Exit(130) from None


@data_app.command("embed")
def embed_command(
    name: Annotated[str, typer.Argument(help="Data set, or path of a file or folder.")],
    out: Annotated[Path, typer.Option(help="File: .npy for the vectors alone, .npz for all that was fitted.")],
    size: Annotated[int, typer.Option(min=1, help="Numbers a vector.")] = 128,
    items: Annotated[Path | None, typer.Option(help="A table with more about the items (.csv, .parquet).")] = None,
    blocks: Annotated[str, typer.Option(help="What to make them from.")] = "text,categories,numbers,factors",
    columns: Columns = None,
    seed: Annotated[int, typer.Option(min=0, help="Of the starts of iterative fits.")] = 0,
) -> None:
    """Make a vector of each item and write them, a row an item in the order of their numbers."""
    from smartrec.data.embeddings.embed import embed
    from smartrec.tasks.show import print_pairs

    made = embed(name, size, items=items, blocks=_names(blocks), seed=seed, columns=parse_columns(columns))
    made.save(out)
    shares = [f"{share:.1%}" for share in made.explained[:3]]
    print_pairs(
        f"{out}: {len(made.vectors):,} items, {made.vectors.shape[1]} numbers each",
        [
            *((block, f"{count} columns") for block, count in made.used.items()),
            ("explained", f"{made.explained.sum():.1%} of the variance; first axes {', '.join(shares)}"),
        ],
    )


@app.command("check")
def check(
    what: Annotated[str, typer.Argument(help="Id of an environment, name of an agent, or module:Class of yours.")],
) -> None:
    """Examine an environment or an agent by the contract that ours are held to."""
    if "/" in what:
        from smartrec.envs import check_env

        check_env(what)
    else:
        from smartrec.agents import check_agent

        check_agent(what)
    print(f"{what} passes.")


def _world_options(world: list[str] | None, columns: str | None) -> dict[str, Any]:
    options = parse_pairs(world or [])
    if "dataset" in options:
        raise InvalidConfig(f"--world dataset={options['dataset']}; write --dataset {options['dataset']}")
    if columns is not None:
        options["columns"] = parse_columns(columns)
    return options


def _names(text: str) -> list[str]:
    return [name.strip() for name in text.split(",") if name.strip()]
