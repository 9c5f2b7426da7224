// The drivers of a company as the live feed tells them: a pure reducer, no I/O and no clock of its own.
// A position is only ever in `Driver.position`; taking it away there takes it from list, map and memory.

import type { ErasureEvent, GoneEvent, LinkState, LiveDriver, LiveSnapshot, PosEntry, PosEvent, StateEvent, VehicleRef, WorkState } from '../../core/wire.ts';

export interface Position {
  readonly lat: number;
  readonly lon: number;
  readonly fixMs: number;
  readonly speedMps: number | null;
  readonly headingDeg: number | null;
  readonly accuracyM: number | null;
}

export interface Driver {
  readonly driverId: string;
  readonly name: string;
  readonly vehicle: VehicleRef | null;
  readonly link: LinkState;
  readonly work: WorkState | null;
  readonly routeId: string | null;
  readonly epoch: number;
  readonly position: Position | null;
}

const STALE_AFTER_MS = 60_000;
const LOST_AFTER_MS = 10 * 60_000;
const HIDDEN_AFTER_MS = 15 * 60_000;

const POSITIONED: ReadonlySet<string> = new Set<LinkState>(['live', 'stale', 'lost']);

export class Fleet {
  readonly drivers = new Map<string, Driver>();
  // Epoch of the last `gone` per driver: what is at or below it must never be shown again.
  readonly #goneEpoch = new Map<string, number>();
  readonly #erased = new Set<string>();
  // When a driver was last moved and last taken off the map, counted in changes: a snapshot that was asked
  // for before that must not undo it. One asked for after it is right, even if its times lie earlier (a
  // restarted demo).
  readonly #movedAt = new Map<string, number>();
  readonly #removedAt = new Map<string, number>();
  #changes = 0;

  /** To be taken before GET /v1/live is sent, and given back with its answer. */
  mark(): number {
    return this.#changes;
  }

