"""Makes pages from docstrings and records: ``python docs/pages.py`` writes them all.

``docs/environments.md``, ``docs/agents.md``, and for each agent ``docs/agents/NAME.md`` with a figure of its learning
curves, where the committed leaderboard has it. A figure carries the digest of the records that it was made from, and
is made anew when that differs.
"""

import inspect
import io
import re
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import fields
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any

import smartrec
from smartrec.agents import AGENTS, Agent, Tags
from smartrec.core.config import digest
from smartrec.core.files import atomic_write
from smartrec.core.registry import load
from smartrec.envs import Settings
from smartrec.evaluation import METRICS, RunRecord, curves, leaderboard, read_records
from smartrec.evaluation.table import figure_text
from smartrec.tasks import TASKS, Task

FOLDER = Path(__file__).resolve().parent
BOARD = FOLDER / "leaderboard"
"""Folder of the committed records and of the tables made from them."""

HEAD = """\
# Environments

<!-- Made from the docstrings of the environment classes by docs/pages.py; change those, not this page. -->

An environment is a crowd of users. Each step, an agent shows something to each of N users, and they click or do not.
All environments share the rules of the first section; the others follow [Gymnasium](https://gymnasium.farama.org)'s
form. What the letters and words mean is in [words.md](words.md).

{contents}
## All environments

Two forms of the same world. `import smartrec` registers both.

```python
import gymnasium as gym
import smartrec

env = gym.make("SmartRec/Task3-v0")  # one user a step
envs = gym.make_vec("SmartRec/Task3-v0", num_envs=500)  # 500 users a step

observation, info = envs.reset(seed=0)
observation, reward, terminated, truncated, info = envs.step(envs.action_space.sample())
assert reward.shape == terminated.shape == (500,)
```

- A world is a stream of visits. Each tick of the clock serves `users_per_iteration` different users. The same seed
  gives the same users and dice at any N, so N only says how late feedback comes.
- `reset(seed=...)` begins a new world at clock 1. `reset()` serves the next visits of the same world.
- In the batch, where a visit ends, the next one begins in the same step (`AutoresetMode.SAME_STEP`). `final_obs` is not
  built: nothing follows a terminated visit.
- `info` has `visit` and `expected_reward`; for slates also `responses`, what the user did at each position. With
  `reference=True` it has `random_expected_reward` and `best_expected_reward`; with `on_repeat="replace"` it has
  `replaced`, how many positions were filled anew. Agents do not see `info`.

Keyword arguments of `gym.make` and `gym.make_vec`:

| name | default | meaning |
|---|---|---|
{settings}
"""

AGENTS_HEAD = """\
# Agents

<!-- Made from the registry and the agents' tags by docs/pages.py; change those, not this page. -->

`smartrec.agents.make(NAME, envs, seed=0, option=value)` makes one, `smartrec run --task 1 --agent NAME` runs it. Each
has a page with its formula, its options and what it reached on the committed leaderboard. To write another, see
[own_agent.md](own_agent.md).

- *slates*: shows several items at once.
- *features*: needs `user_features` in the observation.
- *logs*: learns from logged transitions by `fit`.
- *propensities*: always knows the probability of what it chose.
- *measured*: has rows on the committed leaderboard.

| agent | what | slates | features | logs | propensities | measured |
|---|---|---|---|---|---|---|
{rows}

## Figures

What the columns of a leaderboard mean:

{figures}
"""

AGENT_HEAD = """\
# {name}

<!-- Made from docstrings and docs/leaderboard/records.jsonl by docs/pages.py; change those, not this page. -->

{about}

{doc}

```python
import gymnasium as gym
import smartrec

envs = gym.make_vec("SmartRec/{task}-v0", num_envs=100)
agent = smartrec.agents.make("{name}", envs, seed=0)
```

## Options

{options}

## What it can do and needs

{tags}

## Measured

{measured}
"""

MEASURED = """\
Means and 95 % intervals over seeds on which nothing was tuned. The figure in bold decides on the place; *random* and
*oracle* are in its unit. What the columns mean is in [agents.md](../agents.md#figures); all rows are in
[leaderboard.md](../leaderboard/leaderboard.md)."""
NOT_MEASURED = "Not on the committed leaderboard yet."
FIGURE = "![Learning curves of {name}, between random and oracle]({name}.png)"
COLUMNS = ("final", "loop", "regret", "decision_us")


