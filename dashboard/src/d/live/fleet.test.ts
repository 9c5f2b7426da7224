import { beforeEach, describe, expect, it } from 'vitest';

import type { LiveDriver, PosEntry } from '../../core/wire.ts';
import { type Driver, Fleet, shownLink } from './fleet.ts';

const NOW = Date.parse('2026-11-22T09:00:00Z');

function at(secondsAgo: number): string {
  return new Date(NOW - secondsAgo * 1000).toISOString();
}

function live(id: string, changes: Partial<LiveDriver> = {}): LiveDriver {
  return {
    driver_id: id, name: `Driver ${id}`, vehicle: null, link: 'live', work: 'driving', route_id: null,
    lat: 43.2, lon: 76.9, fix_at: at(5), speed_mps: 10, heading_deg: 90, accuracy_m: 8, epoch: 3, ...changes,
  };
}

function pos(id: string, changes: Partial<PosEntry> = {}): PosEntry {
  return { ...live(id), lat: 43.3, fix_at: at(1), ...changes };
}

let fleet: Fleet;

function snapshot(...drivers: LiveDriver[]): void {
  fleet.snapshot({ server_now: at(0), drivers }, fleet.mark());
}

function frame(...drivers: PosEntry[]): boolean {
  return fleet.pos({ server_now: at(0), drivers });
}

function driver(id: string): Driver {
  const found = fleet.drivers.get(id);
  if (found === undefined) {
    throw new Error(`no driver ${id}`);
  }
  return found;
}

beforeEach(() => {
  fleet = new Fleet();
  snapshot(live('a'), live('b'));
});

describe('snapshot', () => {
  it('replaces the fleet: who is not in it is not there', () => {
    snapshot(live('b'), live('c'));
    expect([...fleet.drivers.keys()]).toEqual(['b', 'c']);
  });

  it.each(['not_shared', 'off_shift'] as const)('takes no position of a %s driver, whatever the answer carries', (link) => {
    snapshot(live('a', { link }));
    expect(driver('a').position).toBeNull();
  });

  it('does not go back behind a frame that overtook it', () => {
    const mark = fleet.mark();
    frame(pos('a', { fix_at: at(1) }));
    fleet.snapshot({ server_now: at(0), drivers: [live('a', { fix_at: at(5) })] }, mark);
    expect(driver('a').position?.lat).toBe(43.3);
  });

  it('asked for after a frame is right even with an earlier time', () => {
    frame(pos('a', { fix_at: at(1) }));
    snapshot(live('a', { fix_at: at(3600) }));
    expect(driver('a').position?.lat).toBe(43.2);
  });

  it('does not go back behind a newer epoch', () => {
    frame(pos('a', { epoch: 5 }));
    snapshot(live('a', { epoch: 3, link: 'not_shared' }));
    expect(driver('a')).toMatchObject({ epoch: 5, link: 'live' });
  });
});

describe('pos', () => {
  it('moves a driver and asks for a snapshot only when one is unknown', () => {
    expect(frame(pos('a'))).toBe(false);
    expect(driver('a').position).toMatchObject({ lat: 43.3, lon: 76.9 });
    expect(frame(pos('z'))).toBe(true);
    expect(fleet.drivers.has('z')).toBe(false);
  });

  it('asks for a snapshot when another route begins: the vehicle may be another', () => {
    expect(frame(pos('a', { route_id: 'r1' }))).toBe(true);
    expect(frame(pos('a', { route_id: 'r1' }))).toBe(false);
    expect(fleet.state({ driver_id: 'a', link: 'live', work: null, route_id: 'r2', epoch: 3 })).toBe(true);
    expect(fleet.state({ driver_id: 'a', link: 'live', work: null, route_id: 'r3', epoch: 2 })).toBe(false);
  });

  it('keeps the newer of two fixes', () => {
    frame(pos('a', { fix_at: at(30), lat: 1 }));
    expect(driver('a').position?.lat).toBe(43.2);
  });

  it('drops a frame of an older epoch', () => {
    frame(pos('a', { epoch: 2 }));
    expect(driver('a').position?.lat).toBe(43.2);
  });
});

