"""The names of the response models. A new one is one file and one line here."""

from smartrec.core.registry import Registry

RESPONSE_MODELS = Registry("response model")
_add, _room = RESPONSE_MODELS.add, "smartrec.response_models"
_add("popularity", f"{_room}.popularity:Popularity", "one click probability an item")
_add("drifting_popularity", f"{_room}.drift:DriftingPopularity", "popularity that turns around over the clock")
_add("features", f"{_room}.features:Features", "a fitted predictor on features of user and item")
_add("preferences", f"{_room}.preferences:Preferences", "hidden factors of user and item")
_add("table", f"{_room}.table:Table", "a probability for each pair of user and item")
_add("constant", f"{_room}.blocks:Constant", "block: the same for all")
_add("noise", f"{_room}.blocks:Noise", "block: clipped normal noise by tick, user and item")
_add("cosine_similarity", f"{_room}.blocks:CosineSimilarity", "block: the angle of two embeddings")
_add("weighted_sum", f"{_room}.blocks:WeightedSum", "blocks added up by weights")
_add("calibration", f"{_room}.blocks:Calibration", "a block put right by a line or by Platt's sigmoid")
