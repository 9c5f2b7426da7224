// What to say about an erasure request, and whether there is more to come.

import { hasText, t } from '../../core/text.ts';
import type { ErasureState } from '../../core/wire.ts';

/** Ends of the life of a request: nothing changes after them. */
export function isOver(state: ErasureState): boolean {
  return state === 'erased' || state === 'refused' || state === 'cancelled';
}

/** How long to wait before asking again: a running erasure is a matter of seconds, a grace of days. */
export function pollMs(state: ErasureState): number {
  return state === 'erasing' ? 1_000 : 5_000;
}

/** Steps come from the server: one without a text here must read well too, "erase_rows" as "Erase rows". */
export function stepWords(step: string): string {
  const key = `step.${step}`;
  if (hasText(key)) {
    return t(key);
  }
  const words = step.replaceAll(/[_-]+/g, ' ').trim();
  return words.charAt(0).toUpperCase() + words.slice(1);
}
