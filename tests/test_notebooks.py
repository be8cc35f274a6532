"""Notebooks stay small, are committed without outputs, and hold every claim they make."""

import ast
import base64
import json
import re
import sys
import time
from pathlib import Path

import nbclient
import nbformat
import pytest

ROOT = Path(__file__).parents[1]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
MOST_LINES, MOST_DEFINITION_LINES, MOST_IMAGE_BYTES, MOST_SECONDS = 120, 10, 120_000, 300

ABSOLUTE_PATH = re.compile(r"(?:^|[\s\"'`(=])(?:/[A-Za-z][\w.-]*/|~/|[A-Za-z]:\\)", re.MULTILINE)

OFFLINE = """
import socket

def refuse(*address, **options):
    raise OSError(f"a notebook must run offline, and this one asked for {address}")

socket.getaddrinfo = socket.create_connection = refuse
"""

each_notebook = pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)


def cells_of(path):
    return json.loads(path.read_text(encoding="utf-8"))["cells"]


def code_of(path):
    return [(cell, "".join(cell["source"])) for cell in cells_of(path) if cell["cell_type"] == "code"]


def test_there_are_notebooks():
    assert NOTEBOOKS


@pytest.mark.slow
@each_notebook
def test_notebook_runs_offline_and_its_claims_hold(path, tmp_path, monkeypatch):
    write_kernel(tmp_path / "jupyter", monkeypatch)
    write_startup(tmp_path / "ipython", monkeypatch)
    monkeypatch.setenv("SMARTREC_QUICK", "1")
    monkeypatch.delenv("MPLBACKEND", raising=False)
    folder = tmp_path / "empty"
    folder.mkdir()
    notebook = nbformat.reads(path.read_text(encoding="utf-8"), as_version=4)
    started = time.perf_counter()
    nbclient.NotebookClient(
        notebook, timeout=MOST_SECONDS, kernel_name="python3", resources={"metadata": {"path": str(folder)}}
    ).execute()
    assert time.perf_counter() - started < MOST_SECONDS
    outputs = [output for cell in notebook.cells if cell.cell_type == "code" for output in cell.outputs]
    warned = [output.text for output in outputs if output.output_type == "stream" and output.name == "stderr"]
    assert not warned
    assert any("image/png" in output.get("data", {}) for output in notebook.cells[-1].outputs)


def write_kernel(folder, monkeypatch):
    """Make the kernel named python3 the interpreter that runs the tests, whatever else the machine has."""
    spec = {
        "argv": [sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}"],
        "display_name": "Python 3",
        "language": "python",
    }
    (folder / "kernels" / "python3").mkdir(parents=True)
    (folder / "kernels" / "python3" / "kernel.json").write_text(json.dumps(spec))
    for name in ("JUPYTER_PATH", "JUPYTER_DATA_DIR", "JUPYTER_CONFIG_DIR"):
        monkeypatch.setenv(name, str(folder))
    monkeypatch.setenv("JUPYTER_RUNTIME_DIR", str(folder / "runtime"))


def write_startup(folder, monkeypatch):
    """Give the kernel a profile of its own that refuses the network."""
    startup = folder / "profile_default" / "startup"
    startup.mkdir(parents=True)
    (startup / "offline.py").write_text(OFFLINE)
    monkeypatch.setenv("IPYTHONDIR", str(folder))


@each_notebook
def test_notebook_is_short(path):
    lines = [line for _, code in code_of(path) for line in code.splitlines() if line.strip()]
    assert len(lines) <= MOST_LINES
    for _, code in code_of(path):
        for node in ast.walk(ast.parse(code)):
            if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
                assert node.end_lineno - node.lineno < MOST_DEFINITION_LINES, node.name


@each_notebook
def test_notebook_begins_with_its_size_and_asserts_its_claims(path):
    _, first = code_of(path)[0]
    assert 'QUICK = os.environ.get("SMARTREC_QUICK") == "1"' in first
    assert any(isinstance(node, ast.Assert) for _, code in code_of(path) for node in ast.walk(ast.parse(code)))


@each_notebook
def test_notebook_is_committed_without_outputs_but_the_last_figure(path):
    *others, (last, _) = code_of(path)
    assert cells_of(path)[-1]["cell_type"] == "code"
    for cell, _ in others:
        assert cell["outputs"] == []
    for cell, _ in code_of(path):
        assert cell["execution_count"] is None
    assert len(last["outputs"]) <= 1
    for output in last["outputs"]:
        assert list(output["data"]) == ["image/png"]
        assert len(base64.b64decode(output["data"]["image/png"])) < MOST_IMAGE_BYTES


@each_notebook
def test_notebook_names_no_machine(path):
    notebook = json.loads(path.read_text(encoding="utf-8"))
    assert notebook["metadata"] == {
        "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
        "language_info": {"name": "python"},
    }
    for cell in notebook["cells"]:
        assert cell["metadata"] == {}
        assert not ABSOLUTE_PATH.search("".join(cell["source"]))
