"""How fast SmartRec is beside its peers, both sides measured in one run: ``python -m benchmarks``."""
