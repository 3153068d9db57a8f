"""Conversations without a name are recognized by what does not change over their turns."""

from __future__ import annotations

from translation.shared.anchors import agent_digest, conversation_anchor

FIRST = [{"role": "system", "content": "Be terse."}, {"role": "user", "content": "Plan a trip"}]
LATER = [*FIRST, {"role": "assistant", "content": "Where?"}, {"role": "user", "content": "Oslo"}]


def test_row_219_later_turns_have_the_anchor_of_the_first() -> None:
    assert conversation_anchor("m", "", FIRST) == conversation_anchor("m", "", LATER) is not None


def test_row_220_changing_harness_notes_leave_the_anchor_alone() -> None:
    def noted(note: str) -> list[dict[str, object]]:
        text = f"<system-reminder>{note}</system-reminder>\nPlan a trip"
        return [{"role": "user", "content": [{"type": "text", "text": text}]}]

    assert conversation_anchor("m", "", noted("it is noon")) == conversation_anchor("m", "", noted("it is late"))


def test_another_first_message_model_or_instruction_is_another_conversation() -> None:
    anchors = {
        conversation_anchor("m", "", FIRST),
        conversation_anchor("n", "", FIRST),
        conversation_anchor("m", "Be kind.", FIRST),
        conversation_anchor("m", "", [{"role": "user", "content": "Plan a party"}]),
    }
    assert len(anchors) == 4


def test_nothing_said_has_no_anchor() -> None:
    assert conversation_anchor("m", "", []) is None
    assert conversation_anchor("m", "", [{"type": "compaction"}, "text", None]) is None


def test_lone_surrogates_are_hashed_like_any_text() -> None:
    assert conversation_anchor("m", "", [{"role": "user", "content": "\ud800"}]) is not None


def test_agents_of_one_session_differ_by_what_they_are_told_to_be() -> None:
    assert agent_digest("", FIRST) == agent_digest("", LATER)
    assert agent_digest("Be terse.", FIRST[1:]) == agent_digest("", FIRST)
    assert len({agent_digest("", FIRST), agent_digest("You review.", FIRST[1:]), agent_digest("", [])}) == 3
