// The one converter from our named lat/lon to GeoJSON's [lon, lat]; see its test.

import type { Feature, FeatureCollection, LineString, MultiLineString, Point } from 'geojson';

import type { Shown } from '../d/live/filter.ts';
import type { StopRow } from '../d/driver/model.ts';
import { shapeOf } from '../ui/shapes.ts';

export interface VehicleProps {
  id: string;
  name: string;
  /** Shown at every zoom; other names only from a closer zoom. */
  label: string;
  icon: string;
  heading: number;
}

export interface StopProps {
  id: string;
  number: string;
  icon: string;
}

export type Vehicles = FeatureCollection<Point, VehicleProps>;
export type Line = [number, number][];

export interface RouteDrawing {
  plan: Line;
  fact: Line[];
  deviations: Line[];
  stops: readonly StopRow[];
}

export function lonLat(place: { lat: number; lon: number }): [number, number] {
  return [place.lon, place.lat];
}

export function collection<G extends Point | LineString | MultiLineString, P>(features: Feature<G, P>[]): FeatureCollection<G, P> {
  return { type: 'FeatureCollection', features };
}

/**
 * Drivers with a position, split in two: what may cluster, and what must stay single (the selected driver,
 * and lost ones, whose place is a guess that must not hide in a count).
 */
export function vehicles(rows: readonly Shown[], selectedId: string | null): { clustered: Vehicles; single: Vehicles } {
  const clustered: Vehicles['features'] = [];
  const single: Vehicles['features'] = [];
  for (const { driver, link } of rows) {
    if (driver.position !== null) {
      const heading = driver.position.headingDeg;
      const shape = shapeOf(link, driver.work);
      const properties: VehicleProps = {
        id: driver.driverId,
        name: driver.name,
        label: driver.driverId === selectedId ? driver.name : '',
        // Driving without a known heading is drawn without an arrow: a wrong direction is worse than none.
        icon: shape === 'driving' && heading === null ? 'idle' : shape,
        heading: shape === 'driving' ? (heading ?? 0) : 0,
      };
      const feature: Feature<Point, VehicleProps> = {
        type: 'Feature',
        geometry: { type: 'Point', coordinates: lonLat(driver.position) },
        properties,
      };
      (driver.driverId === selectedId || link === 'lost' ? single : clustered).push(feature);
    }
  }
  return { clustered: collection(clustered), single: collection(single) };
}

export function lines(parts: readonly Line[]): FeatureCollection<LineString> {
  const drawable = parts.filter((part) => part.length > 1);
  return collection(drawable.map((coordinates) => ({ type: 'Feature', geometry: { type: 'LineString', coordinates }, properties: {} })));
}

export function stopPoints(stops: readonly StopRow[]): FeatureCollection<Point, StopProps> {
  return collection(
    stops.map((stop) => ({
      type: 'Feature',
      geometry: { type: 'Point', coordinates: lonLat(stop) },
      properties: { id: stop.stopId, number: String(stop.number), icon: `stop-${stop.status}` },
    })),
  );
}

/** [west, south, east, north], or null for nothing. */
export function boundsOf(points: Iterable<readonly [number, number]>): [number, number, number, number] | null {
  let bounds: [number, number, number, number] | null = null;
  for (const [lon, lat] of points) {
    bounds = bounds === null ? [lon, lat, lon, lat] : [Math.min(bounds[0], lon), Math.min(bounds[1], lat), Math.max(bounds[2], lon), Math.max(bounds[3], lat)];
  }
  return bounds;
}
