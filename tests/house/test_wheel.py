"""The built wheel, installed elsewhere, runs the core tests."""

import os
import shutil
import subprocess
import sys
import venv
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def call(*command: object, cwd: Path) -> str:
    # The wheel must be found by itself: nothing of the checkout may be on the path.
    env = {k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", "VIRTUAL_ENV")}
    done = subprocess.run([str(c) for c in command], cwd=cwd, env=env, capture_output=True, text=True, timeout=1200)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    return done.stdout


@pytest.mark.slow
def test_the_wheel_runs_the_core_tests_elsewhere(tmp_path):
    source = tmp_path / "a-clone-of-another-name"
    tracked = call("git", "ls-files", cwd=ROOT).split()
    for name in tracked:
        if (ROOT / name).is_file():
            (source / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, source / name)
    call(sys.executable, "-m", "build", "--wheel", "--outdir", tmp_path / "dist", source, cwd=tmp_path)
    (wheel,) = (tmp_path / "dist").glob("*.whl")

    # Its dependencies are those of this environment; SmartRec itself comes from the wheel alone.
    venv.create(tmp_path / "env", with_pip=True)
    python = tmp_path / "env" / "bin" / "python"
    call(python, "-m", "pip", "install", "--no-deps", "--quiet", wheel, cwd=tmp_path)
    here = next(path for path in sys.path if path.endswith("site-packages"))
    paths = call(python, "-c", "import site; print(site.getsitepackages()[0])", cwd=tmp_path).strip()
    wanted = [p for p in Path(here).iterdir() if "smartrec" not in p.name.lower() and p.suffix != ".pth"]
    for package in wanted:
        target = Path(paths) / package.name
        if not target.exists():
            target.symlink_to(package)
    shutil.copytree(ROOT / "tests" / "core", tmp_path / "tests" / "core")
    # Contract and deep agents take minutes; that their files are in the wheel shows when they are imported.
    rest = shutil.ignore_patterns("adapters", "deep", "encoders", "recommenders", "test_agents_contract.py")
    shutil.copytree(ROOT / "tests" / "agents", tmp_path / "tests" / "agents", ignore=rest)
    call(python, "-c", "from smartrec.agents import AGENTS; [AGENTS.get(name) for name in AGENTS]", cwd=tmp_path)
    out = call(python, "-c", "import smartrec; print(smartrec.__file__, smartrec.core.__file__)", cwd=tmp_path)
    assert str(ROOT) not in out
    options = ("-q", "-m", "not slow and not learning", "--import-mode=importlib", "-p", "no:cacheprovider")
    out = call(python, "-m", "pytest", *options, "tests", cwd=tmp_path)
    assert " passed" in out
