import type { Position } from 'geojson';
import { feature } from 'topojson-client';
import type { GeometryCollection, Topology } from 'topojson-specification';
import { describe, expect, it } from 'vitest';
import coarse from 'world-atlas/countries-110m.json?raw';
import fine from 'world-atlas/countries-50m.json?raw';

import { flatRing, flattened } from './flat.ts';

/** Edges that go the long way around the world. A closed flat ring may have one: along its pole. */
function longEdges(ring: readonly Position[]): number {
  return ring.filter(([lon = 0, lat = 0], index) => Math.abs(lon - (ring[index - 1]?.[0] ?? lon)) > 180 && Math.abs(lat) < 85.06).length;
}

describe('a ring', () => {
  it('is left alone where it stays on one side', () => {
    const ring = [[10, 1], [20, 1], [20, 2], [10, 1]];
    expect(flatRing(ring)).toEqual(ring);
  });

  it('goes on past 180 in both directions, and comes back', () => {
    expect(flatRing([[179, 65], [-179, 66], [178, 67], [179, 65]])).toEqual([[179, 65], [181, 66], [178, 67], [179, 65]]);
    expect(flatRing([[-179, 65], [179, 66], [-178, 67], [-179, 65]])).toEqual([[-179, 65], [-181, 66], [-178, 67], [-179, 65]]);
  });

  it('around a pole becomes a coast with the land down to that pole', () => {
    expect(flatRing([[-180, -70], [-60, -75], [60, -75], [179, -70], [-180, -70]])).toEqual([[-180, -70], [-60, -75], [60, -75], [179, -70], [180, -70], [180, -90], [-180, -90], [-180, -70]]);
  });
});

it.each([['110m', coarse], ['50m', fine]])('no land of the %s atlas has an edge through the whole world', (_, raw) => {
  const atlas = JSON.parse(raw) as Topology<{ land: GeometryCollection }>;
  const globe = feature(atlas, atlas.objects.land) as Parameters<typeof flattened>[0];
  const count = ({ features }: typeof globe): number =>
    features.flatMap(({ geometry }) => (geometry.type === 'Polygon' ? geometry.coordinates : geometry.coordinates.flat())).reduce((sum, ring) => sum + longEdges(ring), 0);
  expect(count(globe)).toBeGreaterThan(0);
  expect(count(flattened(globe))).toBe(0);
});
