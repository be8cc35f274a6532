"""``smartrec recommend`` and ``smartrec demo``: a trained agent for a person."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, cast

import typer

if TYPE_CHECKING:
    from smartrec.core.nearest import Metric
    from smartrec.tasks.recommender import Recommendations

SERVER = {
    "server.address": "localhost",
    "server.headless": "true",
    "server.fileWatcherType": "none",
    "browser.gatherUsageStats": "false",
    "client.toolbarMode": "minimal",
}
"""Settings of Streamlit: it serves this machine alone, opens nothing, and tells nobody."""


def recommend_command(
    agent: Annotated[
        Path, typer.Option(metavar="FOLDER", help="Folder of a recommender, as smartrec train writes it.")
    ],
    history: Annotated[Path, typer.Option(metavar="FILE", help="Ratings of one person: .csv or .parquet.")],
    k: Annotated[int, typer.Option("-k", min=1, help="Items asked for.")] = 10,
    metric: Annotated[
        str | None, typer.Option(help="l2, inner or cosine, for agents of vectors; default: the agent's own.")
    ] = None,
    user: Annotated[str | None, typer.Option(help="Whose rows to take, where the file is of several people.")] = None,
    columns: Annotated[str | None, typer.Option(help="For a table of your own: item=book_id,rating=stars")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")] = False,
    out: Annotated[Path | None, typer.Option(metavar="FILE", help="A .csv file to write as well.")] = None,
) -> None:
    """Recommend to one person what they have not rated: from ratings to titles.

    Example: smartrec recommend --agent td3/ --history ratings.csv -k 10
    """
    import json

    from smartrec.core.files import atomic_write
    from smartrec.tasks.options import parse_columns
    from smartrec.tasks.recommender import recommend

    found = recommend(
        agent, history, k, metric=cast("Metric | None", metric), columns=parse_columns(columns), user=user
    )
    if out is not None:
        with atomic_write(out) as file:
            found.frame().to_csv(file, index=False, lineterminator="\n")
    if as_json:
        print(json.dumps(_plain(found), indent=1, ensure_ascii=False))
        return
    _print(found)
    if out is not None:
        print(f"written to {out}")


def demo_command(
    agent: Annotated[
        list[Path], typer.Option(metavar="FOLDER", help="Folder of a recommender. Repeatable: agents are compared.")
    ],
    port: Annotated[int, typer.Option(min=1, max=65535, help="Of this machine; nobody else can reach it.")] = 8501,
) -> None:
    """Rate films in the browser and see what agents make of it. Stop it by Ctrl-C.

    Example: smartrec demo --agent td3/ --agent dqn/
    """
    import subprocess
    import sys

    from smartrec.core.optional import optional
    from smartrec.tasks.recommender_files import read

    optional("streamlit", "demo", "the demo")
    for folder in agent:
        read(folder)
    settings = {**SERVER, "server.port": port}
    options = [f"--{name}={value}" for name, value in settings.items()]
    page = Path(__file__).with_name("demo.py")
    command = [sys.executable, "-m", "streamlit", "run", str(page), *options, "--", *map(str, agent)]
    try:
        raise typer.Exit(subprocess.run(command, check=False).returncode)
    except KeyboardInterrupt:
        raise typer.Exit(0) from None


def _plain(found: "Recommendations") -> dict[str, Any]:
    rows = [row._asdict() for row in found]
    if not found.metric:
        rows = [{name: value for name, value in row.items() if name != "distance"} for row in rows]
    about = {"rated": found.rated, "used": found.used, "frame_size": found.frame_size, "unknown": [*found.unknown]}
    return {"recommendations": rows, "metric": found.metric or None, **about}


def _print(found: "Recommendations") -> None:
    from rich.table import Table
    from rich.text import Text

    from smartrec.tasks.show import console

    table = Table()
    table.add_column("", justify="right")
    table.add_column("id", no_wrap=True)
    table.add_column("title", overflow="fold")
    table.add_column("genres", overflow="fold", style="dim")
    if found.metric:
        table.add_column(f"distance ({found.metric})", justify="right", no_wrap=True)
    for place, row in enumerate(found, 1):
        cells = [str(place), str(row.id), row.title, ", ".join(row.genres)]
        cells += [] if row.distance is None else [f"{row.distance:.3f}"]
        table.add_row(*map(Text, cells))
    out = console()
    out.print(table)
    for note in found.notes():
        out.print(note, markup=False, soft_wrap=True)
