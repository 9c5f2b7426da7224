import { describe, expect, it } from 'vitest';

import type { PlanFactReport, RouteView, StopFact } from '../../core/wire.ts';
import { countStatus, difference, stopRows } from './model.ts';

function fact(changes: Partial<StopFact> = {}): StopFact {
  return {
    stop_id: 's1', name: 'Stop', planned_sequence: 1, actual_sequence: 1, status: 'visited', confidence: 1,
    planned_arrival: '2026-11-22T09:00:00Z', window_start: null, window_end: null, arrived_at: '2026-11-22T09:00:00Z',
    departed_at: null, arrival_uncertainty_s: null, window_status: 'none', early_s: null, late_s: null, distance_m: 12, ...changes,
  };
}

function arrivedAt(time: string, changes: Partial<StopFact> = {}): StopFact {
  return fact({ arrived_at: `2026-11-22T${time}Z`, ...changes });
}

describe('difference', () => {
  it('says late and early in whole minutes, cut and not rounded up', () => {
    expect(difference(arrivedAt('09:12:59'))).toEqual({ kind: 'late', minutes: 12 });
    expect(difference(arrivedAt('08:50:30'))).toEqual({ kind: 'early', minutes: -9 });
  });

  it('is on time within a minute, or within what was measured', () => {
    expect(difference(arrivedAt('09:00:59'))).toEqual({ kind: 'on_time' });
    expect(difference(arrivedAt('09:01:00'))).toEqual({ kind: 'late', minutes: 1 });
    expect(difference(arrivedAt('09:02:00', { arrival_uncertainty_s: 180 }))).toEqual({ kind: 'on_time' });
  });

  it('is not late inside its window', () => {
    expect(difference(arrivedAt('09:12:00', { window_status: 'on_time' }))).toEqual({ kind: 'in_window', minutes: 12 });
  });

  it('goes by the window where no minute was planned', () => {
    expect(difference(fact({ planned_arrival: null, window_status: 'late', late_s: 720 }))).toEqual({ kind: 'late', minutes: 12 });
    expect(difference(fact({ planned_arrival: null, window_status: 'early', early_s: 540 }))).toEqual({ kind: 'early', minutes: -9 });
    expect(difference(fact({ planned_arrival: null, window_status: 'on_time' }))).toEqual({ kind: 'on_time' });
  });

  it('is nothing, not zero, where something is not known', () => {
    expect(difference(fact({ arrived_at: null }))).toEqual({ kind: 'none' });
    expect(difference(fact({ planned_arrival: null }))).toEqual({ kind: 'none' });
  });
});

describe('stopRows', () => {
  const stop = (n: number) => ({ stop_id: `s${n}`, seq: n, name: `Stop ${n}`, lat: 43 + n, lon: 76, planned_arrival: '2026-11-22T09:00:00Z' });
  const route: RouteView = { route_id: 'r', name: 'R', date: '2026-11-22', driver_id: 'd', vehicle_id: null, starts_at: '', ends_at: '', stop_count: 4, planned_m: 1, plan_version: 1, line: null, stops: [stop(2), stop(1), stop(3), stop(4)] };

  function report(...stops: StopFact[]): PlanFactReport {
    return { route_id: 'r', plan_version: 1, algorithm_version: '1', computed_at: '', display_time_zone: 'UTC', availability: 'full', stops };
  }

  function visited(planned: number, actual: number | null): StopFact {
    return fact({ stop_id: `s${planned}`, planned_sequence: planned, actual_sequence: actual, status: actual === null ? 'missed' : 'visited' });
  }

  it('shows the plan in its order while no report is there', () => {
    const rows = stopRows(route, null);
    expect(rows.map(({ number, name, status }) => [number, name, status])).toEqual([1, 2, 3, 4].map((n) => [n, `Stop ${n}`, 'pending']));
    expect(rows[0]).toMatchObject({ plannedMs: Date.parse('2026-11-22T09:00:00Z'), arrivedMs: null, distanceM: null, difference: { kind: 'none' } });
  });

  it('joins by stop, and a missed stop does not mark those after it', () => {
    const rows = stopRows(route, report(visited(1, 1), visited(2, null), visited(3, 2), visited(4, 3)));
    expect(rows.map(({ actualNumber }) => actualNumber)).toEqual([null, null, null, null]);
    expect([countStatus(rows, 'visited'), countStatus(rows, 'missed')]).toEqual([3, 1]);
  });

  it.each([0, 1])('names the order driven where it differs, counted from %i', (base) => {
    const rows = stopRows(route, report(visited(1, base), visited(2, base + 2), visited(3, base + 1), visited(4, base + 3)));
    expect(rows.map(({ actualNumber }) => actualNumber)).toEqual([null, 3, 2, null]);
  });
});
