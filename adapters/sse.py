"""Server-sent events, parsed as they arrive (WHATWG HTML, "Parsing an event stream")."""

from __future__ import annotations

import re
from typing import Final

from engine.errors import UpstreamError

MAX_EVENT: Final = 8 * 1024 * 1024
BYTE_ORDER_MARK: Final = b"\xef\xbb\xbf"
BETWEEN: Final = b"}\n\ndata: {"  # two events that are each one JSON object
APART: Final = b"}\n{"  # the same objects as lines
END: Final = b"data: [DONE]\n\n"
CR: Final = 0x0D
TOO_LARGE: Final = "The model's service sent an event that is too large."
OTHER: Final = re.compile(rb"(?:(?!data)[^\r\n]*+[\r\n])*+")  # whole lines that hold no data


def as_lines(chunk: bytes) -> tuple[bytes, int, bool] | None:
    """What nearly every chunk is, without a parser: whole events, each one JSON object on one line and nothing else,
    and perhaps the end mark behind them. Their objects as lines, how many those must be, and whether the end was said;
    None: it takes a parser to know.

    JSON has no place where `}` and `{` follow each other but between two values, so whoever reads exactly that many
    values in the lines has read exactly one an event."""
    done = chunk.endswith(END)
    whole = chunk[: -len(END)] if done else chunk
    if not (whole.startswith(b"data: {") and whole.endswith(b"}\n\n")) or b"\r" in whole:
        return None
    said = whole[6:-2]
    lines = said.replace(BETWEEN, APART)
    apart = (len(said) - len(lines)) // (len(BETWEEN) - len(APART))
    if lines.count(b"\n") != apart:  # an object on several lines: those behind the first are other fields
        return None
    return lines, 1 + apart, done


class EventParser:
    """`feed` bytes cut anywhere, get the data of each event completed by them. Names, ids and comments are skipped.

    Takes time by the length of the stream alone, however it is cut. Lines are sliced where they lie: the data of an
    event that is one line of one piece is copied once, out of that piece. Only a line that is not whole yet is
    gathered, in a buffer that grows in place, and only data of several lines is joined.

    Raises UpstreamError once an event grows beyond MAX_EVENT bytes.
    """

    __slots__ = ("_begun", "_data", "_line", "_size", "_skip_newline")

    def __init__(self) -> None:
        self._begun = False  # whether the first line was read, before which alone a byte order mark may stand
        self._line = bytearray()  # of a line whose end is not here yet
        self._data: bytes | bytearray | None = None  # of the event that is still open
        self._size = 0  # bytes of its whole lines
        self._skip_newline = False  # the last piece ended with CR: an LF that follows belongs to it

    @property
    def between(self) -> bool:
        """Nothing of an event that is not whole is here: the next byte begins another one."""
        return not self._line and self._data is None and not self._skip_newline

    def passed(self) -> None:
        """Somebody else has read whole events, between two of these."""
        self._begun = True

    def feed(self, chunk: bytes) -> list[bytes]:
        returns = b"\r" in chunk
        if self._skip_newline or (returns and chunk.count(b"\r") != chunk.count(b"\r\n")):
            chunk = self._with_newlines(chunk)
            returns = False
        ends = b"\r\n\r\n" if returns else b"\n\n"
        width = len(ends) // 2
        events: list[bytes] = []
        at = 0
        while (end := chunk.find(b"\n", at)) >= 0:
            if chunk.startswith(ends, end + 1 - width) and self._is_event(chunk, at, end):
                events.append(chunk[at + 6 : end + 1 - width])
                at = end + 1 + width
                continue
            if self._data is None and self._begun and not self._line:
                after = OTHER.match(chunk, at, at + MAX_EVENT).end()  # type: ignore[union-attr]  # it matches anything
                if after > at:
                    at = after
                    continue
            stop = end - 1 if returns and end > at and chunk[end - 1] == CR else end
            if stop > at or self._line or not self._begun:
                self._take(chunk, at, stop)
            elif self._data is not None:
                events.append(bytes(self._data))  # no copy, unless it was joined
                self._data, self._size = None, 0
            at = end + 1
        if at < len(chunk):
            self._line += memoryview(chunk)[at:]
            if self._size + len(self._line) > MAX_EVENT:
                raise UpstreamError(TOO_LARGE)
        return events

    def rest(self) -> list[bytes]:
        """The stream is over: an event that lacks only its blank line. The standard drops it; some servers end so."""
        return self.feed(b"\n\n")

    def _is_event(self, chunk: bytes, at: int, end: int) -> bool:
        """Whether a line is an event with the blank one that follows it, as nearly always."""
        return (
            self._data is None
            and not self._line
            and self._begun
            and chunk.startswith(b"data: ", at, end)
            and end - at < MAX_EVENT
        )

    def _take(self, chunk: bytes, start: int, end: int) -> None:
        """A line, of which this is the end."""
        line: bytes | bytearray = chunk
        if self._line:
            self._line += memoryview(chunk)[start:end]
            line, start, end = self._line, 0, len(self._line)
        size = end - start + 1
        if not self._begun:
            self._begun = True
            if line.startswith(BYTE_ORDER_MARK, start, end):
                start += len(BYTE_ORDER_MARK)
        if line.startswith(b"data:", start, end):
            start += 6 if line.startswith(b" ", start + 5, end) else 5
            self._add(line[start:end] if isinstance(line, bytes) else bytes(memoryview(line)[start:end]))
        elif end - start == 4 and line.startswith(b"data", start, end):
            self._add(b"")
        if line is self._line:
            self._line.clear()
        if self._data is not None:
            self._size = size = self._size + size
        if size > MAX_EVENT:
            raise UpstreamError(TOO_LARGE)

    def _add(self, data: bytes) -> None:
        if self._data is None:
            self._data = data
            return
        if isinstance(self._data, bytes):
            self._data = bytearray(self._data)
        self._data += b"\n"
        self._data += data

    def _with_newlines(self, chunk: bytes) -> bytes:
        """CR LF and CR as LF, also when CR and LF come apart: a copy, where they do or CR stands alone."""
        if self._skip_newline and chunk:
            self._skip_newline = False
            chunk = chunk.removeprefix(b"\n")
        if chunk.endswith(b"\r"):
            self._skip_newline = True
        return chunk.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
