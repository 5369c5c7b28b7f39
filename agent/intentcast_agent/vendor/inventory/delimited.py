"""CSV and TSV: reads a header and rows of cells, whatever the delimiter."""

import csv
from collections.abc import Iterable, Iterator
from typing import TextIO

from intentcast_agent.vendor.inventory.cell import clean
from intentcast_agent.vendor.inventory.intake import Intake
from intentcast_agent.vendor.inventory.mapping import Column, Mapping, plain
from intentcast_agent.vendor.inventory.merchant import detect_mapping
from intentcast_agent.vendor.inventory.stock import MAX_LINE, Feed, FeedUnreadable

_DELIMITERS = "\t,;|"
MAX_COLUMNS = 512


class _Lines(Iterator[str]):
    """Lines of a file, numbered; one past the limit is dropped with csv.Error, and reading goes on after it."""

    def __init__(self, stream: TextIO) -> None:
        self.stream = stream
        self.number = 0

    def __next__(self) -> str:
        line = self.stream.readline(MAX_LINE)
        if not line:
            raise StopIteration
        self.number += 1
        if len(line) == MAX_LINE and not line.endswith("\n"):
            while line and not line.endswith("\n"):
                line = self.stream.readline(MAX_LINE)
            raise csv.Error("line too long")
        return line


def read_delimited(stream: TextIO, mapping: Mapping | None = None) -> Feed:
    """Read a delimited file from text opened with ``newline=""``.

    The delimiter is the one of tab, comma, semicolon and bar that the header holds most of. Blank rows do not count; a
    row may be shorter than the header, not longer. Raises FeedUnreadable without a header that a mapping knows, and
    past 1,000,000 rows; UnicodeDecodeError comes from the stream.
    """
    lines = _Lines(stream)
    first = next((line for line in _first_line(lines) if line.strip()), "")
    if not first:
        raise FeedUnreadable("The file is empty.")
    if "\0" in first:  # UTF-16 without its mark passes for UTF-8 until the first letter beyond ASCII
        raise FeedUnreadable("The header holds NUL bytes: save the file as UTF-8 text.")
    delimiter = max(_DELIMITERS, key=first.count)
    headers = [clean(name) for name in next(csv.reader([first], delimiter=delimiter))]
    if len(headers) > MAX_COLUMNS:
        raise FeedUnreadable(f"The header has more than {MAX_COLUMNS} columns.")
    mapping = mapping or detect_mapping(headers)
    if mapping is None:
        raise FeedUnreadable(
            "The header is of no format we know: it needs at least id (or VIN) and price. "
            f"Write a mapping for these columns: {', '.join(headers)[:300]}."
        )
    columns = _match(headers, mapping)
    intake = Intake(mapping, {column.path: header for header, column in reversed(columns) if column})
    for row, cells in _rows(csv.reader(lines, delimiter=delimiter), lines):
        if cells is not None and not any(cells):
            continue
        draft = intake.draft(row)
        if cells is None:
            draft.fault("", "", "A cell or the line is too long, or a quotation mark is never closed.")
            intake.refuse(draft)
        elif len(cells) > len(columns):
            draft.fault("", cells[len(columns)], f"The row has {len(cells)} cells, the header {len(columns)}.")
            intake.refuse(draft)
        else:
            intake.fill(draft, _filled(columns, cells))
            intake.admit(draft)
    return intake.feed(header for header, column in columns if header and column is None)


def _first_line(lines: _Lines) -> Iterator[str]:
    try:
        yield from lines
    except csv.Error as error:
        raise FeedUnreadable("The first line is too long to be a header.") from error


def _match(headers: list[str], mapping: Mapping) -> list[tuple[str, Column | None]]:
    columns = [(header, mapping.columns.get(plain(header))) for header in headers]
    known = {plain(header) for header in headers}
    lacking = [name for name, column in mapping.columns.items() if column.needed and name not in known]
    if lacking:
        raise FeedUnreadable(f"The mapping {mapping.name} reads columns the file has not: {', '.join(lacking)}.")
    if not any(column and column.path == "price" for _, column in columns):
        raise FeedUnreadable(f"The mapping {mapping.name} finds no price among: {', '.join(headers)[:300]}.")
    return columns


def _rows(reader: Iterator[list[str]], lines: _Lines) -> Iterator[tuple[int, list[str] | None]]:
    """Give each row with the line it starts on; a row that cannot be split is None."""
    while True:
        start = lines.number + 1
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error:
            yield start, None
        else:
            yield start, cells


def _filled(columns: list[tuple[str, Column | None]], cells: Iterable[str]) -> Iterator[tuple[str, Column, str]]:
    for (header, column), cell in zip(columns, cells, strict=False):
        if column and cell and (text := clean(cell)):
            yield header, column, text
