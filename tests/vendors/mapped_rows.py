"""What shows each row of the meaning of the vendors' words: examples that are read whole, or tests by name.

A row begins with its vendor, or with `http` or `life` for what befalls any of them. Where a row is about one of a
vendor's words, it ends with the field and the word. An example is `<vendor>/<sample>`; a test is `<file>::<function>`
below `tests/`.
"""

from collections.abc import Mapping

Rows = Mapping[str, tuple[str, ...]]

_SWITCHES = "vendors/test_doubts::test_a_doubt_is_the_operators_to_switch"
_AIPPIM_WORDS = "vendors/test_aippim_results::test_old_and_new_state_words_are_known"
_ASC_WORDS = "vendors/test_asc::test_the_usual_words_for_a_state_are_known"
_SOURCES = "vendors/test_aippim_results::test_source_labels_name_family_and_version"
_GENERATORS = "vendors/test_aippim_pro_v2::test_every_generator_has_its_family_and_an_unknown_one_none"

AIPPIM: Rows = {
    "aippim status pending": ("aippim/poll_pending",),
    "aippim status processing": ("aippim/callback_processing", "aippim/callback_quick_start"),
    "aippim status success": ("aippim/callback_completed_standard",),
    "aippim status completed": (_AIPPIM_WORDS,),
    "aippim status failure": ("aippim/poll_failure",),
    "aippim status failed": (_AIPPIM_WORDS,),
    "aippim status unknown": (
        "vendors/contract::test_an_unknown_state_is_noted_and_keeps_the_run_going_if_it_can_go_on",
        "vendor_calls/test_poll::test_an_unknown_status_keeps_the_run_going_and_fails_it_at_the_deadline",
    ),
    "aippim envelope and wrapper": (
        "aippim/callback_quick_start_completed",
        "vendors/test_aippim_results::test_of_two_states_the_worse_one_counts",
    ),
    "aippim result of no or many files": (
        "vendors/test_aippim_results::test_a_success_without_a_documented_result_is_a_schema_mismatch",
        "vendors/test_aippim_results::test_two_files_in_one_result_are_a_schema_mismatch",
    ),
    "aippim prediction fake": ("aippim/callback_completed_pro", "aippim/callback_completed_pro_v2"),
    "aippim prediction real": ("aippim/callback_completed_standard",),
    "aippim prediction unknown": ("vendors/contract::test_an_unknown_word_is_never_a_verdict",),
    "aippim confidence is never turned over": (
        "aippim/callback_completed_standard",
        "vendors/test_aippim_traps::test_trap_08_a_sure_real_is_a_sure_human_and_its_number_is_never_turned_over",
    ),
    "aippim without a final result, binary models agree": ("aippim/callback_completed_described",),
    "aippim without a final result, binary models differ": ("aippim/callback_completed_listed",),
    "aippim shape of named models": ("aippim/callback_quick_start_completed", "aippim/callback_completed_described"),
    "aippim shape of listed models": ("aippim/callback_completed_listed",),
    "aippim shape without a file name": ("aippim/callback_completed_pro_v2",),
    "aippim number of classes that differs": (
        "vendors/test_aippim_results::test_a_class_count_that_differs_from_the_labels_is_kept",
    ),
    "aippim segments of unequal length": (
        "vendors/test_aippim_results::test_segment_lists_of_unequal_length_are_kept_and_reported",
    ),
    "aippim label ai_cover of the whole, final real": ("aippim/callback_completed_cover",),
    "aippim label ai_cover of the whole, final fake": (
        "vendors/test_aippim_results::test_fake_beside_an_overall_ai_cover_is_an_ai_cover",
    ),
    "aippim label ai_cover of segments only": ("aippim/callback_completed_pro",),
    "aippim doubt of real beside ai_cover switched off": (_SWITCHES,),
    "aippim label suno_v4": ("aippim/callback_completed_pro", _SOURCES),
    **{f"aippim label {label}": (_SOURCES,) for label in ("suno_v4_5", "suno_v4_5_plus", "suno_v5", "other")},
    "aippim label real": ("vendors/test_aippim_results::test_a_source_model_that_says_real_names_no_generator",),
    **{f"aippim label {label}": (_GENERATORS,) for label in ("acestep", "lyria-pro3", "mureka", "suno", "udio")},
    **{f"aippim role {role}": ("aippim/callback_completed_pro_v2",) for role in ("vocalist", "composer", "engineer")},
    "aippim a part of the roles": (
        "vendors/test_aippim_pro_v2::test_a_part_of_the_roles_turns_no_verdict_and_is_a_disagreement_on_scope",
    ),
    "aippim upload and submission": (
        *("aippim/upload_reply", "aippim/submit_reply", "aippim/submit_reply_quick_start"),
        "vendors/test_aippim::test_the_three_requests_are_sent_as_documented",
    ),
    "aippim address check": ("aippim/challenge",),
    "aippim musicId and filepath": ("vendors/test_aippim_traps::test_all_references_of_both_envelopes_are_kept",),
    "aippim status_code, error, ppc": (
        *("aippim/poll_failure", "aippim/error_invalid_request"),
        "vendors/test_aippim_results::test_a_failure_gives_the_vendors_reason_without_the_key",
    ),
}

