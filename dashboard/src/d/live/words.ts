// How a driver's state reads in a row, in the details and in a dialog: one wording for all three.

import { duration } from '../../core/fmt.ts';
import { hasText, t } from '../../core/text.ts';
import type { LinkState, WorkState } from '../../core/wire.ts';
import type { Driver } from './fleet.ts';

export function workWord(work: WorkState | null): string | null {
  const key = `state.${work ?? ''}`;
  return hasText(key) ? t(key) : null;
}

export function linkWord(link: LinkState): string {
  const key = `state.${link}`;
  return hasText(key) ? t(key) : link;
}

/** "Driving" while live, else what is wrong with the link. */
export function stateWord(link: LinkState, work: WorkState | null): string {
  return (link === 'live' ? workWord(work) : null) ?? linkWord(link);
}

/** Age of the position by server time, or nothing where no position may be shown. */
export function ageWord(driver: Driver, nowMs: number | null): string {
  return driver.position === null || nowMs === null ? '' : duration(nowMs - driver.position.fixMs);
}

export function vehicleWord(driver: Driver): string {
  return driver.vehicle === null ? t('row.no_vehicle') : `${driver.vehicle.name} · ${driver.vehicle.plate}`;
}
