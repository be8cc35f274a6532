"""Logs of what users answered, what is known of users and items, and synthetic populations."""

from smartrec.data.batches import Batches
from smartrec.data.copula import CopulaGenerator
from smartrec.data.dense import DenseFrames
from smartrec.data.fetching import fetch
from smartrec.data.frames import Frames, split_frames
from smartrec.data.generators import CompositeGenerator, Generator, RandomSelector, RealGenerator
from smartrec.data.interactions import Catalogue, Dataset, Interactions, Vocabulary
from smartrec.data.kept import load_kept
from smartrec.data.lastfm import load_lastfm, load_lastfm_friends
from smartrec.data.movielens import load_ml_1m, load_ml_10m, load_ml_100k, load_ml_latest
from smartrec.data.open_bandit import OpenBandit, load_open_bandit
from smartrec.data.populations import Population, featured_population, make_population, taste_population
from smartrec.data.published import PUBLISHED, Published
from smartrec.data.recbole import load_recbole_ml_100k, read_atomic
from smartrec.data.sequences import Sequences
from smartrec.data.sources import DATASETS, load
from smartrec.data.splits import by_time, by_user, cold_start, leave_last_out
from smartrec.data.static_compact import CompactFile, write_compact
from smartrec.data.static_dense import DenseFile, write_dense
from smartrec.data.static_minari import write_minari
from smartrec.data.static_parquet import ParquetFile, write_parquet
from smartrec.data.table import load_table
from smartrec.data.trajectories import Trajectories

__all__ = [
    "DATASETS",
    "PUBLISHED",
    "Batches",
    "Catalogue",
    "CompactFile",
    "CompositeGenerator",
    "CopulaGenerator",
    "Dataset",
    "DenseFile",
    "DenseFrames",
    "Frames",
    "Generator",
    "Interactions",
    "OpenBandit",
    "ParquetFile",
    "Population",
    "Published",
    "RandomSelector",
    "RealGenerator",
    "Sequences",
    "Trajectories",
    "Vocabulary",
    "by_time",
    "by_user",
    "cold_start",
    "featured_population",
    "fetch",
    "leave_last_out",
    "load",
    "load_kept",
    "load_lastfm",
    "load_lastfm_friends",
    "load_ml_1m",
    "load_ml_10m",
    "load_ml_100k",
    "load_ml_latest",
    "load_open_bandit",
    "load_recbole_ml_100k",
    "load_table",
    "make_population",
    "read_atomic",
    "split_frames",
    "taste_population",
    "write_compact",
    "write_dense",
    "write_minari",
    "write_parquet",
]
