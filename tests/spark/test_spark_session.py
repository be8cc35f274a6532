"""Sessions that do not fit are refused with what to do; nothing loads pyspark unasked."""

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from smartrec.core import spark as sessions
from smartrec.core.errors import InvalidInput, MissingExtra, SparkUnusable

pytestmark = pytest.mark.spark


def test_the_rooms_load_no_pyspark():
    code = (
        "import sys, smartrec.core.spark, smartrec.response_models, smartrec.envs, smartrec.agents\n"
        "import smartrec.tasks.cli\n"
        "assert not [name for name in sys.modules if name.split('.')[0] in ('pyspark', 'replay', 'sim4rec')]"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=120)


def test_without_java(monkeypatch, tmp_path):
    monkeypatch.setenv("JAVA_HOME", str(tmp_path))
    with pytest.raises(SparkUnusable, match=f"needs Java 17 or newer, and there is none by JAVA_HOME = {tmp_path}"):
        sessions.session("local[1]")
    monkeypatch.delenv("JAVA_HOME")
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(SparkUnusable, match="none by the search path; install a JDK, or set JAVA_HOME"):
        sessions.session("local[1]")


@pytest.mark.parametrize(("says", "shown"), [('openjdk version "11.0.2"', "11"), ('java version "1.8.0_392"', "8")])
def test_an_old_java(monkeypatch, tmp_path, says, shown):
    java = tmp_path / "bin" / "java"
    java.parent.mkdir()
    java.write_text(f"#!/bin/sh\necho '{says}' >&2\n")
    java.chmod(0o755)
    monkeypatch.setenv("JAVA_HOME", str(tmp_path))
    with pytest.raises(SparkUnusable, match=f"Java {shown} at .*; allowed: 17 or newer"):
        sessions.session("local[1]")


def test_without_pyspark(monkeypatch):
    monkeypatch.setitem(sys.modules, "pyspark", None)
    with pytest.raises(MissingExtra, match=r'Spark needs pyspark: pip install "smartrec\[spark\]"'):
        sessions.session()


def test_an_old_pyspark(monkeypatch):
    import pyspark

    monkeypatch.setattr(pyspark, "__version__", "3.5.9")
    with pytest.raises(SparkUnusable, match=r"pyspark 3.5.9; allowed: 4.1 or newer"):
        sessions.session()


def test_what_is_no_session():
    with pytest.raises(SparkUnusable, match="allowed: a classic session"):
        sessions.require_session(object())


@pytest.mark.slow
def test_another_session_is_running(spark):
    assert sessions.session("local[2]") is spark
    with pytest.raises(SparkUnusable, match=r"running with spark.master = local\[2\], not local\[3\]; hand that"):
        sessions.session("local[3]")
    with pytest.raises(SparkUnusable, match=r"spark.driver.memory = 1g, not 9g"):
        sessions.session("local[2]", {"spark.driver.memory": "9g"})


@pytest.mark.slow
def test_a_session_begun_in_another_thread_is_seen(spark):
    with ThreadPoolExecutor(1) as pool:
        assert pool.submit(sessions.running_session).result() is spark
        with pytest.raises(SparkUnusable, match=r"not local\[3\]"):
            pool.submit(sessions.session, "local[3]").result()


@pytest.mark.slow
def test_workers_with_another_version(spark, monkeypatch):
    monkeypatch.setattr(sessions, "_examined", set())
    monkeypatch.setattr(np, "__version__", "0.1")
    with pytest.raises(
        SparkUnusable, match=r"workers have .*NumPy [1-9].*, the driver has .*NumPy 0\.1;.* PYSPARK_PYTHON=/"
    ):
        sessions.require_session(spark)


@pytest.mark.slow
def test_columns_are_looked_at(spark):
    frame = spark.range(2).selectExpr("id", "id / 2 as half", "string(id) as name")
    sessions.require_columns(frame, {"id": "whole", "half": "number", "name": "text"}, "users")
    with pytest.raises(InvalidInput, match=r"users has no column 'ids'. Did you mean 'id'"):
        sessions.require_columns(frame, {"ids": ""}, "users")
    with pytest.raises(InvalidInput, match="column 'half' of users is of type double; allowed: byte, short, int, long"):
        sessions.require_columns(frame, {"half": "whole"}, "users")