describe('gone', () => {
  it('takes the position away and names no cause', () => {
    fleet.gone({ driver_id: 'a', epoch: 3 });
    expect(driver('a')).toMatchObject({ link: 'not_shared', work: null, position: null });
    // Nothing that is left of the driver holds where they were.
    expect(JSON.stringify(driver('a'))).not.toContain('43.2');
    expect(driver('b').position).not.toBeNull();
  });

  it.each([2, 3])('drops later frames and snapshots with epoch %i, at or below it', (epoch) => {
    fleet.gone({ driver_id: 'a', epoch: 3 });
    frame(pos('a', { epoch }));
    expect(driver('a').position).toBeNull();
    snapshot(live('a', { epoch }));
    expect(driver('a')).toMatchObject({ link: 'not_shared', position: null });
  });

  it('lets a newer epoch back in', () => {
    fleet.gone({ driver_id: 'a', epoch: 3 });
    frame(pos('a', { epoch: 4 }));
    expect(driver('a').position).not.toBeNull();
  });

  it('is kept for a driver not seen yet', () => {
    fleet.gone({ driver_id: 'c', epoch: 7 });
    snapshot(live('c', { epoch: 7 }));
    expect(driver('c').position).toBeNull();
  });

  it('never lowers the epoch', () => {
    fleet.gone({ driver_id: 'a', epoch: 9 });
    fleet.gone({ driver_id: 'a', epoch: 4 });
    frame(pos('a', { epoch: 9 }));
    expect(driver('a').position).toBeNull();
  });
});

describe('state', () => {
  it('off shift takes the position away, also from a snapshot asked for before', () => {
    const mark = fleet.mark();
    fleet.state({ driver_id: 'a', link: 'off_shift', work: null, route_id: null, epoch: 3 });
    expect(driver('a')).toMatchObject({ link: 'off_shift', position: null });
    fleet.snapshot({ server_now: at(0), drivers: [live('a')] }, mark);
    expect(driver('a')).toMatchObject({ link: 'off_shift', position: null });
    snapshot(live('a'));
    expect(driver('a').position).not.toBeNull();
  });

  it('stale keeps the position; an old epoch changes nothing', () => {
    fleet.state({ driver_id: 'a', link: 'stale', work: null, route_id: 'r', epoch: 3 });
    expect(driver('a')).toMatchObject({ link: 'stale', routeId: 'r' });
    expect(driver('a').position).not.toBeNull();
    fleet.state({ driver_id: 'a', link: 'off_shift', work: null, route_id: null, epoch: 2 });
    expect(driver('a').link).toBe('stale');
  });
});

describe('erasure', () => {
  it.each(['erasing', 'erased'] as const)('%s removes the driver for good', (state) => {
    expect(fleet.erasure({ driver_id: 'a', state })).toBe(true);
    expect(frame(pos('a', { epoch: 99 }))).toBe(false);
    snapshot(live('a', { epoch: 99 }), live('b'));
    expect([...fleet.drivers.keys()]).toEqual(['b']);
  });

  it.each(['open', 'grace', 'refused', 'cancelled'] as const)('%s keeps the driver in the list', (state) => {
    expect(fleet.erasure({ driver_id: 'a', state })).toBe(false);
    expect(fleet.drivers.has('a')).toBe(true);
  });
});

describe('age', () => {
  it('takes positions older than 15 minutes away, server or no server', () => {
    snapshot(live('a', { fix_at: at(14 * 60) }), live('b', { fix_at: at(16 * 60), link: 'lost' }));
    expect(fleet.expire(NOW)).toBe(true);
    expect(driver('a').position).not.toBeNull();
    expect(driver('b')).toMatchObject({ link: 'lost', position: null });
    expect(fleet.expire(NOW)).toBe(false);
  });

  it.each([
    [59, 'live'],
    [61, 'stale'],
    [601, 'lost'],
  ] as const)('after %i s without a stream the link reads %s', (age, link) => {
    snapshot(live('a', { fix_at: at(age) }));
    expect(shownLink(driver('a'), NOW, false)).toBe(link);
    expect(shownLink(driver('a'), NOW, true)).toBe('live');
  });

  it('never makes a link better than the server said', () => {
    snapshot(live('a', { link: 'lost', fix_at: at(5) }), live('b', { link: 'not_shared' }));
    expect(shownLink(driver('a'), NOW, false)).toBe('lost');
    expect(shownLink(driver('b'), NOW, false)).toBe('not_shared');
  });
});
