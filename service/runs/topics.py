"""What the loops and readers of this room wait for."""

TOPIC_RUNS = "runs"
TOPIC_POLLS = "polls"
TOPIC_SOURCES = "sources"
TOPIC_FOLLOWERS = "followers"
TOPIC_CERTIFICATES = "certificates"


def topic_of(detection_id: str) -> str:
    """Return the wake of those who wait for this detection's end."""
    return f"detection:{detection_id}"
