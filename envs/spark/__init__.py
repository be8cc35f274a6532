"""The world on Spark: visits in chunks that any machine can work out, a log that is written once, Sim4Rec's cycle.

Nothing is imported here, so that the rooms load no pyspark.
"""
