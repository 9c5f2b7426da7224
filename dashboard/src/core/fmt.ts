// Numbers, ages and times as people read them. One zone per screen, always given by the caller: the
// browser's own zone appears nowhere.

import { t } from './text.ts';

export const NONE = '–';
const MINUS = '\u2212';

const formats = new Map<string, Intl.DateTimeFormat>();

function formatter(zone: string, kind: 'time' | 'seconds' | 'date'): Intl.DateTimeFormat {
  const key = `${kind} ${zone}`;
  let format = formats.get(key);
  if (format === undefined) {
    const day = { year: 'numeric', month: '2-digit', day: '2-digit' } as const;
    const time = { hour: '2-digit', minute: '2-digit', hourCycle: 'h23' } as const;
    const shape = kind === 'date' ? day : kind === 'time' ? time : { ...time, second: '2-digit' as const };
    format = new Intl.DateTimeFormat('en-GB', { timeZone: zone, ...shape });
    formats.set(key, format);
  }
  return format;
}

/** "14:03" */
export function clockTime(ms: number, zone: string): string {
  return formatter(zone, 'time').format(ms);
}

/** "14:03:21" */
export function clockSeconds(ms: number, zone: string): string {
  return formatter(zone, 'seconds').format(ms);
}

/** "2026-11-22" in the zone: the day a route belongs to. */
export function isoDate(ms: number, zone: string): string {
  const parts = new Map(formatter(zone, 'date').formatToParts(ms).map((part) => [part.type, part.value]));
  return `${parts.get('year') ?? ''}-${parts.get('month') ?? ''}-${parts.get('day') ?? ''}`;
}

/** "14:03", or "23.11.2026 14:03" when it is not the same day. */
export function clockOrDate(ms: number, todayMs: number, zone: string): string {
  return dayUnlessToday(ms, todayMs, zone) + clockTime(ms, zone);
}

/** The same with seconds, for moments somebody may have to prove. */
export function exactTime(ms: number, todayMs: number, zone: string): string {
  return dayUnlessToday(ms, todayMs, zone) + clockSeconds(ms, zone);
}

function dayUnlessToday(ms: number, todayMs: number, zone: string): string {
  const date = isoDate(ms, zone);
  return date === isoDate(todayMs, zone) ? '' : `${dayOf(date)} `;
}

/** "22.11.2026" of "2026-11-22". */
export function dayOf(isoDay: string): string {
  return isoDay.split('-').reverse().join('.');
}

/** "UTC+5", "UTC+5:30": for places where an hour could be misread. */
export function zoneOffset(ms: number, zone: string): string {
  const format = new Intl.DateTimeFormat('en-GB', { timeZone: zone, timeZoneName: 'shortOffset' });
  const name = format.formatToParts(ms).find((part) => part.type === 'timeZoneName')?.value ?? '';
  return name.replace('GMT', 'UTC').replace('-', MINUS);
}

export function parseMs(time: string | null | undefined): number | null {
  const ms = time === null || time === undefined ? NaN : Date.parse(time);
  return Number.isNaN(ms) ? null : ms;
}

/** An age or duration: "12 s", "4 min", "2 h 5 min". Never negative. */
export function duration(ms: number): string {
  const seconds = Math.max(0, Math.floor(ms / 1000));
  if (seconds < 60) {
    return t('unit.s', { n: seconds });
  }
  const minutes = Math.floor(seconds / 60);
  if (minutes < 60) {
    return t('unit.min', { n: minutes });
  }
  return t('unit.h_min', { h: Math.floor(minutes / 60), min: minutes % 60 });
}

export function distance(metres: number | null | undefined): string {
  if (metres === null || metres === undefined || !Number.isFinite(metres)) {
    return NONE;
  }
  if (Math.round(metres) < 1000) {
    return t('unit.m', { n: Math.round(metres) });
  }
  return t('unit.km', { n: (metres / 1000).toFixed(1) });
}

export function speed(mps: number | null): string {
  return mps === null || !Number.isFinite(mps) ? NONE : t('unit.kmh', { n: Math.round(mps * 3.6) });
}

/** "+12", "−9", "0": the sign is part of the meaning. */
export function signed(n: number): string {
  return n > 0 ? `+${n}` : n < 0 ? `${MINUS}${-n}` : '0';
}

/** A countdown: "0:28". */
export function countdown(seconds: number): string {
  const whole = Math.max(0, Math.ceil(seconds));
  return `${Math.floor(whole / 60)}:${String(whole % 60).padStart(2, '0')}`;
}
