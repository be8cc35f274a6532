"""Makes pages from docstrings and records: ``python docs/pages.py`` writes them all.

``docs/environments.md`` and ``docs/agents.md``, and for each environment and agent a page in the folder of that name,
with a figure of learning curves where the committed leaderboard has them. A figure carries the digest of the records
that it was made from, and is made anew when that differs.
"""

import inspect
import re
from collections import Counter
from dataclasses import fields
from importlib import import_module
from pathlib import Path
from typing import Any

from measured import all_records, figure_digest, records_of, records_on, task_of, worlds_of, write_figure

import smartrec
from smartrec.agents import AGENTS, Agent, Tags
from smartrec.core.config import to_dict
from smartrec.core.files import atomic_write
from smartrec.core.registry import load
from smartrec.envs import LoggedVectorEnv, Settings
from smartrec.evaluation import METRICS, RunRecord, leaderboard, markdown
from smartrec.evaluation.table import figure_text

FOLDER = Path(__file__).resolve().parent

HEAD = """\
# Environments

<!-- Made from the docstrings of the environment classes by docs/pages.py; change those, not this page. -->

An environment is a crowd of users. Each step, an agent shows something to each of N users, and they click or do not.
Two of them walk a log of real answers instead; what is said below of all environments is about the others.
Each has a page in [Gymnasium](https://gymnasium.farama.org)'s form, with what the agents reached on it. What the
letters and words mean is in [words.md](words.md).

| environment | what | measured on |
|---|---|---|
{rows}

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
  `replaced`, how many positions were filled anew. With `choice="cascade"` it has `observed`, False where nobody saw a
  position: its response is 0, and no failure of its item. Agents do not see `info`.

Keyword arguments of `gym.make` and `gym.make_vec`:

| name | default | meaning |
|---|---|---|
{settings}
"""

ENVIRONMENT_HEAD = """\
# {name}

<!-- Made from docstrings and docs/leaderboard/records.jsonl by docs/pages.py; change those, not this page. -->

{doc}

```{fence}
import gymnasium as gym
import smartrec

envs = gym.make_vec("{name}", num_envs=100)
observation, info = envs.reset(seed=0)
```
{shared}
## Measured

{measured}
"""

