import { describe, expect, it } from 'vitest';

import { ServerClock } from './clock.ts';

const START = Date.parse('2026-11-22T09:00:00Z');

function observe(clock: ServerClock, serverS: number, localS: number): void {
  clock.observe(new Date(START + serverS * 1000).toISOString(), localS * 1000);
}

describe('ServerClock', () => {
  it('knows nothing before the first answer, and ignores what is no time', () => {
    const clock = new ServerClock();
    clock.observe('soon', 0);
    expect(clock.now(0)).toBeNull();
  });

  it('goes on by the local timer between answers', () => {
    const clock = new ServerClock();
    observe(clock, 0, 100);
    expect(clock.now(112_000)).toBe(START + 12_000);
  });

  it('keeps a rate of one under a network that dawdles', () => {
    const clock = new ServerClock();
    [0, 1, 2, 3, 4].forEach((s) => { observe(clock, s, s * 1.1); });
    expect(clock.now(14_400)).toBe(START + 14_000);
  });

  it('follows a server whose clock runs sixty times as fast', () => {
    const clock = new ServerClock();
    [0, 1, 2, 3].forEach((s) => { observe(clock, s * 60, s); });
    expect(clock.now(4_000)).toBe(START + 240_000);
  });

  it('starts anew when the server’s time steps back', () => {
    const clock = new ServerClock();
    [0, 1, 2, 3].forEach((s) => { observe(clock, 5000 + s, s); });
    [4, 5, 6, 7].forEach((s) => { observe(clock, s, s); });
    expect(clock.now(8_000)).toBe(START + 8_000);
  });

  it('forgets an old rate', () => {
    const clock = new ServerClock();
    [0, 1, 2, 3].forEach((s) => { observe(clock, s * 60, s); });
    [30, 31, 32, 33].forEach((s) => { observe(clock, 1000 + s, s); });
    expect(clock.now(34_000)).toBe(START + 1_034_000);
  });
});
