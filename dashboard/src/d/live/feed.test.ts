import { afterEach, beforeEach, expect, it, vi } from 'vitest';

import type { Api } from '../../core/api.ts';
import { ServerClock } from '../../core/clock.ts';
import type { SseEvent, StreamOptions } from '../../core/sse.ts';
import type { LiveDriver } from '../../core/wire.ts';
import { Feed } from './feed.ts';
import { Fleet } from './fleet.ts';

const stream = vi.hoisted(() => ({ options: null as StreamOptions | null }));

vi.mock('../../core/sse.ts', () => ({
  Stream: class {
    constructor(options: StreamOptions) {
      stream.options = options;
    }

    close(): void {
      stream.options = null;
    }
  },
}));

const VAN = { name: 'Van 1', plate: 'JLD 001' };

function offShift(id: string): LiveDriver {
  return { driver_id: id, name: `Driver ${id}`, vehicle: null, link: 'off_shift', work: null, route_id: null, epoch: 1 };
}

let drivers: LiveDriver[];
let fleet: Fleet;
let feed: Feed;
let undriven: (string | null)[];
const live = vi.fn(() => Promise.resolve({ server_now: '2026-11-22T09:00:00Z', drivers }));

function tell(event: string, data: object): void {
  stream.options?.onEvent({ event, data: JSON.stringify(data), id: null } satisfies SseEvent);
}

function state(id: string, routeId: string | null, epoch = 2): void {
  tell('state', { driver_id: id, link: 'live', work: 'driving', route_id: routeId, epoch });
}

beforeEach(async () => {
  vi.useFakeTimers();
  live.mockClear();
  drivers = [offShift('a')];
  fleet = new Fleet();
  undriven = [];
  const ignore = (): void => undefined;
  const api = { live } as unknown as Api;
  feed = new Feed({ api, clock: new ServerClock(), fleet, onChange: ignore, onRemoval: ignore, onUndriven: (driverId) => { undriven.push(driverId); }, onStream: ignore, onSnapshot: ignore, onSessionLost: ignore });
  await vi.advanceTimersByTimeAsync(10_000);
});

afterEach(() => {
  feed.close();
  vi.useRealTimers();
});

it('asks for the vehicle when a route begins, and only then', async () => {
  drivers = [{ ...offShift('a'), vehicle: VAN, link: 'live', route_id: 'r1', epoch: 2 }];
  state('a', 'r1');
  await vi.advanceTimersByTimeAsync(1);
  expect(live).toHaveBeenCalledTimes(2);
  expect(fleet.drivers.get('a')?.vehicle).toEqual(VAN);
  state('a', 'r1');
  await vi.advanceTimersByTimeAsync(10_000);
  expect(live).toHaveBeenCalledTimes(2);
});

it.each(['pos', 'state', 'gone', 'erasure'])('asks once for the name of a driver first heard of in %s', async (event) => {
  const entry = { ...offShift('z'), link: 'live', epoch: 5, state: 'grace' };
  drivers = [...drivers, offShift('z')];
  tell(event, event === 'pos' ? { server_now: '2026-11-22T09:00:01Z', drivers: [entry] } : entry);
  await vi.advanceTimersByTimeAsync(10_000);
  expect(live).toHaveBeenCalledTimes(2);
  expect(fleet.drivers.get('z')?.name).toBe('Driver z');
});

it('takes at most one snapshot in two seconds, and none is forgotten', async () => {
  for (let n = 0; n < 39; n += 1) {
    state('a', `r${n}`);
    await vi.advanceTimersByTimeAsync(100);
  }
  expect(live).toHaveBeenCalledTimes(3);
  await vi.advanceTimersByTimeAsync(10_000);
  expect(live).toHaveBeenCalledTimes(4);
});

it('does not let that snapshot bring back a driver who is gone', async () => {
  drivers = [{ ...offShift('a'), link: 'live', route_id: 'r1', lat: 43, lon: 76, fix_at: '2026-11-22T09:00:00Z', epoch: 2 }];
  state('a', 'r1');
  tell('gone', { driver_id: 'a', epoch: 2 });
  await vi.advanceTimersByTimeAsync(10_000);
  expect(fleet.drivers.get('a')).toMatchObject({ position: null, link: 'not_shared' });
});

it('passes on whose driven lines are to go, also of a driver off shift', () => {
  tell('undriven', { driver_id: 'a' });
  expect(undriven).toEqual(['a']);
  expect(fleet.drivers.get('a')).toMatchObject({ link: 'off_shift' });
});

it('takes all driven lines for gone when events were missed', () => {
  tell('resync', { reason: 'events_lost' });
  expect(undriven).toEqual([null]);
});