ASC: Rows = {
    "asc status queued": ("asc/submit_reply", _ASC_WORDS),
    "asc status processing": ("asc/poll_processing",),
    "asc status completed": ("asc/poll_completed",),
    "asc status failed": ("asc/poll_failed",),
    "asc status analysis.complete": ("asc/callback_complete",),
    **{
        f"asc status {word}": (_ASC_WORDS,)
        for word in ("pending", "running", "complete", "done", "success", "failure", "error")
    },
    "asc status unknown": ("vendors/contract::test_an_unknown_state_is_noted_and_keeps_the_run_going_if_it_can_go_on",),
    "asc first poll after the estimate": (
        *("asc/submit_reply", "vendors/test_asc::test_an_estimate_is_taken_where_it_is_one"),
        "vendor_calls/test_dispatch::test_an_accepted_run_waits_for_its_first_poll",
    ),
    "asc prediction ai": ("asc/analyze_reply", "asc/callback_complete"),
    "asc prediction human": ("asc/analyze_reply_human",),
    "asc prediction unknown": ("asc/analyze_reply_unknown_word",),
    "asc a callback without reasons, engine and time": (
        *("asc/callback_complete", "asc/poll_completed"),
        "callbacks/test_process::test_a_claimed_end_makes_the_run_due_at_once_and_the_fetch_decides",
        "callbacks/test_process::test_where_the_operator_trusts_it_the_callback_decides",
    ),
    "asc include_features": ("vendors/test_asc::test_raw_features_are_extras",),
    "asc certificates": (
        *("asc/certificate_reply", "asc/certificate_check_reply", "asc/callback_certificate_ready"),
        "vendors/test_asc::test_certificates_are_references_and_no_verdict",
    ),
    "asc error body": ("asc/error_invalid_format", "asc/error_unauthorized", "asc/error_over_quota", "asc/poll_failed"),
    "asc usage and quota": (
        *("asc/usage_reply", "asc/quota_reply"),
        "quotas/test_feedback::test_the_three_headers_are_read_as_asc_prints_them",
        "vendor_calls/test_ask_quotas::test_the_gate_knows_what_the_vendor_says_is_left",
    ),
    "asc health": ("asc/health_reply",),
}

_PEX_REFUSALS = ("invalid_file", "no_audio", "too_short", "too_long", "not_enough_music", "not_found")

PEX: Rows = {
    "pex request_id absent in an error": (
        *(
            "pex/error_reply",
            "vendors/test_pex::test_trap_04_pex_a_request_id_may_be_absent_and_is_never_a_rounded_one",
        ),
    ),
    "pex status ok": ("pex/detect_reply", "pex/detect_reply_human"),
    **{f"pex status {word}": (f"pex/reply_{word}",) for word in _PEX_REFUSALS},
    "pex status error": ("pex/reply_error", "pex/error_reply"),
    "pex status unknown": ("pex/reply_unknown_status",),
    "pex is_ai true": ("pex/detect_reply", "pex/detect_reply_no_model"),
    "pex is_ai false": ("pex/detect_reply_human",),
    "pex is_ai absent": ("pex/detect_reply_no_decision",),
    "pex is_ai unknown": ("vendors/test_pex::test_true_or_false_written_as_a_text_is_an_unknown_verdict",),
    "pex predicted_model null": ("pex/detect_reply_no_model",),
    "pex predicted_model known or not": ("vendors/test_pex::test_trap_03_pex_the_names_of_models_are_an_open_set",),
    "pex token": ("pex/token_reply",),
}

