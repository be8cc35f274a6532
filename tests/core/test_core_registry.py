import sys

import pytest

from smartrec.core.errors import MissingExtra, UnknownName
from smartrec.core.optional import optional
from smartrec.core.registry import Registry, load


@pytest.fixture
def registry():
    registry = Registry("agent")
    registry.add("thompson", "collections:OrderedDict", "draws", slates=True)
    registry.add("ucb", "collections:Counter", "counts", slates=False)
    return registry


def test_names_and_facts(registry):
    assert list(registry) == ["thompson", "ucb"]
    assert registry.names(slates=True) == ["thompson"]
    assert registry.names(slates=True, other=1) == []
    assert "ucb" in registry
    assert registry.entry("ucb").about == "counts"
    assert registry.get("ucb").__name__ == "Counter"


def test_a_near_miss_is_named(registry):
    with pytest.raises(UnknownName, match=r"unknown agent 'tompson'. Did you mean 'thompson'\? Known: thompson, ucb."):
        registry.get("tompson")


def test_a_taken_name_is_refused(registry):
    with pytest.raises(ValueError, match="agent 'ucb' is registered already, as collections:Counter"):
        registry.add("ucb", "x:y", "again")


@pytest.mark.parametrize(
    ("target", "message"),
    [
        ("collections", "is no import path; write it as 'module:Name'"),
        (":Counter", "is no import path"),
        (".base:Agent", "is no import path"),
        ("collections:", "is no import path"),
        ("no_such_module:Agent", "no module named 'no_such_module'"),
        ("collections.abd:Agent", "no module named 'collections.abd'"),
        ("collections:Countr", "has no 'Countr'. Did you mean 'Counter'"),
    ],
)
def test_bad_targets(target, message):
    with pytest.raises(UnknownName, match=message):
        load(target)


def test_a_module_that_lacks_something_itself_is_not_blamed_on_the_path(tmp_path, monkeypatch):
    (tmp_path / "half_installed.py").write_text("import no_such_dependency\n")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ModuleNotFoundError, match="no_such_dependency"):
        load("half_installed:Agent")


def test_optional():
    assert optional("json", "deep", "the agent").__name__ == "json"
    with pytest.raises(MissingExtra, match=r'the agent needs no_such_torch: pip install "smartrec\[deep\]"'):
        optional("no_such_torch", "deep", "the agent")


def test_optional_lets_an_inner_failure_through(tmp_path, monkeypatch):
    (tmp_path / "half_there.py").write_text("import no_such_dependency\n")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ModuleNotFoundError, match="no_such_dependency") as caught:
        optional("half_there", "deep", "the agent")
    assert not isinstance(caught.value, MissingExtra)
    sys.modules.pop("half_there", None)
