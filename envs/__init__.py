"""The worlds an agent meets: batched environments, their one-lane views, and checks."""

from smartrec.envs.checks import check_env
from smartrec.envs.crowd import Crowd
from smartrec.envs.embedding_actions import EmbeddingActions, VectorEmbeddingActions
from smartrec.envs.logged import LoggedEnv, LoggedVectorEnv
from smartrec.envs.logged_settings import LoggedSettings
from smartrec.envs.settings import Settings
from smartrec.envs.single import RecommendationEnv
from smartrec.envs.vector import RecommendationVectorEnv

__all__ = [
    "Crowd",
    "EmbeddingActions",
    "LoggedEnv",
    "LoggedSettings",
    "LoggedVectorEnv",
    "RecommendationEnv",
    "RecommendationVectorEnv",
    "Settings",
    "VectorEmbeddingActions",
    "check_env",
]
