"""How users respond: probabilities by user and item, and the choice that rolls the dice."""

from smartrec.response_models.base import ResponseModel, State
from smartrec.response_models.checks import check_response_model
from smartrec.response_models.drift import DriftingPopularity
from smartrec.response_models.features import Features
from smartrec.response_models.popularity import Popularity
from smartrec.response_models.preferences import Preferences
from smartrec.response_models.table import Table

__all__ = [
    "DriftingPopularity",
    "Features",
    "Popularity",
    "Preferences",
    "ResponseModel",
    "State",
    "Table",
    "check_response_model",
]
