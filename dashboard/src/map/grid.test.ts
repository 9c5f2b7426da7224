import { describe, expect, it } from 'vitest';

import { gridLines, gridStepKm } from './grid.ts';

const VIEW = { west: 76.8, south: 43.1, east: 77, north: 43.3 };

describe('the grid', () => {
  it('appears near, coarse before fine', () => {
    expect([8.9, 9, 11.4, 11.5, 14.4, 14.5].map(gridStepKm)).toEqual([null, 5, 5, 1, 1, 0.2]);
  });

  it('has squares of the step on the ground', () => {
    const parallels = gridLines(VIEW, 5).features.map(({ geometry }) => geometry.coordinates).filter(([a, b]) => a?.[1] === b?.[1]);
    const [first, second] = parallels.map(([a]) => a?.[1] ?? 0);
    expect(((second ?? 0) - (first ?? 0)) * 111.32).toBeCloseTo(5, 6);
    const meridians = gridLines(VIEW, 5).features.map(({ geometry }) => geometry.coordinates).filter(([a, b]) => a?.[0] === b?.[0]);
    const [west, next] = meridians.map(([a]) => a?.[0] ?? 0);
    const metres = ((next ?? 0) - (west ?? 0)) * 111.32 * Math.cos((43.2 * Math.PI) / 180);
    expect(Math.abs(metres - 5)).toBeLessThan(0.05);
  });

  it('covers the view and never draws without end', () => {
    const lons = gridLines(VIEW, 1).features.flatMap(({ geometry }) => geometry.coordinates.map(([lon]) => lon ?? 0));
    expect(Math.min(...lons)).toBeLessThanOrEqual(VIEW.west);
    expect(Math.max(...lons)).toBeGreaterThanOrEqual(VIEW.east);
    expect(gridLines({ west: -180, south: -80, east: 180, north: 80 }, 1).features).toEqual([]);
  });
});
