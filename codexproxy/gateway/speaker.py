"""Who speaks: the conversation a request belongs to, and who of those that share it. Decides which account is theirs.

Pure. What was said before is the journal's (`journal.py`); where a speaker is at home is the pool's
(`accounts/pool.py`), and for one that cannot be recognised any more but by its compaction, `seals.py`'s.
"""

from __future__ import annotations

from msgspec import Struct

from codexproxy.gateway.journal import Story
from translation.codec import OpenedRequest


class Speaker(Struct, frozen=True, kw_only=True):
    """Who a request comes from. `story` is what it continues by id, None when it brings everything itself."""

    conversation: str
    agent: str
    story: Story | None

    @property
    def name(self) -> str:
        """What keeps an account: one of several in a conversation that moves does not take the others along."""
        return f"{self.conversation}#{self.agent}"

    def was_with_other(self, account_id: str) -> bool:
        """Tell whether another account made the proofs of its reasoning: no one else can read them."""
        return self.story is not None and self.story.was_with_other(account_id)


def speaker_of(opened: OpenedRequest, story: Story | None, *, key_id: int, request_id: str) -> Speaker:
    """Return who sent `opened`, apart for every api key; a request that names no conversation is its own."""
    conversation = _conversation(opened, story, key_id, request_id)
    agent = story.agent if story is not None and story.conversation == conversation else opened.agent
    return Speaker(conversation=conversation, agent=agent, story=story)


def _conversation(opened: OpenedRequest, story: Story | None, key_id: int, request_id: str) -> str:
    identity = opened.identity
    named = identity.prompt_cache_key or identity.session
    if named is None and story is not None and story.conversation:
        return story.conversation  # other instructions than last time make no other conversation
    if named is None and identity.anchor is not None:
        named = f"{identity.user or ''}:{identity.anchor}"  # `user` alone may be one constant of an application
    return f"{key_id}:{named or request_id}"
