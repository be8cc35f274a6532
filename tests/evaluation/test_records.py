"""Records, their file, and the tables made from them."""

import csv
import io
import json
from dataclasses import replace

import gymnasium as gym
import numpy as np
import pytest

from smartrec import agents
from smartrec.core.errors import DataError, OutputError
from smartrec.evaluation import RecordStore, curves, leaderboard, markdown, read_records, run, save_figure, to_csv
from smartrec.evaluation.record import CURVE, RunRecord
from smartrec.evaluation.store import RunKey


@pytest.fixture(scope="module")
def records():
    envs = gym.make_vec("SmartRec/Task1-v0", num_envs=50, n_users=500, iterations=5)
    return [
        run(agents.make(name, envs, seed=seed), envs, seed=seed, label=name, agent_seed=seed)
        for name in ("random", "thompson")
        for seed in range(3)
    ]


def test_a_record_is_one_line_and_comes_back_equal(records):
    line = records[0].to_json()
    assert "\n" not in line
    assert RunRecord.from_json(line) == records[0]


def test_a_record_says_what_ran(records):
    record = records[3]
    assert record.environment == "SmartRec/Task1-v0"
    assert record.options == {"n_users": 500, "iterations": 5, "num_envs": 50}
    assert record.agent == "smartrec.agents.bandits.thompson:Thompson"
    assert record.config["discount"] == 1.0
    assert (record.seed, record.agent_seed) == (0, 0)
    assert {"python", "numpy", "smartrec"} <= set(record.versions)


def test_keys_tell_seeds_agents_options_and_worlds_apart(records):
    record = records[0]
    variants = [
        record,
        replace(record, seed=7),
        replace(record, config_digest="x"),
        replace(record, options={**record.options, "n_users": 400}),
        replace(record, metrics={**record.metrics, "final_oracle": 0.7}),
        replace(record, code="of another agent"),
        replace(record, agent_seed=9),
        replace(record, feedback_delay=2),
        replace(record, feedback_loss=0.5),
    ]
    assert len({RunKey.of(variant).digest() for variant in variants}) == len(variants)
    assert RunKey.of(replace(record, label="other", wall_s=9.0)).digest() == RunKey.of(record).digest()


def test_the_store_keeps_what_it_has_and_finds_it_again(records, tmp_path):
    store = RecordStore(tmp_path / "deep" / "records.jsonl")
    for record in records[:3]:
        store.append(record)
    again = RecordStore(store.path)
    assert again.records == records[:3]
    assert RunKey.of(records[0]).digest() in again
    assert RunKey.of(records[5]).digest() not in again


def test_a_torn_last_line_is_dropped_and_the_rest_kept(records, tmp_path):
    path = tmp_path / "records.jsonl"
    store = RecordStore(path)
    for record in records[:3]:
        store.append(record)
    whole = path.read_text()
    path.write_text(whole[: whole.rindex("\n", 0, -1) + 40])
    recovered = RecordStore(path)
    assert recovered.records == records[:2]
    recovered.append(records[4])
    assert read_records(path) == [records[0], records[1], records[4]]


def test_a_last_record_without_its_newline_is_kept(records, tmp_path):
    path = tmp_path / "records.jsonl"
    path.write_text("\n".join(record.to_json() for record in records[:2]))
    store = RecordStore(path)
    assert store.records == records[:2]
    store.append(records[2])
    assert read_records(path) == records[:3]


def test_one_process_writes_at_a_time(records, tmp_path):
    store, other = RecordStore(tmp_path / "r.jsonl"), RecordStore(tmp_path / "r.jsonl")
    with store.alone(), pytest.raises(OutputError, match="another process is writing"), other.alone():
        pass
    with other.alone():
        other.append(records[0])


def test_a_seed_that_was_run_twice_counts_once(records):
    board = leaderboard("Task 1", [*records, *records], "final")
    assert [row.figures["final"].count for row in board.rows] == [3, 3]


def test_paths_and_numpy_numbers_are_written_as_plain_values(records, tmp_path):
    options = {"dataset": tmp_path, "num_envs": np.int64(5), "positive": np.float32(0.5)}
    again = RunRecord.from_json(replace(records[0], options=options).to_json())
    assert again.options == {"dataset": str(tmp_path), "num_envs": 5, "positive": 0.5}


@pytest.mark.parametrize(
    ("text", "fragment"),
    [
        ("my only copy", "last line is no JSON"),
        ("nonsense\n", "line 1 is no JSON"),
        ("{}\n", "line 1 is no run record"),
        ("[1]\n", "line 1 is no run record"),
        (json.dumps({"schema": 99}) + "\n", "line 1 is no run record"),
    ],
)
def test_a_damaged_file_is_named_with_its_line_and_left_alone(text, fragment, tmp_path):
    path = tmp_path / "records.jsonl"
    path.write_text(text)
    with pytest.raises(DataError, match=fragment):
        RecordStore(path)
    assert path.read_text() == text


