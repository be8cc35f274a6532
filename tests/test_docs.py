"""Pages say what the code says: made pages are fresh, links resolve, examples run, each dependency has its reason."""

import re
import sys
import tomllib
from functools import cache
from importlib import import_module
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType

import gymnasium as gym
import pytest

import smartrec

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
PAGES = sorted([*ROOT.glob("*.md"), *DOCS.rglob("*.md")])
EXAMPLES = [
    path for path in PAGES if path.name == "README.md" or path.parent in (DOCS, DOCS / "agents", DOCS / "environments")
]
MOST_FIGURE_BYTES = 50_000

FENCE = re.compile(r"^```(\w*)[^\n]*\n(.*?)^```\s*$", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\[[^\]\[]*\]\(([^()\s]+)\)")
REQUIREMENT = re.compile(r"[\w.-]+")

each_page = pytest.mark.parametrize("path", PAGES, ids=lambda path: path.relative_to(ROOT).as_posix())


def text_of(path):
    return path.read_text(encoding="utf-8")


def anchors_of(path):
    """The anchors that GitHub gives to the headings of a page."""
    headings = re.findall(r"^#+ (.*)$", FENCE.sub("", text_of(path)), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@cache
def load_pages():
    sys.path.insert(0, str(DOCS))  # scripts that import each other, as when one of them is run
    try:
        return import_module("pages")
    finally:
        sys.path.remove(str(DOCS))


def test_made_pages_are_fresh():
    stale = [str(path) for path, text in load_pages().pages().items() if not path.exists() or text_of(path) != text]
    assert not stale, "run: python docs/pages.py"


def test_figures_are_small_and_made_from_the_committed_records():
    made = load_pages()
    drawn = made.figures()
    assert {path for name in ("agents", "environments") for path in (DOCS / name).glob("*.png")} == set(drawn)
    for path, records in drawn.items():
        figure = path.read_bytes()
        assert made.figure_digest(records).encode() in figure, "run: python docs/pages.py"
        assert len(figure) <= MOST_FIGURE_BYTES, path.name


def test_every_agent_has_a_page_and_a_line():
    index = text_of(DOCS / "agents.md")
    assert {path.stem for path in (DOCS / "agents").glob("*.md")} == set(smartrec.agents.AGENTS)
    for name in smartrec.agents.AGENTS:
        page = text_of(DOCS / "agents" / f"{name}.md")
        config = smartrec.agents.AGENTS.get(name).Config
        assert f"\n| [{name}](agents/{name}.md) | " in index
        assert not [field for field in config.__dataclass_fields__ if f"\n| `{field}` | " not in page]
        assert (load_pages().NOT_MEASURED in page) != (f"]({name}.png)" in page)


def test_pages_of_environments_have_the_tables_of_the_leaderboard():
    """Each table stands on one page, in short, with as many rows as the committed one."""
    table = re.compile(r"^### (.*)\n\n\| agent .*\n((?:\|.*\n)+)", re.MULTILINE)
    whole = table.findall(text_of(DOCS / "leaderboard" / "leaderboard.md"))
    short = [found for path in (DOCS / "environments").glob("*.md") for found in table.findall(text_of(path))]
    assert whole
    lines = [{title: len(rows.splitlines()) for title, rows in tables} for tables in (whole, short)]
    assert lines[0] == lines[1]
    assert len(short) == len(whole)


def test_every_environment_has_a_page_and_a_line_and_every_setting_a_row():
    index, made = text_of(DOCS / "environments.md"), load_pages()
    files = {name: made.file_of(name) for name in smartrec.ENVIRONMENTS}
    assert {path.stem for path in (DOCS / "environments").glob("*.md")} == set(files.values())
    for name, file in files.items():
        page = text_of(DOCS / "environments" / f"{file}.md")
        assert f"\n| [{name}](environments/{file}.md) | " in index
        headings = ["Action", "Observation", "Reward", "Episode end", "Settings", "Measured"]
        assert not [heading for heading in headings if f"\n## {heading}\n\n" not in page]
        assert (made.NOT_MEASURED in page) != (f"]({file}.png)" in page)
    for name in smartrec.envs.Settings.__dataclass_fields__:
        assert f"\n| `{name}` | " in index
    page = text_of(DOCS / "environments" / "Logged.md")
    for name in smartrec.envs.LoggedSettings.__dataclass_fields__:
        assert f"\n| `{name}` | " in page


@each_page
def test_relative_links_resolve(path):
    for link in LINK.findall(FENCE.sub("", text_of(path))):
        if re.match(r"[a-z]+:", link):
            continue
        file, _, anchor = link.partition("#")
        target = (path.parent / file).resolve() if file else path
        assert target.exists(), f"{link} in {path.name}"
        if anchor and target.suffix == ".md":
            assert anchor in anchors_of(target), f"{link} in {path.name}"


@pytest.mark.parametrize(
    "path",
    [
        pytest.param(path, marks=[pytest.mark.spark, pytest.mark.slow] if path.name == "spark.md" else [])
        for path in EXAMPLES
    ],
    ids=lambda path: path.relative_to(ROOT).as_posix(),
)
def test_python_examples_run(path, tmp_path, monkeypatch):
    """Blocks of a page share a namespace, in order, in an empty folder."""
    monkeypatch.chdir(tmp_path)
    module = ModuleType(f"example_of_{path.stem}")
    monkeypatch.setitem(sys.modules, module.__name__, module)  # classes of a page are of a module, as a reader's are
    text = text_of(path)
    for block in FENCE.finditer(text):
        if block[1] == "python":
            line = text[: block.start(2)].count("\n")
            exec(compile("\n" * line + block[2], str(path), "exec"), vars(module))


@each_page
def test_fences_are_closed_and_say_their_language(path):
    text = text_of(path)
    assert text.count("\n```") == 2 * len(FENCE.findall(text))
    assert all(language for language, _ in FENCE.findall(text))


def dependencies():
    project = tomllib.loads(text_of(ROOT / "pyproject.toml"))["project"]
    groups = [project["dependencies"], *project["optional-dependencies"].values()]
    names = {REQUIREMENT.match(line)[0] for group in groups for line in group}
    return sorted(names - {project["name"]}), sorted(project["optional-dependencies"])


def test_each_dependency_and_extra_has_its_reason():
    page = text_of(DOCS / "dependencies.md")
    names, extras = dependencies()
    assert not [name for name in (*names, *extras) if f"`{name}`" not in page]


def test_dependency_page_has_the_pins_that_run():
    page = text_of(DOCS / "dependencies.md")
    pins = dict(re.findall(r"^([\w.-]+)==(\S+)$", text_of(ROOT / "constraints.txt"), re.MULTILINE))
    names, _ = dependencies()
    for name in pins.keys() & set(names):
        rows = [line for line in page.splitlines() if line.startswith("|") and f"`{name}`" in line]
        assert any(f"| {pins[name]} |" in row for row in rows), f"{name} {pins[name]}"


def test_words_page_has_the_letters_of_shapes():
    page = text_of(DOCS / "words.md")
    assert not [letter for letter in "NKIUTBD" if f"\n| {letter} | " not in page]


def test_each_word_has_one_row():
    rows = re.findall(r"^\| ([^|]+) \| ", text_of(DOCS / "words.md"), re.MULTILINE)
    words = [word for word in rows if word not in ("word", "letter")]
    assert len(words) == len(set(words))


def test_the_agent_of_the_readme_is_short_and_passes_the_examination(tmp_path, monkeypatch):
    (code,) = [code for _, code in FENCE.findall(text_of(ROOT / "README.md")) if "class MyAgent" in code]
    assert len(code.splitlines()) <= 20
    (tmp_path / "readmeagent.py").write_text(code)
    monkeypatch.syspath_prepend(tmp_path)
    smartrec.agents.check_agent("readmeagent:MyAgent")
    envs = gym.make_vec("SmartRec/Task1-v0", num_envs=500)
    agent = smartrec.agents.make("readmeagent:MyAgent", envs, seed=0)
    assert smartrec.evaluation.run(agent, envs, seed=0).metrics["final_expected"] > 0.7


def test_the_leaderboard_of_the_readme_is_made_from_the_committed_records():
    spec = spec_from_file_location("docs_generate", DOCS / "generate.py")
    generate = module_from_spec(spec)
    spec.loader.exec_module(generate)
    records = smartrec.evaluation.read_records(DOCS / "leaderboard" / "records.jsonl")
    readme = text_of(ROOT / "README.md")
    assert generate.with_leaderboard(readme, records) == readme, "run: make records"
    assert {record.seed for record in records} == set(range(1000, 1010))
    assert not any(record.dirty for record in records)
