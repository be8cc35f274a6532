"""One Spark session for all tests: starting one takes ten seconds."""

import pytest


@pytest.fixture(scope="session")
def spark(tmp_path_factory):
    from smartrec.core.spark import session

    running = session(
        "local[2]",
        {
            "spark.driver.memory": "1g",
            "spark.default.parallelism": "2",
            "spark.sql.warehouse.dir": str(tmp_path_factory.mktemp("warehouse")),
        },
    )
    yield running
    running.stop()
