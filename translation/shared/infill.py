"""Text before and text after, and the model writes what is between: the instruction for models that only chat.

Shared by the codecs that have a `suffix` field (Ollama's generate, OpenAI's legacy completions).
"""

from __future__ import annotations


def infill_instruction(suffix: str) -> str:
    """Return the instruction that makes a chat model fill the gap before `suffix`."""
    return (
        "Continue the user's text so that it joins seamlessly with the text that follows it. "
        "Answer with the missing text alone: no quotes, no code fences, no explanation, nothing of what is given.\n"
        f"The text that follows:\n{suffix}"
    )