def pages() -> dict[Path, str]:
    """Return all pages that are made: path to text."""
    made = {FOLDER / "environments.md": environments_page(), FOLDER / "agents.md": agents_page()}
    return made | {FOLDER / "agents" / f"{name}.md": agent_page(name) for name in AGENTS}


def environments_page() -> str:
    """Return the page of all registered environments, made from the docstrings of their classes."""
    contents = "".join(f"- [{name}](#{_anchor(name)})\n" for name in smartrec.ENVIRONMENTS)
    sections = [_section(name, target) for name, target in smartrec.ENVIRONMENTS.items()]
    return "\n".join([HEAD.format(contents=contents, settings=_option_rows(Settings)).strip() + "\n", *sections])


def agents_page() -> str:
    """Return the index of the agents, a line each."""
    rows = []
    for name in AGENTS:
        tags = AGENTS.get(name).tags
        able = [tags.slates, tags.needs_features, tags.learns_from_logs, tags.propensities, records_of(name)]
        marks = " | ".join("yes" if mark else "" for mark in able)
        rows.append(f"| [{name}](agents/{name}.md) | {AGENTS.entry(name).about} | {marks} |")
    figures = [f"- `{name}`, in {metric.unit}: {metric.about}" for name, metric in METRICS.items()]
    return AGENTS_HEAD.format(rows="\n".join(rows), figures="\n".join(figures))


def agent_page(name: str) -> str:
    """Return the page of an agent."""
    cls: type[Agent] = AGENTS.get(name)
    options = _option_rows(cls.Config)
    about = AGENTS.entry(name).about
    return AGENT_HEAD.format(
        name=name,
        about=f"{about[0].upper()}{about[1:]}.",
        doc=_explanation(name, cls),
        task="Task2" if cls.tags.needs_features else "Task1",
        options=f"| name | default | meaning |\n|---|---|---|\n{options}" if options else "None.",
        tags=_tags(cls.tags),
        measured=_measured(name),
    )


def records_of(name: str) -> list[RunRecord]:
    """Return the committed records of an agent."""
    return [record for record in _records() if record.agent == AGENTS.entry(name).target]


def figure_digest(name: str) -> str:
    """Return what the figure of an agent says of the records that it was made from."""
    drawn = [[_world(record), record.label, record.seed, record.curve] for record in records_of(name)]
    return f"records {digest(drawn)}"


