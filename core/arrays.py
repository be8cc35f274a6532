"""Array aliases, and the letters used for shapes everywhere.

N lanes (users served at once), K slate, I items, U users, T time, B batch, D features.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.floating[Any]]
IntArray = NDArray[np.integer[Any]]
BoolArray = NDArray[np.bool_]
Array = NDArray[Any]
Observation = Mapping[str, Array]
"""What an agent sees of N lanes: one array [N, ...] a key."""
