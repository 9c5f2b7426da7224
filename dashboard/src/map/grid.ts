// Without a street map a city is an empty plane: a grid of kilometres gives the eye a measure.

import type { FeatureCollection, LineString } from 'geojson';

const KM_PER_DEGREE = 111.32;
const LINES_MAX = 120;

export interface View {
  west: number;
  south: number;
  east: number;
  north: number;
}

/** From here on the map is one plain ground: the world's coastlines are kilometres wrong at the size of a city. */
export const PLAIN_FROM_ZOOM = 9;

export type GridStepKm = 0.2 | 1 | 5;

/** Which grid a zoom gets; null while the view is wide enough for coastlines. */
export function gridStepKm(zoom: number): GridStepKm | null {
  if (zoom < PLAIN_FROM_ZOOM) {
    return null;
  }
  return zoom >= 14.5 ? 0.2 : zoom >= 11.5 ? 1 : 5;
}

/** Grid lines over the view, each fifth one major. Squares are true to a per mille inside half a degree. */
export function gridLines(view: View, stepKm: GridStepKm): FeatureCollection<LineString, { major: boolean }> {
  const latStep = stepKm / KM_PER_DEGREE;
  // Rounded, so that the grid does not creep while the view moves.
  const latitude = Math.round((view.south + view.north)) / 2;
  const lonStep = latStep / Math.max(Math.cos((latitude * Math.PI) / 180), 0.05);
  const features = [
    ...axis(view.west, view.east, lonStep, (lon) => [[lon, view.south], [lon, view.north]]),
    ...axis(view.south, view.north, latStep, (lat) => [[view.west, lat], [view.east, lat]]),
  ].map(({ index, coordinates }) => ({
    type: 'Feature' as const,
    geometry: { type: 'LineString' as const, coordinates },
    properties: { major: stepKm === 5 || index % 5 === 0 },
  }));
  return { type: 'FeatureCollection', features };
}

interface GridLine {
  index: number;
  coordinates: [number, number][];
}

function axis(from: number, to: number, step: number, line: (at: number) => [number, number][]): GridLine[] {
  const first = Math.floor(from / step);
  const count = Math.ceil(to / step) - first;
  if (!Number.isFinite(count) || count > LINES_MAX) {
    return [];
  }
  return Array.from({ length: count + 1 }, (_, n) => ({ index: first + n, coordinates: line((first + n) * step) }));
}
