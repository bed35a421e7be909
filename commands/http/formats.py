"""The formats in which lists can be had: JSON pages, and streams of JSON lines or CSV rows."""

from __future__ import annotations

from enum import StrEnum

from fastapi import Request

from commands.http.problems import NOT_ACCEPTABLE, Problem


class Format(StrEnum):
    """What `?format=` may name."""

    JSON = "json"
    NDJSON = "ndjson"
    CSV = "csv"


MEDIA_TYPES = {
    Format.JSON: "application/json",
    Format.NDJSON: "application/x-ndjson",
    Format.CSV: "text/csv; charset=utf-8",
}

_ACCEPTED = {
    "application/json": Format.JSON,
    "application/*": Format.JSON,
    "*/*": Format.JSON,
    "application/x-ndjson": Format.NDJSON,
    "application/ndjson": Format.NDJSON,
    "application/jsonl": Format.NDJSON,
    "text/csv": Format.CSV,
    "text/*": Format.CSV,
}


def wanted_format(request: Request, named: Format | None, *offered: Format) -> Format:
    """Choose by `?format=`, else by the Accept header; raises a not-acceptable Problem."""
    if named in offered:
        return named
    if named is None:
        accept = ",".join(request.headers.getlist("accept")) or "*/*"
        for media_type in sorted(accept.split(","), key=_weight, reverse=True):
            found = _ACCEPTED.get(media_type.partition(";")[0].strip().lower())
            if found in offered and _weight(media_type) > 0:
                return found
    names = ", ".join(MEDIA_TYPES[each] for each in offered)
    raise Problem(NOT_ACCEPTABLE, f"This list can be had as {names}")


def _weight(media_type: str) -> float:
    for parameter in media_type.split(";")[1:]:
        name, _, value = parameter.partition("=")
        if name.strip().lower() == "q":
            try:
                return min(float(value), 1.0)
            except ValueError:
                return 0.0
    return 1.0
