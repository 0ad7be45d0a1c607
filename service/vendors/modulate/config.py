"""Where Modulate is, who we are there, and what of its answers is doubted."""

from dataclasses import dataclass, field

ENGINE = "velma-2"
BATCH_PATH = "/api/velma-2-ai-music-detection-batch"
STREAM_PATH = "/api/velma-2-ai-music-detection-streaming"


@dataclass(frozen=True, slots=True)
class ModulateConfig:
    """The stream's address is made of `base_url`: `https` becomes `wss`.

    `partial`: AI vocals over music that was heard to have no AI at all are `ai_partial`.
    `doubt_low_music`: `not-ai-music` is `inconclusive` where there was hardly music to judge, that is more than
    `silence_above_pct` % silence, or less than `music_below_pct` % of vocals and instruments together.
    """

    base_url: str = "https://platform.modulate.ai"
    api_key: str = field(default="", repr=False)
    partial: bool = False
    doubt_low_music: bool = True
    silence_above_pct: float = 80.0
    music_below_pct: float = 5.0