def write_figure(name: str) -> None:
    """Draw the learning curves of an agent, a panel a world, in few colours so that the file is small."""
    from PIL import Image, PngImagePlugin

    panels = [(_world(group[0]), group) for group in _groups(records_of(name))]
    figure = curves(panels)
    rows = -(-len(panels) // 2)
    figure.set_size_inches(8, 2.7 * rows + 0.5)
    drawn = io.BytesIO()
    figure.savefig(drawn, format="png", dpi=72)
    said = PngImagePlugin.PngInfo()
    said.add_text("Description", figure_digest(name))
    with atomic_write(FOLDER / "agents" / f"{name}.png", "wb") as file:
        small = Image.open(drawn).convert("RGB").quantize(24, dither=Image.Dither.NONE)
        small.save(file, format="png", optimize=True, pnginfo=said)


def write_all() -> None:
    """Write all pages, and the figures whose records have changed; remove those of agents that are gone."""
    made = pages()
    for path, text in made.items():
        with atomic_write(path) as file:
            file.write(text)
    figures = {FOLDER / "agents" / f"{name}.png": name for name in AGENTS if records_of(name)}
    for path, name in figures.items():
        if not path.exists() or figure_digest(name).encode() not in path.read_bytes():
            write_figure(name)
    for path in (FOLDER / "agents").iterdir():
        if path.suffix in (".md", ".png") and path not in made and path not in figures:
            path.unlink()


def _section(name: str, target: str) -> str:
    """Return the docstring of one environment under its id, headings two levels down."""
    doc = inspect.cleandoc(load(f"{target}VectorEnv").__doc__)
    doc = re.sub(r"^(#+) (.*)$", r"#\1 \2\n", doc, flags=re.MULTILINE)  # one level down, and a blank line below
    return f"## {name}\n\n{doc}\n{_boards(name)}"


def _boards(environment: str) -> str:
    """Return links to the tables of a leaderboard on an environment, or nothing."""
    table = (BOARD / "leaderboard.md").read_text(encoding="utf-8")
    tasks = [name for name in TASKS if TASKS.get(name).environment == environment]
    titles = [title for name in tasks for title in re.findall(rf"^### (Task {name} on .*)$", table, re.MULTILINE)]
    links = "".join(f"- [{title}](leaderboard/leaderboard.md#{_anchor(title)})\n" for title in titles)
    return f"\n### Leaderboard\n\n{links}" if links else ""


def _explanation(name: str, cls: type[Agent]) -> str:
    """Return what the file of an agent says first; of several agents in a file, what the class says."""
    files = Counter(AGENTS.entry(other).target.partition(":")[0] for other in AGENTS)
    alone = files[cls.__module__] == 1
    doc = inspect.cleandoc((import_module(cls.__module__) if alone else cls).__doc__ or "")
    return doc.partition("\n\nAttributes:\n")[0].replace("``", "`")


def _option_rows(config: type[Any]) -> str:
    """Return a table row for each field of a dataclass, by its own lines of the docstring."""
    defaults = {field.name: field.default for field in fields(config)}
    return "\n".join(f"| `{name}` | `{defaults[name]!r}` | {text} |" for name, text in _meanings(config))


def _meanings(described: type[Any]) -> list[tuple[str, str]]:
    """Return the attributes that the docstring of a class explains, and what it says of each."""
    attributes = inspect.cleandoc(described.__doc__ or "").partition("Attributes:\n")[2]
    found = re.findall(r"^    (\w+): (.*?)(?=^    \w+: |\Z)", attributes, flags=re.MULTILINE | re.DOTALL)
    return [(name, " ".join(text.split()).replace("``", "`")) for name, text in found]


def _tags(tags: Tags) -> str:
    """Return what an agent can do and needs, a line a tag that is set."""
    meanings = _meanings(Tags)
    lines = [f"- `{name}`: {text}" for name, text in meanings if getattr(tags, name)]
    return "\n".join(lines) or "None of the tags."


def _measured(name: str) -> str:
    """Return the rows of an agent on all leaderboards, each beside random and oracle."""
    own = records_of(name)
    if not own:
        return NOT_MEASURED
    heads = "| world | row | options | place | " + " | ".join(COLUMNS) + " | random | oracle | seeds |"
    lines = [heads, "|---|---|---|---:|" + "---:|" * (len(COLUMNS) + 3)]
    for group in _groups(_records()):
        task = _task(group[0])
        board = leaderboard(task.question, group, task.headline)
        for place, row in enumerate(board.rows, 1):
            record = next(record for record in group if record.label == row.label)
            if record.agent != AGENTS.entry(name).target:
                continue
            cells = [f"**{figure_text(c, row.figures[c])}**" if c == task.headline else figure_text(c, row.figures[c])
                     for c in COLUMNS]  # fmt: skip
            references = [f"{board.references[reference]:.3f}" for reference in ("random", "oracle")]
            first = [_world(record), row.label, _differences(record), f"{place} of {len(board.rows)}"]
            count = str(row.figures[task.headline].count)
            lines.append("| " + " | ".join([*first, *cells, *references, count]) + " |")
    return "\n\n".join([MEASURED, "\n".join(lines), FIGURE.format(name=name)])


def _differences(record: RunRecord) -> str:
    """Return the options of a run that are not the defaults."""
    defaults = {field.name: field.default for field in fields(load(record.agent).Config)}
    return ", ".join(f"`{name}={value}`" for name, value in record.config.items() if value != defaults.get(name))


def _groups(records: Sequence[RunRecord]) -> list[list[RunRecord]]:
    """Return the records by the world that they ran in, in the order of the tasks."""
    groups = defaultdict(list)
    for record in records:
        groups[_world(record)].append(record)
    return [groups[world] for world in sorted(groups)]


def _world(record: RunRecord) -> str:
    """Return task, data and further options of the environment in a few words."""
    options = {key: value for key, value in record.options.items() if key not in ("dataset", "num_envs")}
    text = "".join(f", {key}={value}" for key, value in options.items())
    return f"Task {_task(record).name} on {record.options.get('dataset', 'synthetic')}{text}"


def _task(record: RunRecord) -> Task:
    found: Task = next(TASKS.get(name) for name in TASKS if TASKS.get(name).environment == record.environment)
    return found


@cache
def _records() -> list[RunRecord]:
    return read_records(BOARD / "records.jsonl")


def _anchor(title: str) -> str:
    """Return the anchor that a Markdown heading gets."""
    return re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-")


if __name__ == "__main__":
    write_all()
