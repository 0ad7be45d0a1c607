"""The command `relay`, and `python -m service`."""

import os
import sys

from service.cli.commands import app

_OURS_ALONE = 0o077


def main() -> None:
    """Run the command. What an operator has wrong ends it with status 2 and a line for each fault.

    What it makes on the disk is for its own user alone: results, keys and audio.
    """
    os.umask(_OURS_ALONE)
    try:
        app()
    except Exception as error:
        from service.cli.preflight import operator_message  # noqa: PLC0415 - `relay --help` is quick

        if (told := operator_message(error)) is None:
            raise
        sys.stderr.write(f"{told}\n")
        sys.exit(2)


if __name__ == "__main__":
    main()
