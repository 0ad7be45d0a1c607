"""Where each field that a vendor says of a track stands in a reading: for each one example, by paths with slashes."""

from collections.abc import Mapping

Homes = Mapping[str, tuple[str, str]]
"""By the example and, after a colon, the field's path in it: the home's path, and what is made of the value."""

AS_SENT, AS_TEXT, IN_OUR_WORDS, AS_INTEGER, IN_MS, AS_TIME = "as sent", "text", "word", "integer", "ms", "time"

_STANDARD = "callback_completed_standard:"
_FILE = f"{_STANDARD}result/audio_filename.mp3"
_MODEL = f"{_FILE}/model_results/1"
_V2 = "callback_completed_pro_v2:result/model_results"
_QUICK = "callback_quick_start_completed:"

AIPPIM: Homes = {
    f"{_STANDARD}task_id": ("refs/job_id", AS_TEXT),
    f"{_STANDARD}status": ("status", IN_OUR_WORDS),
    f"{_STANDARD}model_type": ("engine/name", AS_SENT),
    f"{_STANDARD}completed_at": ("vendor_completed_at", AS_TIME),
    f"{_FILE}/final_result/prediction": ("verdict_raw", AS_SENT),
    f"{_FILE}/final_result/confidence": ("score/value", AS_SENT),
    f"{_MODEL}/overall_analysis/prediction": ("sub_models/1/verdict_raw", AS_SENT),
    f"{_MODEL}/overall_analysis/confidence": ("sub_models/1/score", AS_SENT),
    f"{_MODEL}/segment_analysis/prediction/2": ("sub_models/1/segments/2/labels/0", AS_SENT),
    f"{_MODEL}/segment_analysis/confidence/2": ("sub_models/1/segments/2/scores/real", AS_SENT),
    f"{_MODEL}/config/model_id": ("sub_models/1/id", AS_SENT),
    f"{_MODEL}/config/analysis_focus": ("sub_models/1/focus", AS_SENT),
    f"{_MODEL}/config/task": ("sub_models/1/task", AS_SENT),
    f"{_MODEL}/config/labels": ("sub_models/1/labels", AS_SENT),
    f"{_MODEL}/config/num_classes": ("sub_models/1/labels", IN_OUR_WORDS),  # their number
    **{
        f"{_V2}/2/overall_analysis/confidence/{role}": (f"components/{layer}/confidence", AS_SENT)
        for role, layer in (("composer", "composition"), ("vocalist", "vocals"), ("engineer", "engineering"))
    },
    **{
        f"{_V2}/3/overall_analysis/all_probs/{label}": (f"attribution/alternatives/{index}/score", AS_SENT)
        for index, label in enumerate(("acestep", "lyria-pro3", "mureka", "suno", "udio"))
    },
    f"{_QUICK}taskId": ("refs/job_id", AS_TEXT),
    f"{_QUICK}taskResultId": ("refs/other/taskResultId", AS_TEXT),
    f"{_QUICK}title": ("refs/other/title", AS_SENT),
    f"{_QUICK}url": ("refs/other/url", AS_SENT),
    f"{_QUICK}aiModelName": ("engine/name", AS_SENT),
    f"{_QUICK}requestedAt": ("vendor_submitted_at", AS_TIME),
    f"{_QUICK}completedAt": ("vendor_completed_at", AS_TIME),
    f"{_QUICK}result/result/track.mp3/model_0/overall_analysis/confidence": ("sub_models/0/score", AS_SENT),
    f"{_QUICK}result/result/track.mp3/model_1/overall_analysis/confidence": ("sub_models/1/score", AS_SENT),
    "callback_completed_described:result/audio_filename.mp3/model_0_config/task": ("sub_models/0/task", AS_SENT),
    "poll_failure:error": ("reason_text", AS_SENT),
    "poll_failure:task_name": ("refs/other/task_name", AS_SENT),
}