SHARED = """
What all environments share, and all their settings, is in [environments.md](../environments.md#all-environments).
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

RESULTS = """\
Means and 95 % intervals over seeds on which nothing was tuned. What the columns mean is in
[agents.md](../agents.md#figures); how each agent fared elsewhere is on its page. The curves are means."""
MEASURED = """\
Means and 95 % intervals over seeds on which nothing was tuned. The figure in bold decides on the place; *random* and
*oracle* are in its unit. What the columns mean is in [agents.md](../agents.md#figures); all rows are in
[leaderboard.md](../leaderboard/leaderboard.md)."""
NOT_MEASURED = "Not on the committed leaderboard yet."
FIGURE = "![Learning curves of {name}, between random and oracle]({file}.png)"
COLUMNS = ("final", "loop", "regret", "decision_us")


def pages() -> dict[Path, str]:
    """Return all pages that are made: path to text."""
    made = {FOLDER / "environments.md": environments_page(), FOLDER / "agents.md": agents_page()}
    made |= {FOLDER / "environments" / f"{file_of(name)}.md": environment_page(name) for name in smartrec.ENVIRONMENTS}
    return made | {FOLDER / "agents" / f"{name}.md": agent_page(name) for name in AGENTS}


def figures() -> dict[Path, list[RunRecord]]:
    """Return all figures that are made: path to the records that are drawn."""
    drawn = {FOLDER / "environments" / f"{file_of(name)}.png": records_on(name) for name in smartrec.ENVIRONMENTS}
    drawn |= {FOLDER / "agents" / f"{name}.png": records_of(name) for name in AGENTS}
    return {path: records for path, records in drawn.items() if records}


def file_of(environment: str) -> str:
    """Return the name of an environment's page: Task1 for SmartRec/Task1-v0."""
    return environment.partition("/")[2].rpartition("-v")[0]


def environments_page() -> str:
    """Return the index of the environments, a line each, and what they share."""
    rows = []
    for name, target in smartrec.ENVIRONMENTS.items():
        about = inspect.cleandoc(load(f"{target}VectorEnv").__doc__).partition("\n")[0]
        worlds = ", ".join(world.partition(" on ")[2] for world in worlds_of(records_on(name)))
        rows.append(f"| [{name}](environments/{file_of(name)}.md) | {about} | {worlds} |")
    return HEAD.format(rows="\n".join(rows), settings=_option_rows(Settings))


def environment_page(name: str) -> str:
    """Return the page of an environment: the docstring of its class, and what agents reached on it."""
    cls = load(f"{smartrec.ENVIRONMENTS[name]}VectorEnv")
    doc, walks_a_log = inspect.cleandoc(cls.__doc__), issubclass(cls, LoggedVectorEnv)
    return ENVIRONMENT_HEAD.format(
        name=name,
        # Blocks of another name are not run by the tests: not every machine has the files.
        fence="py" if walks_a_log and cls.defaults.dataset != "synthetic" else "python",
        shared="" if walks_a_log else SHARED,
        doc=re.sub(r"^(#+ .*)$", r"\1\n", doc, flags=re.MULTILINE),  # a blank line below each heading
        measured=_results(name),
    )


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


def write_all() -> None:
    """Write all pages, and the figures whose records have changed; remove those of what is gone."""
    made, drawn = pages(), figures()
    for path, text in made.items():
        path.parent.mkdir(exist_ok=True)
        with atomic_write(path) as file:
            file.write(text)
    for path, records in drawn.items():
        if not path.exists() or figure_digest(records).encode() not in path.read_bytes():
            write_figure(path, records)
    for path in [*(FOLDER / "agents").iterdir(), *(FOLDER / "environments").iterdir()]:
        if path.suffix in (".md", ".png") and path not in made and path not in drawn:
            path.unlink()


def _results(environment: str) -> str:
    """Return what agents reached on an environment, a short table a world."""
    worlds = worlds_of(records_on(environment))
    if not worlds:
        return NOT_MEASURED
    parts = [RESULTS, FIGURE.format(name="all agents", file=file_of(environment))]
    for world, group in worlds.items():
        task = task_of(group[0])
        title = f"{world}: {task.question}"
        columns = dict.fromkeys([task.headline, f"{task.headline}_normalised", "final", "loop", "regret"])
        board = markdown(leaderboard(title, group, task.headline), list(columns))
        parts.append(f"{board}\n[All columns](../leaderboard/leaderboard.md#{_anchor(title)}).")
    return "\n\n".join(parts)


def _explanation(name: str, cls: type[Agent]) -> str:
    """Return what the file of an agent says first; of several agents in a file, what the class says."""
    files = Counter(AGENTS.entry(other).target.partition(":")[0] for other in AGENTS)
    alone = files[cls.__module__] == 1
    doc = inspect.cleandoc((import_module(cls.__module__) if alone else cls).__doc__ or "")
    return doc.partition("\n\nAttributes:\n")[0].replace("``", "`")


def _option_rows(config: type[Any]) -> str:
    """Return a table row for each field of a dataclass, its own first, by the lines of the docstrings."""
    meanings: dict[str, str] = {}
    for described in config.__mro__:
        meanings = {**meanings, **{key: text for key, text in _meanings(described) if key not in meanings}}
    known, defaults = {field.name for field in fields(config)}, config()
    rows = [(name, getattr(defaults, name), text) for name, text in meanings.items() if name in known]
    return "\n".join(f"| `{name}` | `{default!r}` | {text} |" for name, default, text in rows)


def _meanings(described: type[Any]) -> list[tuple[str, str]]:
    """Return the attributes that the docstring of a class explains, and what it says of each."""
    attributes = inspect.cleandoc(described.__doc__ or "").partition("Attributes:\n")[2]
    found = re.findall(r"^    (\w+): (.*?)(?=^    \w+: |\Z)", attributes, flags=re.MULTILINE | re.DOTALL)
    return [(name, " ".join(text.split()).replace("``", "`")) for name, text in found]


def _tags(tags: Tags) -> str:
    """Return what an agent can do and needs, a line a tag that is set."""
    meanings = _meanings(Tags)
    lines = [f"- `{name}`: {text}" for name, text in meanings if getattr(tags, name) is True]
    if tags.extra:
        lines.append(f'- `extra`: `pip install "smartrec[{tags.extra}]"` brings what it needs.')
    return "\n".join(lines) or "None of the tags."


def _measured(name: str) -> str:
    """Return the rows of an agent on all leaderboards, each beside random and oracle."""
    own = records_of(name)
    if not own:
        return NOT_MEASURED
    heads = "| world | row | options | place | " + " | ".join(COLUMNS) + " | random | oracle | seeds |"
    lines = [heads, "|---|---|---|---:|" + "---:|" * (len(COLUMNS) + 3)]
    for world, group in worlds_of(all_records()).items():
        task = task_of(group[0])
        board = leaderboard(task.question, group, task.headline)
        for place, row in enumerate(board.rows, 1):
            record = next(record for record in group if record.label == row.label)
            if record.agent != AGENTS.entry(name).target:
                continue
            cells = [f"**{figure_text(c, row.figures[c])}**" if c == task.headline else figure_text(c, row.figures[c])
                     for c in COLUMNS]  # fmt: skip
            references = [f"{board.references[reference]:.3f}" for reference in ("random", "oracle")]
            first = [world, row.label, _differences(record), f"{place} of {len(board.rows)}"]
            count = str(row.figures[task.headline].count)
            lines.append("| " + " | ".join([*first, *cells, *references, count]) + " |")
    return "\n\n".join([MEASURED, "\n".join(lines), FIGURE.format(name=name, file=name)])


def _differences(record: RunRecord) -> str:
    """Return the options of a run that are not the defaults."""
    defaults = to_dict(load(record.agent).Config())
    return ", ".join(f"`{name}={value}`" for name, value in record.config.items() if value != defaults.get(name))


def _anchor(title: str) -> str:
    """Return the anchor that a Markdown heading gets."""
    return re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-")


if __name__ == "__main__":
    write_all()
