"""The command `relay`, and `python -m service`."""

import sys

from service.cli.commands import app
from service.kit.errors import SettingsError


def main() -> None:
    """The command has run. A setting that is wrong ends it with status 2 and a line for each."""
    try:
        app()
    except SettingsError as error:
        sys.stderr.write(f"{error}\n")
        sys.exit(2)


if __name__ == "__main__":
    main()
