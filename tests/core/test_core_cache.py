import numpy as np
import pytest

from smartrec.core.cache import cache_folder, cached

ROWS = (("held out", "a fifth"), ("model", "good"))


class _Fit:
    def __init__(self):
        self.calls = 0

    def __call__(self):
        self.calls += 1
        return {"a": np.arange(6.0).reshape(2, 3), "b": np.array([1], np.float32)}, ROWS


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("SMARTREC_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def _check(result):
    arrays, rows = result
    assert arrays["a"].tolist() == [[0, 1, 2], [3, 4, 5]]
    assert arrays["b"].dtype == np.float32
    assert set(arrays) == {"a", "b"}
    assert rows == ROWS


def test_the_second_time_it_comes_from_disk_in_silence(folder, capsys):
    fit = _Fit()
    _check(cached("a fit", {"data": "x"}, fit))
    assert capsys.readouterr().err == f"fitting a fit (once; kept in {folder})\n"
    _check(cached("a fit", {"data": "x"}, fit))
    assert capsys.readouterr().err == ""
    assert fit.calls == 1


@pytest.mark.parametrize(
    "change", [("b fit", {"data": "x"}), ("a fit", {"data": "y"}), ("a fit", {"data": "x", "n": 1})]
)
def test_another_key_is_fitted(folder, change):
    fit = _Fit()
    cached("a fit", {"data": "x"}, fit)
    cached(*change, fit)
    assert fit.calls == 2
    assert len(list(folder.iterdir())) == 2


@pytest.mark.parametrize(
    "damage",
    [
        lambda good: b"",
        lambda good: good[: len(good) // 2],
        lambda good: b"no zip at all",
        lambda good: good[:100] + bytes([good[100] ^ 255]) + good[101:],
        lambda good: good[:-30],
        lambda good: b"\x80\x04]\x94.",
    ],
    ids=["empty", "half", "text", "one byte", "no end", "pickle"],
)
def test_a_damaged_file_is_fitted_anew(folder, damage):
    fit = _Fit()
    cached("a fit", {"data": "x"}, fit)
    (path,) = folder.iterdir()
    good = path.read_bytes()
    path.write_bytes(damage(good))
    _check(cached("a fit", {"data": "x"}, fit))
    assert fit.calls == 2
    _check(cached("a fit", {"data": "x"}, fit))
    assert fit.calls == 2


def test_any_flipped_byte_is_fitted_anew_or_makes_no_difference(folder):
    fit = _Fit()
    cached("a fit", {"data": "x"}, fit)
    (path,) = folder.iterdir()
    good = path.read_bytes()
    for place in range(0, len(good), 7):
        path.write_bytes(good[:place] + bytes([good[place] ^ 0x5A]) + good[place + 1 :])
        _check(cached("a fit", {"data": "x"}, fit))
    assert fit.calls > 10


def test_a_file_without_report_is_fitted_anew(folder):
    fit = _Fit()
    cached("a fit", {"data": "x"}, fit)
    (path,) = folder.iterdir()
    np.savez(path, a=np.ones(2))
    _check(cached("a fit", {"data": "x"}, fit))
    assert fit.calls == 2


def test_a_cache_that_cannot_be_written_costs_one_line_a_time(tmp_path, monkeypatch, capsys):
    (tmp_path / "file").write_text("x")
    monkeypatch.setenv("SMARTREC_CACHE", str(tmp_path / "file"))
    fit = _Fit()
    for _ in range(2):
        _check(cached("a fit", {}, fit))
        err = capsys.readouterr().err
        assert err.count("\n") == 1
        assert err.startswith("fitting a fit (not kept: ")
        assert "is a file" in err
    assert fit.calls == 2


def test_a_fit_that_fails_leaves_nothing(folder):
    def fit():
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        cached("a fit", {}, fit)
    assert list(folder.iterdir()) == []


def test_places(monkeypatch, tmp_path):
    monkeypatch.delenv("SMARTREC_CACHE", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert cache_folder() == tmp_path / "smartrec"
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert cache_folder().parts[-2:] == (".cache", "smartrec")