ASC: Homes = {
    "callback_complete:event": ("refs/other/event", AS_SENT),
    "callback_complete:job_id": ("refs/job_id", AS_TEXT),
    "callback_complete:prediction": ("verdict_raw", AS_SENT),
    "callback_complete:ai_score": ("score/value", AS_SENT),
    "callback_complete:confidence_level": ("confidence/label", AS_SENT),
    "callback_complete:timestamp": ("vendor_completed_at", AS_TIME),
    "poll_completed:status": ("status", IN_OUR_WORDS),
    "analyze_reply:reasons": ("reasons", AS_SENT),
    "analyze_reply:engine": ("engine/version", AS_SENT),
    "analyze_reply:analysis_time_ms": ("vendor_ms", AS_SENT),
    "poll_failed:error": ("reason_text", IN_OUR_WORDS),
    "poll_failed:message": ("reason_text", IN_OUR_WORDS),
}

PEX: Homes = {
    "detect_reply:request_id": ("refs/request_id", AS_TEXT),
    "detect_reply:status": ("status", IN_OUR_WORDS),
    "detect_reply:is_ai": ("verdict_raw", IN_OUR_WORDS),
    "detect_reply:ai_score": ("score/value", AS_SENT),
    "detect_reply:predicted_model": ("attribution/raw_label", AS_SENT),
    "detect_reply:predicted_model_score": ("attribution/score", AS_SENT),
    "reply_too_short:message": ("reason_text", AS_SENT),
}

MODULATE: Homes = {
    "batch_reply:filename": ("refs/other/filename", AS_SENT),
    "batch_reply:duration_s": ("content/duration_ms", IN_MS),
    "batch_reply:primary_verdict": ("verdict_raw", AS_SENT),
    "batch_reply:vocal_percentage": ("content/vocal_pct", AS_SENT),
    "batch_reply:vocal_ai_percentage": ("components/vocals/ai_share_pct", AS_SENT),
    "batch_reply:vocal_ai_confidence": ("components/vocals/confidence", AS_SENT),
    "batch_reply:instrumental_percentage": ("content/instrumental_pct", AS_SENT),
    "batch_reply:instrumental_ai_percentage": ("components/instrumental/ai_share_pct", AS_SENT),
    "batch_reply:instrumental_ai_confidence": ("components/instrumental/confidence", AS_SENT),
    "batch_reply:silence_percentage": ("content/silence_pct", AS_SENT),
    "batch_reply:latency_ms": ("vendor_ms", AS_INTEGER),
    "batch_reply:windows/1/start_time_ms": ("segments/1/start_ms", AS_SENT),
    "batch_reply:windows/1/end_time_ms": ("segments/1/end_ms", AS_SENT),
    **{
        f"batch_reply:windows/{index}/{path}_ai_{name}": (f"segments/{index}/scores/{path}_ai_{name}", AS_SENT)
        for index, path in enumerate(("vocal", "instrumental"))
        for name in ("percentage", "confidence")
    },
    **{
        f"batch_reply:windows/1/{name}_percentage": (f"segments/1/scores/{name}_percentage", AS_SENT)
        for name in ("vocal", "instrumental", "silence")
    },
    **{
        f"batch_reply_new_windows:windows/1/{path}_ai_{name}": (f"segments/1/scores/{path}_ai_{name}", AS_SENT)
        for path in ("vocal", "instrumental")
        for name in ("probability", "confidence")
    },
    "stream:2/type": ("tier", IN_OUR_WORDS),
    "stream:2/duration_ms": ("content/duration_ms", AS_SENT),
    "stream:2/window_count": ("refs/other/window_count", AS_TEXT),
    "stream:2/primary_verdict": ("verdict_raw", AS_SENT),
    "stream:2/instrumental_ai_percentage": ("components/instrumental/ai_share_pct", AS_SENT),
    "stream:0/window/vocal_ai_percentage": ("segments/0/scores/vocal_ai_percentage", AS_SENT),
    "stream_undecodable:0/error": ("reason_text", AS_SENT),
}

HOMES: Mapping[str, Homes] = {"aippim": AIPPIM, "asc": ASC, "pex": PEX, "modulate": MODULATE}
