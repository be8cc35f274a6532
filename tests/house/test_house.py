"""The house rules: who imports whom, one copy of each module, small files, names that resolve."""

import ast
import re
import subprocess
import sys
import tomllib
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

import smartrec
from smartrec.agents.registry import AGENTS

ROOT = Path(__file__).parents[2]
ROOMS = smartrec.ROOMS
FILES = sorted(path for room in ("smartrec", *ROOMS) for path in (ROOT / room).rglob("*.py"))
MAY_IMPORT = {
    "smartrec": set(ROOMS),
    "core": set(),
    "data": {"core"},
    "evaluation": {"core"},
    "response_models": {"core", "data"},
    "envs": {"core", "data", "response_models"},
    "agents": {"core"},
    "tasks": set(ROOMS),
}
HEAVY = ("torch", "pandas", "scipy", "matplotlib", "pyspark", "sklearn", "pyarrow", "typer", "rich")


def module_of(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    parts = parts if parts[0] == "smartrec" else ("smartrec", *parts)
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imports_of(path: Path) -> list[str]:
    """Modules of ours that a file imports, wherever in it; ``from a.b import c`` counts as a.b.c where that is one."""
    found = []
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            found += [f"{node.module}.{alias.name}" for alias in node.names]
    return [known(name) for name in found if name.split(".")[0] == "smartrec"]


MODULES = {module_of(path): path for path in FILES}


def known(name: str) -> str:
    while name not in MODULES:
        name = name.rpartition(".")[0]
    return name


def room_of(module: str) -> str:
    parts = module.split(".")
    return parts[1] if len(parts) > 1 and parts[1] in ROOMS else "smartrec"


@pytest.mark.parametrize("module", sorted(MODULES))
def test_rooms_import_only_whom_they_may(module):
    room = room_of(module)
    face = {"smartrec.version", "smartrec"}
    for imported in imports_of(MODULES[module]):
        target = room_of(imported)
        allowed = target == room or target in MAY_IMPORT[room] or imported in face
        assert allowed, f"{module} ({room}) imports {imported} ({target})"


def test_agents_never_import_another_algorithm():
    algorithms = {AGENTS.entry(name).target.partition(":")[0] for name in AGENTS}
    for module in algorithms:
        assert not algorithms & set(imports_of(MODULES[module])), module


def test_imports_have_no_circles():
    graph = {module: set(imports_of(path)) - {module} for module, path in MODULES.items()}
    # A package's face imports its files; a file that imports a sibling imports that file, not the face.
    for targets in graph.values():
        targets.discard("smartrec")
    TopologicalSorter(graph).prepare()


def test_files_are_small():
    large = {str(path.relative_to(ROOT)): n for path in FILES if (n := len(path.read_text().splitlines())) > 350}
    assert not large


def test_package_list_matches_the_folders():
    tool = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]
    folders = {module_of(path) for path in FILES if path.name == "__init__.py"}
    assert set(tool["packages"]) == folders
    for package, folder in tool["package-dir"].items():
        assert module_of(ROOT / folder / "__init__.py") == package


def test_every_registered_name_resolves():
    from smartrec.agents.encoders.registry import ENCODERS
    from smartrec.data import DATASETS
    from smartrec.tasks import TASKS

    for registry in (AGENTS, ENCODERS, DATASETS, TASKS):
        for name in registry:
            assert registry.get(name) is not None
            assert registry.entry(name).about
    for target in smartrec.ENVIRONMENTS.values():
        from smartrec.core.registry import load

        assert load(f"{target}Env").__doc__
        assert load(f"{target}VectorEnv").__doc__


def run_python(code: str, *arguments: str, cwd: Path | None = None) -> str:
    command = [sys.executable, "-c", code, *arguments]
    done = subprocess.run(command, capture_output=True, text=True, cwd=cwd, timeout=120)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_importing_smartrec_loads_nothing_heavy():
    code = f"import smartrec, sys; print([name for name in {HEAVY} if name in sys.modules])"
    assert run_python(code).strip() == "[]"


@pytest.mark.parametrize("where", [ROOT, ROOT.parent])
def test_there_is_one_copy_of_each_module(where):
    code = (
        "import smartrec, sys, smartrec.tasks.runner, smartrec.envs.features\n"
        "files = [m.__file__ for n, m in sys.modules.items() if n.startswith('smartrec') and m.__file__]\n"
        f"bare = [n for n in {ROOMS} if n in sys.modules]\n"
        "assert len(files) == len(set(files)) and not bare, bare\n"
        "assert smartrec.agents.base is sys.modules['smartrec.agents.base']"
    )
    run_python(code, cwd=where)


def test_nobody_touches_the_global_generators():
    banned = re.compile(r"(?<![\w.])(np\.random|random)\.(seed|rand|randn|randint|choice|random|normal|shuffle)\(")
    assert not [str(path) for path in FILES if banned.search(path.read_text())]
