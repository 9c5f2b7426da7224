"""A track as JSON, GeoJSON and GPX."""

from collections.abc import Callable, Mapping
from typing import Any, Final

import gpxpy.gpx
import numpy as np

from server.kit.api import json_bytes
from server.tracking.model import (
    ACCURACY_M,
    ALTITUDE_M,
    BATTERY_PCT,
    HEADING_DEG,
    LAT,
    LON,
    SOURCE_BITS,
    SOURCES,
    SPEED_MPS,
    Floats,
    Ints,
    Track,
    from_ms,
)

COLUMNS: Final = {
    "lat": LAT,
    "lon": LON,
    "accuracy_m": ACCURACY_M,
    "speed_mps": SPEED_MPS,
    "heading_deg": HEADING_DEG,
    "altitude_m": ALTITUDE_M,
    "battery_pct": BATTERY_PCT,
}
_SOURCE_NAMES: Final = (None, *(source.value for source in SOURCES))


def json_track(track: Track, head: dict[str, Any]) -> bytes:
    """Return ``head`` with the count and the columns; null where unknown."""
    columns: dict[str, object] = {"recorded_at": _times(track.time_ms)}
    columns |= {name: _column(track.values[row]) for name, row in COLUMNS.items()}
    sources = (track.flags & SOURCE_BITS).tolist()
    columns["source"] = [_SOURCE_NAMES[source] for source in sources]
    return json_bytes({**head, "count": len(track), "columns": columns})


def geojson_track(track: Track, head: dict[str, Any]) -> bytes:
    """Return a FeatureCollection (RFC 7946), one line a segment; positions are [lon, lat]."""
    features = []
    for part in track.segments():
        points = track.lon_lat[part].tolist()
        times = _times(track.time_ms[part])
        alone = len(points) == 1
        geometry = {
            "type": "Point" if alone else "LineString",
            "coordinates": points[0] if alone else points,
        }
        properties = {"from": times[0], "to": times[-1], "recorded_at": times}
        features.append({"type": "Feature", "geometry": geometry, "properties": properties})
    return json_bytes({"type": "FeatureCollection", **head, "features": features})


def gpx_track(track: Track) -> bytes:
    """Return GPX 1.1, a segment at each gap over 120 s and each end of a window."""
    gpx = gpxpy.gpx.GPX()
    gpx.creator = "Jolda"
    whole = gpxpy.gpx.GPXTrack()
    gpx.tracks.append(whole)
    altitude = _column(track.values[ALTITUDE_M])
    for part in track.segments():
        segment = gpxpy.gpx.GPXTrackSegment()
        whole.segments.append(segment)
        for place in range(part.start, part.stop):
            segment.points.append(
                gpxpy.gpx.GPXTrackPoint(
                    latitude=float(track.values[LAT, place]),
                    longitude=float(track.values[LON, place]),
                    elevation=altitude[place],
                    time=from_ms(int(track.time_ms[place])),
                )
            )
    xml: str = gpx.to_xml(version="1.1")
    return xml.encode()


def _times(time_ms: Ints) -> list[str]:
    if time_ms.size and (time_ms % 1000).any():
        texts = np.datetime_as_string(time_ms.astype("datetime64[ms]"), timezone="UTC")
    else:
        texts = np.datetime_as_string(time_ms.astype("datetime64[ms]"), unit="s", timezone="UTC")
    listed: list[str] = texts.tolist()
    return listed


def _column(values: Floats) -> list[float | None]:
    listed: list[float | None] = values.tolist()
    if np.isnan(values).any():
        listed = [None if value != value else value for value in listed]  # noqa: PLR0124 - NaN
    return listed


FORMATS: Final[Mapping[str, tuple[str, Callable[[Track, dict[str, Any]], bytes]]]] = {
    "json": ("application/json", json_track),
    "geojson": ("application/geo+json", geojson_track),
    "gpx": ("application/gpx+xml", lambda track, _head: gpx_track(track)),
}
"""By the format's name, its media type and what writes it."""
