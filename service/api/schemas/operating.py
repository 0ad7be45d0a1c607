"""What probes ask, and the API's own addresses."""

from typing import Literal

from pydantic import Field

from service.api.schemas.common import Shown


class Live(Shown):
    """The process turns."""

    status: Literal["live"]


class Ready(Shown):
    """Each check by its name. `worker` only tells: it makes nothing unready.

    `database` is `read_only` or `full` where nothing can be written: to it, or to where audio is kept.
    """

    status: Literal["ready", "not ready"]
    database: Literal["ok", "unreachable", "read_only", "full"]
    schema_: Literal["ok", "newer", "behind", "unknown"] = Field(alias="schema")
    worker: Literal["ok", "silent", "none", "unknown"]
