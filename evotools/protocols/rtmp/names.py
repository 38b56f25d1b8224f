"""Applications, stream names and their queries as RTMP peers write them."""

from urllib.parse import unquote

from evotools.errors import ProtocolError

MAX_NAME = 4096
"""Characters of an app, stream name or tcUrl with its query. Signed tokens of CDNs reach about 2000."""
MAX_QUERY_FIELDS = 64
"""Arguments in one query; signed URLs use about ten."""

# What Flash Media Server expects before file names. ffmpeg and Wirecast add it on their own for some suffixes.
_PREFIXES = ("mp4:", "flv:", "mp3:", "f4v:", "raw:", "id3:")


def parse_query(text: str) -> dict[str, str]:
    """`a=1&b` as a dict; percent escapes are resolved, a plus stays a plus (stream keys are not forms).

    The last of equal names wins. Raises ProtocolError beyond `MAX_QUERY_FIELDS`.
    """
    if not text:
        return {}
    fields = text.split("&", MAX_QUERY_FIELDS)
    if len(fields) > MAX_QUERY_FIELDS:
        raise ProtocolError(f"a query has more than {MAX_QUERY_FIELDS} arguments")
    query = {}
    for item in fields:
        name, _, value = item.partition("=")
        if name:
            query[unquote(name)] = unquote(value)
    return query


def split_name(text: str) -> tuple[str, dict[str, str]]:
    """An app or stream name without query, Flash prefix and outer slashes; and the query. Raises ProtocolError."""
    if len(text) > MAX_NAME:
        raise ProtocolError(f"a stream name is longer than {MAX_NAME} characters")
    name, _, query = text.partition("?")
    if name[:4].lower() in _PREFIXES:
        name = name[4:]
    return name.strip("/"), parse_query(query)


def split_url(tc_url: str) -> tuple[str, dict[str, str]]:
    """The path (without outer slashes) and the query of a tcUrl. Raises ProtocolError."""
    if len(tc_url) > MAX_NAME:
        raise ProtocolError(f"a tcUrl is longer than {MAX_NAME} characters")
    address, _, query = tc_url.partition("?")
    path = address.partition("://")[2].partition("/")[2]
    return path.strip("/"), parse_query(query)


def resolve_url(base: str, reference: str) -> str:
    """The tcUrl that `reference` means, seen from `base`; `base` where it means none of RTMP's. RFC 3986 5.2."""
    scheme, _, rest = base.partition("://")
    authority = rest.partition("/")[0]
    if not reference or len(reference) > MAX_NAME:
        return base
    if "://" in reference:
        return reference if reference.partition("://")[0].lower() in ("rtmp", "rtmps") else base
    if reference.startswith("//"):
        return f"{scheme}:{reference}"
    return f"{scheme}://{authority}/{reference.lstrip('/')}"