@pytest.mark.parametrize("part", ["metrics", "versions", "options", "curve"])
def test_a_record_whose_parts_are_no_tables_is_refused(part, records):
    line = json.dumps({**json.loads(records[0].to_json()), part: 1})
    with pytest.raises(DataError, match="is no run record"):
        RunRecord.from_json(line, "file, line 1")


def test_a_record_of_another_schema_is_refused(records, tmp_path):
    line = json.dumps({**json.loads(records[0].to_json()), "schema": 99})
    with pytest.raises(DataError, match="schema 99"):
        RunRecord.from_json(line)


def test_paths_that_cannot_be_written_are_refused_at_once(tmp_path):
    with pytest.raises(OutputError, match="is a folder"):
        RecordStore(tmp_path)
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="is a file"):
        RecordStore(tmp_path / "file" / "records.jsonl")


def test_the_table_is_in_order_with_references_and_a_verdict(records):
    board = leaderboard("Task 1", records, "final")
    assert [row.label for row in board.rows] == ["thompson", "random"]
    assert board.references == pytest.approx({"random": 0.415, "best_fixed": 0.75, "oracle": 0.75})
    assert board.verdict().startswith("thompson wins by 0.")
    mean = np.mean([record.metrics["final"] for record in records[3:]])
    text = markdown(board)
    assert f"| thompson | {mean:.3f} ±" in text
    assert "| *oracle* | 0.750 |" in text
    rows = list(csv.DictReader(io.StringIO(to_csv([board]))))
    (cell,) = [row for row in rows if row["agent"] == "thompson" and row["metric"] == "final"]
    assert float(cell["mean"]) == pytest.approx(mean, abs=1e-5)


def test_the_verdict_admits_what_seeds_cannot_tell(records):
    twin = [replace(record, label="twin") for record in records[3:]]
    board = leaderboard("Task 1", [*records[3:], *twin], "final")
    assert board.verdict() == "thompson and twin cannot be told apart with 3 seeds."
    worse = leaderboard("Task 1", [*records, *twin], "final").verdict()
    assert worse.startswith("thompson and twin cannot be told apart with 3 seeds; random is behind by 0.")


def test_curves_draw_every_agent_with_a_band(records, tmp_path):
    figure = curves([("Task 1", records)])
    (axis,) = figure.axes
    assert {"oracle", "random (exact)", "random", "thompson"} == {t.get_text() for t in figure.legends[0].get_texts()}
    assert len(axis.collections) == 2
    thompson = next(line for line in axis.lines if line.get_label() == "thompson")
    expected = np.mean([[row[2] for row in record.curve] for record in records[3:]], axis=0)
    assert thompson.get_ydata() == pytest.approx(expected)
    assert thompson.get_xdata().tolist() == [1, 2, 3, 4, 5]
    save_figure(figure, tmp_path / "plot.png")
    assert (tmp_path / "plot.png").read_bytes().startswith(b"\x89PNG")


def test_curves_name_the_best_of_many(records):
    def ending(share):
        final = dict(zip(CURVE, records[0].curve[-1], strict=True))
        final["expected"] = final["random"] + share * (final["best"] - final["random"])
        return [*records[0].curve[:-1], list(final.values())]

    many = [replace(records[0], label=f"a{number:02}", curve=ending(number / 24)) for number in range(24)]
    figure = curves([("Task 1", many)])
    names = {text.get_text() for text in figure.legends[0].get_texts()}
    assert names == {"oracle", "random (exact)", *(f"a{number:02}" for number in range(14, 24))}
    assert len(figure.axes[0].lines) == 2 + 24


def test_curves_show_the_best_fixed_slate_where_users_differ(records):
    (axis,) = curves([("Task 4", [replace(r, metrics={**r.metrics, "final_best_fixed": 0.6}) for r in records])]).axes
    (line,) = (line for line in axis.lines if line.get_label() == "best fixed, at the end")
    assert list(line.get_ydata()) == [0.6, 0.6]


def test_curves_of_long_runs_end_at_the_last_iteration():
    envs = gym.make_vec("SmartRec/Task1-v0", num_envs=5, n_users=50, iterations=200)
    record = run(agents.make("random", envs, seed=0), envs, seed=0)
    (axis,) = curves([("long", [record])]).axes
    assert axis.lines[0].get_xdata()[-1] == 200
