"""Makes pages from docstrings: ``python docs/pages.py`` writes ``docs/environments.md``."""

import inspect
import re
from pathlib import Path

import smartrec
from smartrec.core.files import atomic_write
from smartrec.core.registry import load
from smartrec.envs import Settings

FOLDER = Path(__file__).resolve().parent

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


def environments_page() -> str:
    """Return the page of all registered environments, made from the docstrings of their classes."""
    contents = "".join(f"- [{name}](#{_anchor(name)})\n" for name in smartrec.ENVIRONMENTS)
    sections = [_section(name, target) for name, target in smartrec.ENVIRONMENTS.items()]
    return "\n".join([HEAD.format(contents=contents, settings=_settings()).strip() + "\n", *sections])


def _section(name: str, target: str) -> str:
    """Return the docstring of one environment under its id, headings two levels down."""
    doc = inspect.cleandoc(load(f"{target}VectorEnv").__doc__)
    doc = re.sub(r"^(#+) (.*)$", r"#\1 \2\n", doc, flags=re.MULTILINE)  # one level down, and a blank line below
    return f"## {name}\n\n{doc}\n"


def _settings() -> str:
    """Return a table row for each field of ``Settings``, by its own line of the docstring."""
    doc = inspect.cleandoc(Settings.__doc__ or "")
    attributes = doc.partition("Attributes:\n")[2]
    meanings = re.findall(r"^    (\w+): (.*?)(?=^    \w+: |\Z)", attributes, flags=re.MULTILINE | re.DOTALL)
    defaults = {name: field.default for name, field in Settings.__dataclass_fields__.items()}
    rows = [(name, defaults[name], " ".join(text.split()).replace("``", "`")) for name, text in meanings]
    return "\n".join(f"| `{name}` | `{default!r}` | {text} |" for name, default, text in rows)


def _anchor(name: str) -> str:
    """Return the anchor that a Markdown heading gets."""
    return re.sub(r"[^\w-]", "", name.lower())


if __name__ == "__main__":
    with atomic_write(FOLDER / "environments.md") as file:
        file.write(environments_page())
