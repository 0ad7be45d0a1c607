"""The responses to probes."""

from typing import Literal

from pydantic import Field

from service.api.schemas.common import Shown


class Live(Shown):
    """The process is alive."""

    status: Literal["live"]


class Ready(Shown):
    """Each check by its name. `worker` is information only: it does not affect `status`.

    `database` is `read_only` or `full` if nothing can be written to the database or the audio store.
    """

    status: Literal["ready", "not ready"]
    database: Literal["ok", "unreachable", "read_only", "full"]
    schema_: Literal["ok", "newer", "behind", "unknown"] = Field(alias="schema")
    worker: Literal["ok", "silent", "none", "unknown"]
