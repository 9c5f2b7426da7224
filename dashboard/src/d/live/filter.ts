// Which drivers the list and the map show, and in which order.

import type { LinkState } from '../../core/wire.ts';
import type { Driver } from './fleet.ts';

export interface Filter {
  readonly link: LinkState | null;
  readonly search: string;
}

export const NO_FILTER: Filter = { link: null, search: '' };

export interface Shown {
  readonly driver: Driver;
  readonly link: LinkState;
}

const collator = new Intl.Collator(undefined, { numeric: true });

/** By name, always: a list that re-sorts itself under the pointer makes people open the wrong driver. */
export function inOrder(rows: Shown[]): Shown[] {
  return rows.sort((a, b) => collator.compare(a.driver.name, b.driver.name) || (a.driver.driverId < b.driver.driverId ? -1 : 1));
}

export function matches({ driver, link }: Shown, filter: Filter): boolean {
  if (filter.link !== null && link !== filter.link) {
    return false;
  }
  const wanted = filter.search.trim().toLocaleLowerCase();
  const text = `${driver.name} ${driver.vehicle?.name ?? ''} ${driver.vehicle?.plate ?? ''}`.toLocaleLowerCase();
  return wanted === '' || text.includes(wanted);
}

export function countByLink(rows: readonly Shown[]): Map<LinkState, number> {
  const counts = new Map<LinkState, number>();
  for (const { link } of rows) {
    counts.set(link, (counts.get(link) ?? 0) + 1);
  }
  return counts;
}
