import { describe, expect, it } from 'vitest';

import type { Driver, Position } from '../d/live/fleet.ts';
import type { Shown } from '../d/live/filter.ts';
import { boundsOf, lines, vehicles } from './features.ts';

const HERE: Position = { lat: 43.2, lon: 76.9, fixMs: 0, speedMps: 10, headingDeg: 90, accuracyM: 8 };

function row(id: string, link: Shown['link'], position: Position | null = HERE): Shown {
  const driver: Driver = { driverId: id, name: `Driver ${id}`, vehicle: null, link, work: 'driving', routeId: null, epoch: 1, position };
  return { driver, link };
}

describe('vehicles', () => {
  it('writes longitude first', () => {
    const { clustered } = vehicles([row('a', 'live')], null);
    expect(clustered.features[0]?.geometry.coordinates).toEqual([76.9, 43.2]);
  });

  it('draws nobody without a position, and each driver exactly once', () => {
    const rows = [row('a', 'live'), row('b', 'lost'), row('c', 'stale'), row('d', 'not_shared', null)];
    const { clustered, single } = vehicles(rows, 'a');
    expect(clustered.features.map(({ properties }) => properties.id)).toEqual(['c']);
    expect(single.features.map(({ properties }) => [properties.id, properties.label])).toEqual([['a', 'Driver a'], ['b', '']]);
  });

  it('shows no arrow for a heading it does not know', () => {
    const { clustered } = vehicles([row('a', 'live', { ...HERE, headingDeg: null })], null);
    expect(clustered.features[0]?.properties).toMatchObject({ icon: 'idle', heading: 0 });
  });

  it('turns only the arrow', () => {
    const { clustered } = vehicles([row('a', 'live'), row('b', 'stale')], null);
    expect(clustered.features.map(({ properties }) => [properties.icon, properties.heading])).toEqual([['driving', 90], ['stale', 0]]);
  });
});

it('draws no line of a single point', () => {
  expect(lines([[[1, 2]], [[1, 2], [3, 4]]]).features).toHaveLength(1);
});

it('bounds are west, south, east, north', () => {
  expect(boundsOf([[76, 43], [77, 42]])).toEqual([76, 42, 77, 43]);
  expect(boundsOf([])).toBeNull();
});
