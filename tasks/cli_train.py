"""``smartrec train``: an agent learns from a log, as a file asks for it."""

import sys
from pathlib import Path
from typing import Annotated

import typer


def train_command(
    config: Annotated[Path, typer.Argument(help="A TOML file, see docs/offline.md.")],
    resume: Annotated[bool, typer.Option("--resume", help="Go on from the last checkpoint.")] = False,
    log: Annotated[
        Path | None, typer.Option(metavar="FOLDER", help="Folder for TensorBoard: curves on the way.")
    ] = None,
) -> None:
    """Let an agent learn from a log: test passes, early stopping, checkpoints. Interrupted, it goes on with --resume.

    Example: smartrec train td3.toml
    """
    from smartrec.evaluation.plots import save_figure, training_curves
    from smartrec.evaluation.training import Point
    from smartrec.tasks.show import point_text, progress
    from smartrec.tasks.train import prepare, run_training
    from smartrec.tasks.train_config import read_config

    asked = read_config(config)
    prepared = prepare(asked)
    for line in prepared.report:
        print(line)

    def notify(point: Point) -> None:
        print(point_text(point), flush=True)

    try:
        with progress(asked.epochs * len(prepared.feed), asked.agent) as tick:
            done = run_training(asked, prepared, resume=resume, log=log, progress=tick, notify=notify)
    except KeyboardInterrupt:
        print(f"\ninterrupted; smartrec train {config} --resume goes on from the last checkpoint", file=sys.stderr)
        raise typer.Exit(130) from None
    folder = Path(asked.folder)
    save_figure(training_curves(done.points, f"{asked.agent} on {asked.dataset}"), folder / "curves.png")
    if done.stopped == "patience":
        print(f"stopped early: {asked.watch} was no better for {asked.patience} points")
    if done.best is not None:
        print(f"best {asked.watch}: {done.best[f'test/{asked.watch}']:.4g} after batch {done.best['batch']:,}")
    which = "last" if done.best is None else "best"
    print(f"{folder} holds checkpoints and curves; smartrec recommend --agent {folder} uses the {which} one")
