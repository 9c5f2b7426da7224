import { describe, expect, it } from 'vitest';

import { clockOrDate, clockSeconds, clockTime, countdown, distance, duration, exactTime, isoDate, NONE, parseMs, signed, speed, zoneOffset } from './fmt.ts';

const ALMATY = 'Asia/Almaty';
const LATE = Date.parse('2026-11-22T19:30:05Z');

describe('times', () => {
  it('reads in the zone given, not the machine’s', () => {
    expect(clockTime(LATE, ALMATY)).toBe('00:30');
    expect(clockSeconds(LATE, ALMATY)).toBe('00:30:05');
    expect(isoDate(LATE, ALMATY)).toBe('2026-11-23');
    expect(isoDate(LATE, 'America/New_York')).toBe('2026-11-22');
  });

  it('adds the date on another day', () => {
    expect(clockOrDate(LATE, LATE, ALMATY)).toBe('00:30');
    expect(clockOrDate(LATE, LATE + 86_400_000, ALMATY)).toBe('23.11.2026 00:30');
    expect(exactTime(LATE, LATE, ALMATY)).toBe('00:30:05');
  });

  it('prints the offset', () => {
    expect(zoneOffset(LATE, ALMATY)).toBe('UTC+5');
    expect(zoneOffset(LATE, 'America/New_York')).toBe('UTC−5');
    expect(zoneOffset(LATE, 'Asia/Kolkata')).toBe('UTC+5:30');
  });

  it('is null for what is no time', () => {
    expect([parseMs(null), parseMs(undefined), parseMs('x')]).toEqual([null, null, null]);
    expect(parseMs('1970-01-01T00:00:01Z')).toBe(1000);
  });
});

describe('amounts', () => {
  it.each([
    [-5_000, '0 s'],
    [59_999, '59 s'],
    [60_000, '1 min'],
    [3_599_000, '59 min'],
    [7_500_000, '2 h 5 min'],
  ])('duration %i', (ms, text) => {
    expect(duration(ms)).toBe(text);
  });

  it.each([
    [null, NONE],
    [0, '0 m'],
    [999.4, '999 m'],
    [999.6, '1.0 km'],
    [84_240, '84.2 km'],
  ])('distance %s', (metres, text) => {
    expect(distance(metres)).toBe(text);
  });

  it('speed, sign and countdown', () => {
    expect([speed(null), speed(0), speed(10)]).toEqual([NONE, '0 km/h', '36 km/h']);
    expect([signed(12), signed(-9), signed(0)]).toEqual(['+12', '−9', '0']);
    expect([countdown(28), countdown(61.2), countdown(-1)]).toEqual(['0:28', '1:02', '0:00']);
  });
});
