"""How users respond: probabilities by user and item, and the choice that rolls the dice."""

from smartrec.response_models.base import ResponseModel, State
from smartrec.response_models.blocks import Calibration, Constant, CosineSimilarity, Noise, WeightedSum
from smartrec.response_models.checks import check_response_model
from smartrec.response_models.choice import Answers, Cascade, Choice, Independent, MultinomialLogit
from smartrec.response_models.drift import DriftingPopularity
from smartrec.response_models.features import Features
from smartrec.response_models.popularity import Popularity
from smartrec.response_models.preferences import Preferences
from smartrec.response_models.registry import RESPONSE_MODELS
from smartrec.response_models.table import Table

__all__ = [
    "RESPONSE_MODELS",
    "Answers",
    "Calibration",
    "Cascade",
    "Choice",
    "Constant",
    "CosineSimilarity",
    "DriftingPopularity",
    "Features",
    "Independent",
    "MultinomialLogit",
    "Noise",
    "Popularity",
    "Preferences",
    "ResponseModel",
    "State",
    "Table",
    "WeightedSum",
    "check_response_model",
]