MODULATE: Rows = {
    "modulate primary_verdict ai-vocal-music": ("modulate/batch_reply", "modulate/stream"),
    "modulate primary_verdict ai-instrumental": ("modulate/batch_reply_instrumental",),
    "modulate primary_verdict not-ai-music": ("modulate/batch_reply_not_ai",),
    "modulate primary_verdict unknown": ("modulate/batch_reply_unknown_word",),
    "modulate partial": (
        *("modulate/batch_reply_no_ai_instruments", _SWITCHES),
        "vendors/test_modulate_results::test_nothing_else_becomes_partial",
    ),
    "modulate no score": ("modulate/batch_reply",),
    "modulate shares and confidences of each path": ("modulate/batch_reply", "modulate/stream"),
    "modulate windows, the path not taken": ("modulate/batch_reply", "modulate/batch_reply_silent"),
    "modulate windows of August 2026": ("modulate/batch_reply_new_windows", "modulate/stream_new_windows"),
    "modulate type window": ("modulate/stream",),
    "modulate type done": (
        "modulate/stream",
        "vendors/test_modulate_messages::test_trap_13_modulate_without_done_there_is_no_verdict",
    ),
    "modulate type error": (
        *(f"modulate/stream_{name}" for name in ("bad_query", "internal", "undecodable", "not_permitted", "credits")),
    ),
    "modulate hardly music": ("modulate/batch_reply_silent",),
    "modulate hardly music, switched off": (_SWITCHES,),
    "modulate detail of an error": (
        *(f"modulate/error_{name}" for name in ("empty_file", "not_permitted", "missing_key", "missing_file")),
        *(f"modulate/error_{name}" for name in ("credits", "internal", "not_validated")),
    ),
}

_MATRIX = "vendors/test_every_row::test_a_refusal_means_the_same_at_every_vendor"

ANY_VENDOR: Rows = {
    "http 400, 413, 415, 422": (_MATRIX, "verdicts/test_cascade::test_a_cascade_played_to_its_end"),
    "http 401": (
        *(
            _MATRIX,
            "vendors/test_pex_token::test_trap_05_pex_an_expired_token_is_renewed_once_and_the_audio_sent_again",
        ),
        "vendors/test_pex_token::test_trap_05_pex_a_second_401_is_a_failed_authorisation",
        "vendor_calls/test_admission::test_a_refused_key_opens_the_circuit_at_once_and_alarms",
    ),
    "http 403": (_MATRIX, "modulate/error_not_permitted"),
    "http 429": (
        *(_MATRIX, "modulate/error_credits", "asc/error_over_quota"),
        "vendor_calls/test_dispatch::test_a_complete_refusal_is_an_answer_and_its_retry_after_is_honoured",
    ),
    "life lost after a submission": (
        "vendor_calls/test_dispatch::test_a_submission_of_unknown_outcome_is_repeated_once_and_marked",
        "callbacks/test_process::test_a_callback_settles_a_submission_of_unknown_outcome",
        "detections/test_pay::test_what_cannot_be_known_is_said_to_be_unknown",
    ),
    "life callback before the submission is stored": (
        "callbacks/test_process::test_a_callback_that_outruns_the_submission_is_matched_when_that_is_recorded",
    ),
    "life callback again, older, or back from its end": (
        "api/from_vendors/test_callbacks::test_a_duplicate_is_acknowledged_and_changes_nothing",
        "callbacks/test_intake::test_the_run_shows_how_many_it_was_sent_and_how_many_were_the_same",
        "detections/test_revise::test_a_late_processing_asks_nothing",
        "detections/test_observe::test_in_any_order_the_first_end_decides_and_there_is_one_final_event",
    ),
    "life callback of an unknown id, or badly signed": (
        "api/from_vendors/test_callbacks::test_a_callback_of_an_unknown_run_is_parked",
        "api/from_vendors/test_callbacks::test_a_bad_missing_or_stale_signature_is_quarantined_and_touches_no_run",
    ),
    "life callback says success, poll says pending": (
        "callbacks/test_process::test_an_unconfirmed_callback_is_polled_for_and_at_the_deadline_reviewed",
    ),
    "life deadline": (
        "vendor_calls/test_poll::test_without_an_answer_at_the_deadline_the_run_timed_out",
        "detections/test_revise::test_a_late_callback_is_confirmed_by_one_fetch_whose_answer_makes_the_next_revision",
    ),
    "life a source that one vendor does not reach": (
        *("pex/reply_not_found", "detections/test_arrivals::test_ended_runs_become_the_row_of_the_table_and_its_event"),
    ),
}

ROWS: Rows = {**AIPPIM, **ASC, **PEX, **MODULATE, **ANY_VENDOR}
