"""Logs of what users answered, what is known of users and items, and synthetic populations."""

from smartrec.data.interactions import Catalogue, Dataset, Interactions, Vocabulary
from smartrec.data.movielens import load_ml_1m, load_ml_100k, load_ml_latest
from smartrec.data.populations import Population, featured_population, make_population, taste_population
from smartrec.data.recbole import load_recbole_ml_100k, read_atomic
from smartrec.data.sources import DATASETS, load
from smartrec.data.table import load_table

__all__ = [
    "DATASETS",
    "Catalogue",
    "Dataset",
    "Interactions",
    "Population",
    "Vocabulary",
    "featured_population",
    "load",
    "load_ml_1m",
    "load_ml_100k",
    "load_ml_latest",
    "load_recbole_ml_100k",
    "load_table",
    "make_population",
    "read_atomic",
    "taste_population",
]
