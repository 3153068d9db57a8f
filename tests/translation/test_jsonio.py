"""Text on one line of JSON, whatever its readers take for the end of a line."""

from __future__ import annotations

import json

from hypothesis import given
from hypothesis import strategies as st

from translation.wire import jsonio

ANY_TEXT = st.text(st.sampled_from('a"\\\n\r\x0b\x1c\x7f\x85\xa0é\u2027\u2028\u2029\u202a😀\ud83d\ude00'))


@given(ANY_TEXT)
def test_a_quoted_text_is_one_line_to_everybody_and_means_what_it_meant(text: str) -> None:
    quoted = jsonio.quote(text).decode()
    assert len(quoted.splitlines()) == 1
    meant = text.encode("utf-16", "surrogatepass").decode("utf-16", "surrogatepass")
    assert json.loads(quoted).encode("utf-16", "surrogatepass").decode("utf-16", "surrogatepass") == meant


@given(ANY_TEXT.map(lambda text: text.encode("utf-8", "replace").decode()))
def test_a_whole_object_can_be_put_on_one_line(text: str) -> None:
    line = jsonio.one_line(jsonio.dumps({text: [text]}))
    assert len(line.decode().splitlines()) == 1 and json.loads(line) == {text: [text]}
