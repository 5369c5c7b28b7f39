"""One door for a stock file: finds out what it is and has it read.

``read_feed(Path("stock.tsv"))`` is all a vendor needs whose file has the merchant headers or is JSON-LD; any other file
wants a mapping from `mappingfile.load_mapping`.
"""

from pathlib import Path

from intentcast_agent.vendor.inventory.delimited import read_delimited
from intentcast_agent.vendor.inventory.jsonld import read_jsonld
from intentcast_agent.vendor.inventory.mapping import Mapping
from intentcast_agent.vendor.inventory.stock import MAX_FILE_BYTES, MAX_JSON_BYTES, Feed, FeedUnreadable

_SNIFF = 4_096


def read_feed(path: Path | str, mapping: Mapping | None = None) -> Feed:
    """Read a stock file: CSV or TSV by its header, JSON-LD by its first character.

    Broken rows are reported by row and column and the rest is loaded. Rows that cannot be sold now (out of stock,
    preorder, backorder, quantity 0) are counted in `skipped` and not loaded; a row listed twice is an error. Raises
    FeedUnreadable for a file that is missing, over 256 MiB (JSON: 64 MiB) or 1,000,000 rows, not UTF-8, empty, XML, or
    without a header that `mapping` or a built-in mapping knows.
    """
    path = Path(path)
    try:
        size = path.stat().st_size
        if not path.is_file():
            raise FeedUnreadable(f"{path.name} is not a file.")
        if size > MAX_FILE_BYTES:
            raise FeedUnreadable(f"{path.name} is larger than {MAX_FILE_BYTES // 1_048_576} MiB.")
        with path.open(encoding="utf-8-sig", newline="") as stream:
            opening = stream.read(_SNIFF).lstrip()[:1]
            stream.seek(0)
            if opening == "<":
                raise FeedUnreadable(f"{path.name} is XML: export it as tab-separated text or JSON-LD.")
            if opening not in ("{", "["):
                return read_delimited(stream, mapping)
            if size > MAX_JSON_BYTES:
                raise FeedUnreadable(f"{path.name} is larger than {MAX_JSON_BYTES // 1_048_576} MiB of JSON.")
            return read_jsonld(stream.read(), mapping)
    except UnicodeDecodeError as error:
        raise FeedUnreadable(f"{path.name} is not UTF-8 text: save it with that encoding.") from error
    except OSError as error:
        raise FeedUnreadable(f"{path.name} cannot be read: {error.strerror or error}.") from error
