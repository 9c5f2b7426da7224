// The offline base map: coastlines and borders of the world from our own server, coarse first, finer after.

import type { FeatureCollection, MultiLineString, MultiPolygon, Polygon } from 'geojson';
import { feature, mesh } from 'topojson-client';
import type { GeometryCollection, Topology } from 'topojson-specification';
import coarseUrl from 'world-atlas/countries-110m.json?url';
import fineUrl from 'world-atlas/countries-50m.json?url';

import { flattened } from './flat.ts';

type Atlas = Topology<{ land: GeometryCollection; countries: GeometryCollection }>;
type Land = FeatureCollection<Polygon | MultiPolygon>;

export interface Basemap {
  land: Land;
  borders: MultiLineString;
}

async function load(url: string, signal: AbortSignal): Promise<Basemap> {
  const answer = await fetch(url, { signal });
  if (!answer.ok) {
    throw new Error(`base map: HTTP ${answer.status}`);
  }
  const atlas = (await answer.json()) as Atlas;
  const { land, countries } = atlas.objects;
  // Only lines between two countries: coasts are the edge of the land already.
  return { land: flattened(feature(atlas, land) as Land), borders: mesh(atlas, countries, (a, b) => a !== b) };
}

export async function loadBasemap(show: (basemap: Basemap) => void, signal: AbortSignal): Promise<void> {
  for (const url of [coarseUrl, fineUrl]) {
    try {
      show(await load(url, signal));
    } catch {
      // The map works on an empty plane; drivers matter more than coasts.
    }
  }
}
