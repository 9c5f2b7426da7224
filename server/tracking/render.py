"""A track as a page of JSON columns, and as a GeoJSON, GPX or CSV file that is written in parts."""

from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise
from typing import Any, ClassVar, Final, Protocol

import numpy as np

from geo.thinning import kept_on_map
from server.kit.api import json_bytes
from server.tracking.model import (
    ACCURACY_M,
    ALTITUDE_M,
    BATTERY_PCT,
    GAP_S,
    HEADING_DEG,
    LAT,
    LON,
    SOURCE_BITS,
    SOURCES,
    SPEED_MPS,
    Floats,
    Ints,
    Track,
    end_to_end,
    window_columns,
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
LINE_POSITIONS_MAX: Final = 20_000
"""A longer line of GeoJSON is written as several."""
_SOURCE_NAMES: Final = (None, *(source.value for source in SOURCES))
_CSV_COLUMNS: Final = {  # by name, the row of the values and how many decimals they are kept with
    "lat_deg": (LAT, 7),
    "lon_deg": (LON, 7),
    "accuracy_m": (ACCURACY_M, 1),
    "speed_mps": (SPEED_MPS, 2),
    "heading_deg": (HEADING_DEG, 1),
    "altitude_m": (ALTITUDE_M, 1),
    "battery_pct": (BATTERY_PCT, 0),
}
_CSV_SOURCES: Final = tuple(name or "" for name in _SOURCE_NAMES)
_GPX_HEAD: Final = (
    '<?xml version="1.0" encoding="UTF-8"?>\n'
    '<gpx xmlns="http://www.topografix.com/GPX/1/1" version="1.1" creator="Jolda">\n<trk>\n'
)


def stretches(track: Track) -> list[slice]:
    """Return the parts that may be drawn as one line.

    None holds a silence over 120 s, the end of a window, or a step over the antimeridian.
    """
    over = np.abs(np.diff(track.values[LON])) > 180.0  # noqa: PLR2004 - the long way round
    bounds = {0, len(track), *(np.flatnonzero(over) + 1).tolist()}
    for part in track.segments():
        bounds |= {part.start, part.stop}
    return [slice(start, end) for start, end in pairwise(sorted(bounds))]


def thinned(track: Track, parts: Sequence[slice], zoom: int | None) -> tuple[Track, list[slice]]:
    """Return what a map shows of the track at that zoom (None: all), and its parts there."""
    if zoom is None or not parts:
        return track, list(parts)
    starts = np.array([part.start for part in parts])
    kept = kept_on_map(track.lon_lat, starts, zoom)
    before = np.concatenate(([0], np.cumsum(kept)))
    shown = [slice(int(before[part.start]), int(before[part.stop])) for part in parts]
    return track.where(kept), shown


def page_of(tracks: Sequence[Track], limit: int) -> tuple[Track, bool]:
    """Return the first positions of some tracks, and whether there are more.

    There is at least one track; each goes on where the one before it ended.
    """
    size = sum(len(one) for one in tracks)
    whole = end_to_end(tracks)
    return whole.where(np.arange(size) < limit), size > limit


def json_page(
    track: Track, head: Mapping[str, Any], *, zoom: int | None, next_cursor: str | None
) -> bytes:
    """Return ``head`` with counts, cursor and columns; null where unknown."""
    return json_bytes({**head, "next_cursor": next_cursor, **columns_of(track, zoom)})


def columns_of(track: Track, zoom: int | None) -> dict[str, Any]:
    """Return the track as members of JSON: counts, where lines begin, and the columns."""
    shown, parts = thinned(track, stretches(track), zoom)
    columns: dict[str, object] = {"recorded_at": _times(shown.time_ms)}
    columns |= {name: _column(shown.values[row]) for name, row in COLUMNS.items()}
    sources = (shown.flags & SOURCE_BITS).tolist()
    columns["source"] = [_SOURCE_NAMES[source] for source in sources]
    return {
        "count": len(track),
        "shown": len(shown),
        "stretches": [part.start for part in parts],
        "columns": columns,
    }


class Seam:
    """Tells whether a part of a track goes on with the line in which the part before it ended."""

    def __init__(self) -> None:
        self._last: tuple[int, int, float] | None = None

    def goes_on(self, track: Track) -> bool:
        """Tell it of the next part, which is not empty."""
        before, first, self._last = self._last, _end(track, 0), _end(track, -1)
        return (
            before is not None
            and first[0] - before[0] <= GAP_S * 1000
            and first[1] == before[1]
            and abs(first[2] - before[2]) <= 180.0  # noqa: PLR2004 - the short way round
        )


def _end(track: Track, place: int) -> tuple[int, int, float]:
    """Return the time, the number of the window and the longitude of a position."""
    time_ms = int(track.time_ms[place])
    opened_ms, _ = window_columns(track.windows)
    window = int(np.searchsorted(opened_ms, time_ms, side="right"))
    return time_ms, window, float(track.values[LON, place])


class TrackFile(Protocol):
    """Writes the parts of one track, one after the other; keeps little of what it has written."""

    content_type: ClassVar[str]

    def begin(self, head: Mapping[str, Any]) -> bytes: ...

    def add(self, track: Track) -> bytes: ...

    def end(self) -> bytes: ...


class CsvFile:
    """RFC 4180, UTF-8. Times to the millisecond, numbers without exponents; unknown is empty.

    Nothing in it is written by people, so no cell can be a formula.
    """

    content_type: ClassVar[str] = "text/csv"

    def begin(self, _head: Mapping[str, Any]) -> bytes:
        return ",".join(("recorded_at", *_CSV_COLUMNS, "source")).encode() + b"\r\n"

    def add(self, track: Track) -> bytes:
        if not len(track):
            return b""
        texts = [_times(track.time_ms, milliseconds=True)]
        texts += [_decimals(track.values[row], places) for row, places in _CSV_COLUMNS.values()]
        texts.append([_CSV_SOURCES[one] for one in (track.flags & SOURCE_BITS).tolist()])
        rows = "\r\n".join([",".join(row) for row in zip(*texts, strict=True)])
        return rows.encode() + b"\r\n"

    def end(self) -> bytes:
        return b""


class GpxFile:
    """GPX 1.1, one track with a segment a stretch."""

    content_type: ClassVar[str] = "application/gpx+xml"

    def __init__(self) -> None:
        self._seam = Seam()
        self._inside = False

    def begin(self, _head: Mapping[str, Any]) -> bytes:
        return _GPX_HEAD.encode()

    def add(self, track: Track) -> bytes:
        if not len(track):
            return b""
        points = _gpx_points(track)
        written = []
        goes_on = self._seam.goes_on(track)
        for part in stretches(track):
            if not (goes_on and part.start == 0):
                written.append("</trkseg>\n<trkseg>\n" if self._inside else "<trkseg>\n")
                self._inside = True
            written += points[part]
        return "".join(written).encode()

    def end(self) -> bytes:
        return b"</trkseg>\n</trk>\n</gpx>\n" if self._inside else b"</trk>\n</gpx>\n"


def _gpx_points(track: Track) -> list[str]:
    lon = track.values[LON].round(7)
    # GPX 1.1 writes that meridian with the one sign only.
    lons = _decimals(np.where(lon == 180.0, -180.0, lon), 7)  # noqa: PLR2004 - degrees
    lats = _decimals(track.values[LAT], 7)
    heights = [
        f"<ele>{height}</ele>" if height else ""
        for height in _decimals(track.values[ALTITUDE_M], 1)
    ]
    columns = zip(lats, lons, heights, _times(track.time_ms), strict=True)
    return [
        f'<trkpt lat="{lat}" lon="{lon}">{height}<time>{time}</time></trkpt>\n'
        for lat, lon, height, time in columns
    ]


class GeoJsonFile:
    """A FeatureCollection (RFC 7946), a line a stretch; positions are [lon, lat].

    A line of more than 20,000 positions is written as several; each begins with the last position
    of the one before it, so that no hole is drawn, and says so (``continued``).
    """

    content_type: ClassVar[str] = "application/geo+json"

    def __init__(self, zoom: int | None = None) -> None:
        self._zoom = zoom
        self._seam = Seam()
        self._count = self._shown = self._features = 0
        self._points: list[Floats] = []
        self._time_ms: list[Ints] = []
        self._size = 0
        self._continued = False

    def begin(self, head: Mapping[str, Any]) -> bytes:
        opened = json_bytes({"type": "FeatureCollection", **head})
        return opened.removesuffix(b"}") + b',"features":['

    def add(self, track: Track) -> bytes:
        if not len(track):
            return b""
        goes_on = self._seam.goes_on(track)
        shown, parts = thinned(track, stretches(track), self._zoom)
        lon_lat = shown.lon_lat
        self._count += len(track)
        self._shown += len(shown)
        written = []
        for part in parts:
            if not (goes_on and part.start == 0):
                written.append(self._line())
            start = part.start
            while start < part.stop:
                if self._size >= LINE_POSITIONS_MAX:
                    written.append(self._line(goes_on=True))
                end = min(part.stop, start + LINE_POSITIONS_MAX - self._size)
                self._points.append(lon_lat[start:end])
                self._time_ms.append(shown.time_ms[start:end])
                self._size += end - start
                start = end
        return b"".join(written)

    def end(self) -> bytes:
        counts = json_bytes({"count": self._count, "shown": self._shown})
        return self._line() + b"]," + counts.removeprefix(b"{")

    def _line(self, *, goes_on: bool = False) -> bytes:
        """Return the line that was begun, if there is one, and begin another."""
        if not self._size:
            return b""
        points, time_ms = np.concatenate(self._points), np.concatenate(self._time_ms)
        times, coordinates = _times(time_ms), points.tolist()
        alone = len(coordinates) == 1
        properties: dict[str, object] = {"from": times[0], "to": times[-1], "recorded_at": times}
        if self._continued:
            properties["continued"] = True
        geometry = {
            "type": "Point" if alone else "LineString",
            "coordinates": coordinates[0] if alone else coordinates,
        }
        self._points = [points[-1:]] if goes_on else []
        self._time_ms = [time_ms[-1:]] if goes_on else []
        self._size, self._continued = int(goes_on), goes_on
        self._features += 1
        feature = {"type": "Feature", "geometry": geometry, "properties": properties}
        return (b"," if self._features > 1 else b"") + json_bytes(feature)


def _times(time_ms: Ints, *, milliseconds: bool = False) -> list[str]:
    """Return them in UTC; to the millisecond where any has some, or where that is asked for."""
    moments = time_ms.astype("datetime64[ms]")
    if milliseconds or (time_ms % 1000).any():
        texts = np.datetime_as_string(moments, timezone="UTC")
    else:
        texts = np.datetime_as_string(moments, unit="s", timezone="UTC")
    listed: list[str] = texts.tolist()
    return listed


def _column(values: Floats) -> list[float | None]:
    listed: list[float | None] = values.tolist()
    if np.isnan(values).any():
        listed = [None if value != value else value for value in listed]  # noqa: PLR0124 - NaN
    return listed


def _decimals(values: Floats, places: int) -> list[str]:
    unknown = np.isnan(values)
    if unknown.all():
        return [""] * values.size
    texts = [f"{value:.{places}f}" for value in values.tolist()]
    for place in np.flatnonzero(unknown).tolist():
        texts[place] = ""
    return texts


FILES: Final[Mapping[str, Callable[[int | None], TrackFile]]] = {
    "geojson": GeoJsonFile,
    "gpx": lambda _zoom: GpxFile(),
    "csv": lambda _zoom: CsvFile(),
}
"""By the format's name, what makes the writer of one file, for a zoom if it draws."""
