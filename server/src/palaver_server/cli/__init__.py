"""The command line ``palaver``. Importing it costs nothing; each command is imported when it is called."""

__all__ = ["main"]


def main() -> None:
    """Run the command that the arguments name."""
    from palaver_server.cli.group import palaver

    palaver(prog_name="palaver")
