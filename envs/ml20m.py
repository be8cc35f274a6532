"""MovieLens 20M as an environment: RecNN's data set."""

from smartrec.envs.logged import LoggedEnv, LoggedVectorEnv
from smartrec.envs.logged_settings import LoggedSettings


class ML20MVectorEnv(LoggedVectorEnv):
    """MovieLens 20M, walked user by user: `SmartRec/Logged-v0` with another data set and RecNN's rewards.

    ## Users and items
    138,493 users, 20,000,263 ratings from 0.5 to 5, and the films of the catalogue, of which 26,744 were rated. Where
    the files are missing, the error says how to get them: `smartrec data fetch ml-20m`.

    ## Action
    | space | meaning |
    |---|---|
    | `Discrete(I)` | the film to show |

    ## Observation
    That of [SmartRec/Logged-v0](Logged.md#observation).

    ## Reward
    2 (rating - 2.5), from -4 to 5, as in RecNN; by `rating_map`. What an item earns that is not the logged one,
    `mismatch` says: see [SmartRec/Logged-v0](Logged.md#response).

    ## Episode end
    With the user's last rating, `terminated`: T - 10 steps for a user with T ratings.

    ## Settings
    Those of [SmartRec/Logged-v0](Logged.md#settings), with the defaults `dataset="ml-20m"` and `rating_map="recnn"`.

    ## Source
    Harper and Konstan 2015, "The MovieLens datasets: history and context".

    ## Versions
    v0: first version.
    """

    id = "SmartRec/ML20M-v0"
    defaults = LoggedSettings(dataset="ml-20m", rating_map="recnn")


class ML20MEnv(LoggedEnv):
    """The same, one user at a time; see ``ML20MVectorEnv``."""

    batch_type = ML20MVectorEnv
