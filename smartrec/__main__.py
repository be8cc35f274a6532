"""``smartrec`` and ``python -m smartrec``: the command line lives in ``smartrec.tasks.cli``."""


def main() -> None:
    """Run the command line."""
    from smartrec.tasks.cli import main as run

    run()


if __name__ == "__main__":
    main()
