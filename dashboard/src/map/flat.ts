// The atlas is made for a globe: its rings step over the 180th meridian from 180 to -180. On a flat map such
// a step is an edge through the whole world, and the north of Russia, from 65 to 69 degrees, would be sea.

import type { FeatureCollection, MultiPolygon, Polygon, Position } from 'geojson';

/** Rings that go on past 180 instead of stepping back; the map draws what is beyond at the other side too. */
export function flattened(land: FeatureCollection<Polygon | MultiPolygon>): FeatureCollection<Polygon | MultiPolygon> {
  const features = land.features.map(({ geometry, ...feature }) => ({
    ...feature,
    geometry: geometry.type === 'Polygon' ? { ...geometry, coordinates: geometry.coordinates.map(flatRing) } : { ...geometry, coordinates: geometry.coordinates.map((rings) => rings.map(flatRing)) },
  }));
  return { ...land, features };
}

export function flatRing(ring: readonly Position[]): Position[] {
  let turns = 0;
  let before = 0;
  const flat = ring.map(([lon = 0, lat = 0], index) => {
    if (index > 0 && Math.abs(lon - before) > 180) {
      turns += lon < before ? 1 : -1;
    }
    before = lon;
    return [lon + turns * 360, lat];
  });
  const [first, last] = [flat[0], flat.at(-1)];
  if (turns === 0 || first === undefined || last === undefined) {
    return flat;
  }
  // Around a pole, as Antarctica is: flat it becomes a coast, and the land behind it goes down to that pole.
  const pole = (first[1] ?? 0) < 0 ? -90 : 90;
  return [...flat, [last[0] ?? 0, pole], [first[0] ?? 0, pole], first];
}
