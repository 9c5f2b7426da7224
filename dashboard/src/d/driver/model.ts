// The stop table of a route: what was planned beside what happened. Null means not known, never zero.

import { parseMs } from '../../core/fmt.ts';
import type { PlanFactReport, RouteView, StopFact, StopStatus } from '../../core/wire.ts';

export type Difference =
  | { kind: 'late' | 'early' | 'in_window'; minutes: number }
  | { kind: 'on_time' }
  | { kind: 'none' };

export interface StopRow {
  readonly stopId: string;
  readonly number: number;
  readonly name: string;
  readonly status: StopStatus;
  readonly plannedMs: number | null;
  readonly arrivedMs: number | null;
  readonly difference: Difference;
  readonly distanceM: number | null;
  /** The place in the order really driven, only where it differs from the plan. */
  readonly actualNumber: number | null;
  readonly lat: number;
  readonly lon: number;
}

const ON_TIME_S = 60;

/** Arrival against plan. Inside its window a stop is not late, whatever the planned minute was. */
export function difference(fact: StopFact): Difference {
  const planned = parseMs(fact.planned_arrival);
  const arrived = parseMs(fact.arrived_at);
  if (arrived === null) {
    return { kind: 'none' };
  }
  const seconds = planned === null ? againstWindow(fact) : (arrived - planned) / 1000;
  if (seconds === null) {
    return { kind: 'none' };
  }
  // Nobody is late by less than we can measure.
  if (Math.abs(seconds) < Math.max(ON_TIME_S, fact.arrival_uncertainty_s ?? 0)) {
    return { kind: 'on_time' };
  }
  const minutes = Math.trunc(seconds / 60);
  if (fact.window_status === 'on_time') {
    return { kind: 'in_window', minutes };
  }
  return { kind: minutes > 0 ? 'late' : 'early', minutes };
}

function againstWindow(fact: StopFact): number | null {
  switch (fact.window_status) {
    case 'late':
      return fact.late_s;
    case 'early':
      return fact.early_s === null ? null : -fact.early_s;
    case 'on_time':
      return 0;
    default:
      return null;
  }
}

export function stopRows(route: RouteView, report: PlanFactReport | null): StopRow[] {
  const facts = new Map(report?.stops.map((stop) => [stop.stop_id, stop]));
  const outOfOrder = driven(report?.stops ?? []);
  const stops = [...route.stops].sort((a, b) => a.seq - b.seq);
  return stops.map((stop, index) => {
    const fact = facts.get(stop.stop_id);
    return {
      stopId: stop.stop_id,
      number: index + 1,
      name: stop.name,
      status: fact?.status ?? 'pending',
      plannedMs: parseMs(fact?.planned_arrival ?? stop.planned_arrival),
      arrivedMs: parseMs(fact?.arrived_at),
      difference: fact === undefined ? { kind: 'none' } : difference(fact),
      distanceM: fact?.distance_m ?? null,
      actualNumber: outOfOrder.get(stop.stop_id) ?? null,
      lat: stop.lat,
      lon: stop.lon,
    };
  });
}

/**
 * Stops driven at another place in the order than planned, with that place. Both orders are ranked among the
 * visited stops only: one missed stop must not mark all that follow it.
 */
function driven(stops: readonly StopFact[]): Map<string, number> {
  const visited = stops.flatMap((stop) => (stop.actual_sequence === null ? [] : [{ stop, actual: stop.actual_sequence }]));
  const planned = [...visited].sort((a, b) => a.stop.planned_sequence - b.stop.planned_sequence);
  const actual = [...visited].sort((a, b) => a.actual - b.actual);
  const moved = new Map<string, number>();
  actual.forEach(({ stop }, index) => {
    if (planned[index]?.stop !== stop) {
      moved.set(stop.stop_id, index + 1);
    }
  });
  return moved;
}

export function countStatus(rows: readonly StopRow[], status: StopStatus): number {
  return rows.filter((row) => row.status === status).length;
}