  snapshot(snapshot: LiveSnapshot, mark: number): void {
    const before = new Map(this.drivers);
    this.drivers.clear();
    for (const entry of snapshot.drivers) {
      if (!this.#erased.has(entry.driver_id)) {
        this.drivers.set(entry.driver_id, this.#fromSnapshot(entry, before.get(entry.driver_id), mark));
      }
    }
  }

  #fromSnapshot(entry: LiveDriver, before: Driver | undefined, mark: number): Driver {
    const outdated = (this.#removedAt.get(entry.driver_id) ?? 0) > mark;
    if (outdated || this.#isGone(entry)) {
      return { ...described(entry), link: before?.link ?? 'not_shared', work: null, position: null };
    }
    if (before !== undefined && before.epoch > entry.epoch) {
      return { ...before, name: entry.name, vehicle: entry.vehicle };
    }
    const position = positionOf(entry);
    const overtaken = (this.#movedAt.get(entry.driver_id) ?? 0) > mark;
    const kept = overtaken && before?.epoch === entry.epoch ? before.position : null;
    const newer = position && kept && kept.fixMs > position.fixMs;
    return { ...described(entry), position: newer ? kept : position };
  }

  /** True for a driver no snapshot has told us about: events carry neither name nor vehicle. */
  isUnknown(driverId: string): boolean {
    return !this.drivers.has(driverId) && !this.#erased.has(driverId);
  }

  /** True when a new snapshot is due: the driver is unknown, or drives another route, so maybe another vehicle. */
  pos(frame: PosEvent): boolean {
    let due = false;
    for (const entry of frame.drivers) {
      const driver = this.drivers.get(entry.driver_id);
      if (driver === undefined) {
        due ||= this.isUnknown(entry.driver_id);
      } else if (!this.#isGone(entry) && entry.epoch >= driver.epoch) {
        due ||= entry.route_id !== driver.routeId;
        this.#move(driver, entry);
      }
    }
    return due;
  }

  #move(driver: Driver, entry: PosEntry): void {
    const position = positionOf(entry);
    const known = driver.position;
    const older = position && known && driver.epoch === entry.epoch && position.fixMs < known.fixMs;
    const { link, work, epoch } = entry;
    this.#note(this.#movedAt, driver.driverId);
    this.drivers.set(driver.driverId, { ...driver, link, work, epoch, routeId: entry.route_id, position: older ? known : position });
  }

  /** True when a new snapshot is due, as for `pos`. */
  state(event: StateEvent): boolean {
    const driver = this.drivers.get(event.driver_id);
    if (driver === undefined) {
      return this.isUnknown(event.driver_id);
    }
    if (event.epoch >= driver.epoch) {
      const position = POSITIONED.has(event.link) ? driver.position : null;
      if (!POSITIONED.has(event.link)) {
        this.#note(this.#removedAt, event.driver_id);
      }
      const { link, work, epoch } = event;
      this.drivers.set(driver.driverId, { ...driver, link, work, epoch, routeId: event.route_id, position });
      return event.route_id !== driver.routeId;
    }
    return false;
  }

  gone(event: GoneEvent): void {
    const known = this.#goneEpoch.get(event.driver_id) ?? -Infinity;
    this.#goneEpoch.set(event.driver_id, Math.max(known, event.epoch));
    this.#note(this.#removedAt, event.driver_id);
    const driver = this.drivers.get(event.driver_id);
    if (driver !== undefined) {
      // The event names no cause; until a `state` says otherwise the neutral word stands.
      const link = POSITIONED.has(driver.link) ? 'not_shared' : driver.link;
      this.drivers.set(driver.driverId, { ...driver, link, work: null, position: null });
    }
  }

  /** True when the driver left the list for good. */
  erasure(event: ErasureEvent): boolean {
    if (event.state !== 'erasing' && event.state !== 'erased') {
      return false;
    }
    this.#erased.add(event.driver_id);
    this.#note(this.#removedAt, event.driver_id);
    return this.drivers.delete(event.driver_id);
  }

  /** Takes away positions older than 15 minutes, also while no server answers. True if any was. */
  expire(nowMs: number): boolean {
    let any = false;
    for (const driver of this.drivers.values()) {
      if (driver.position !== null && nowMs - driver.position.fixMs > HIDDEN_AFTER_MS) {
        this.drivers.set(driver.driverId, { ...driver, link: 'lost', work: null, position: null });
        any = true;
      }
    }
    return any;
  }

  #isGone(entry: { driver_id: string; epoch: number }): boolean {
    const gone = this.#goneEpoch.get(entry.driver_id);
    return gone !== undefined && entry.epoch <= gone;
  }

  #note(when: Map<string, number>, driverId: string): void {
    this.#changes += 1;
    when.set(driverId, this.#changes);
  }
}

function described(entry: LiveDriver): Omit<Driver, 'position'> {
  const { driver_id: driverId, name, vehicle, link, work, route_id: routeId, epoch } = entry;
  return { driverId, name, vehicle, link, work, routeId, epoch };
}

function positionOf(entry: PosEntry): Position | null {
  const { lat, lon } = entry;
  const fixMs = Date.parse(entry.fix_at ?? '');
  if (!POSITIONED.has(entry.link) || typeof lat !== 'number' || typeof lon !== 'number' || Number.isNaN(fixMs)) {
    return null;
  }
  return {
    lat,
    lon,
    fixMs,
    speedMps: entry.speed_mps ?? null,
    headingDeg: entry.heading_deg ?? null,
    accuracyM: entry.accuracy_m ?? null,
  };
}

const SEVERITY: Record<string, number> = { live: 0, stale: 1, lost: 2 };

/**
 * The link to show. While the stream is open the server's word holds; while it is paused the age alone may
 * make it worse, since nobody else will say so.
 */
export function shownLink(driver: Driver, nowMs: number | null, connected: boolean): LinkState {
  if (connected || nowMs === null || driver.position === null) {
    return driver.link;
  }
  const age = nowMs - driver.position.fixMs;
  const byAge: LinkState = age > LOST_AFTER_MS ? 'lost' : age > STALE_AFTER_MS ? 'stale' : 'live';
  return (SEVERITY[byAge] ?? 0) > (SEVERITY[driver.link] ?? 0) ? byAge : driver.link;
}
