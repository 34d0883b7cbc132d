"""Logs as Metaflow writes them, and arbitrary ones."""

from __future__ import annotations

from datetime import datetime, timedelta

from hypothesis import strategies as st

START = datetime(2026, 11, 23, 8, 39)

#: Text of a line without line ends, sometimes resembling a header.
MESSAGES = st.one_of(
    st.binary(max_size=12).map(lambda raw: raw.replace(b"\n", b"")),
    st.sampled_from([b"", b"\r", b"[MFLOG|0|", b"[![MFLOG|0|2026-1-1T1:1:1.1Z|a|b]c", b"\xe2\x82"]),
)
#: Few different moments, so that stamps tie and step back.
MOMENTS = st.integers(0, 5).map(lambda n: START + timedelta(milliseconds=n * 300))
HEADS = st.sampled_from([b"", b"", b"[!"])
TAILS = st.sampled_from([b"|task|id]", b"|runtime|b0752b00-efbd]", b"|t]a|]]", b"||a|b|c]"])


def decorated(moment: datetime, message: bytes, head: bytes = b"", tail: bytes = b"|t|i]") -> bytes:
    stamp = moment.isoformat(timespec="microseconds").encode()
    return head + b"[MFLOG|0|" + stamp + b"Z" + tail + message


WITH_HEADER = st.builds(decorated, MOMENTS, MESSAGES, HEADS, TAILS)
SHORT_STAMP = WITH_HEADER.map(lambda line: line.replace(b"00000Z", b"Z").replace(b"-11-", b"-1-"))
SOURCES = st.builds(
    lambda lines, end: b"\n".join(lines) + end,
    st.lists(st.one_of(WITH_HEADER, WITH_HEADER, SHORT_STAMP, MESSAGES), max_size=8),
    st.sampled_from([b"", b"\n"]),
)
