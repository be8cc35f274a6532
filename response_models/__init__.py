"""How users respond: probabilities by user and item, and the choice that rolls the dice."""
