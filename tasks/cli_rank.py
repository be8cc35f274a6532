"""``smartrec rank``: which agent recommends what users choose afterwards, on logged data."""

import sys
from pathlib import Path
from typing import Annotated

import typer


def rank_command(
    dataset: Annotated[
        list[str] | None,
        typer.Option(help="Data set or path, of ratings with timestamps. Repeatable. Default: ml-100k."),
    ] = None,
    agents: Annotated[str, typer.Option(help="Rows with commas; a name or module:Class. Default: all.")] = "",
    seeds: Annotated[int, typer.Option(min=1, help="Runs of each row.")] = 5,
    first_seed: Annotated[int, typer.Option(min=0, help="First seed; tune on seeds below 1000.")] = 1000,
    k: Annotated[int, typer.Option("--k", "-k", help="Items recommended.")] = 10,
    frame_size: Annotated[int, typer.Option(help="Answers in a state; users with fewer are not judged.")] = 10,
    test_share: Annotated[float, typer.Option(help="Share of the answers, the last, that are predicted.")] = 0.2,
    windows: Annotated[int, typer.Option(help="Parts they are cut into; before each all is learnt anew.")] = 1,
    validation: Annotated[
        bool, typer.Option("--validation", help="Predict the end of what would be learnt from: to choose options.")
    ] = False,
    epochs: Annotated[int, typer.Option(help="Times that frames are learnt from.")] = 10,
    option: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="NAME=VALUE", help="Option of the one agent of --agents. Repeatable."),
    ] = None,
    columns: Annotated[
        str | None, typer.Option(help="For a table of your own: user=reader_id,item=book_id,rating=stars")
    ] = None,
    jobs: Annotated[int, typer.Option(min=1, help="Processes.")] = 1,
    out: Annotated[Path, typer.Option(help="Folder for ranking.jsonl and ranking.md.")] = Path("results/ranking"),
) -> None:
    """Learn from the past of a log, recommend, and compare with what users chose afterwards.

    Example: smartrec rank --dataset ml-100k --agents random,most_popular,als --seeds 5
    """
    from smartrec.evaluation.ranking_table import RankingRecord
    from smartrec.evaluation.store import RecordStore
    from smartrec.tasks.options import parse_columns, parse_pairs
    from smartrec.tasks.ranking import Protocol, ask, describe
    from smartrec.tasks.ranking_page import write_page
    from smartrec.tasks.ranking_runs import RankingJob, rows_of
    from smartrec.tasks.runner import run_all
    from smartrec.tasks.show import progress

    mapping = tuple((parse_columns(columns) or {}).items()) or None
    protocols = [
        Protocol(name, mapping, k, frame_size, test_share, windows, validation, epochs)
        for name in dataset or ["ml-100k"]
    ]
    names = [name.strip() for name in agents.split(",") if name.strip()]
    rows = rows_of(names, parse_pairs(option or []))
    questions = [describe(ask(protocol)[1]) for protocol in protocols]
    store = RecordStore(out / "ranking.jsonl", RankingRecord)
    try:
        with store.alone():
            try:
                for protocol, question in zip(protocols, questions, strict=True):
                    print(f"{protocol.dataset}: {question}")
                    todo = [RankingJob(protocol, row, first_seed + number) for row in rows for number in range(seeds)]
                    with progress(len(todo), protocol.dataset) as tick:
                        run_all(todo, store, jobs, tick)
            finally:
                write_page(out / "ranking.md", store.records)
    except KeyboardInterrupt:
        print(f"\ninterrupted; {len(store.records)} runs are in {store.path}. The same command goes on from there.")
        raise typer.Exit(130) from None
    sys.stdout.write((out / "ranking.md").read_text(encoding="utf-8"))
