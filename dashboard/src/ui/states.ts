// The pictures of a data area that has no data (yet): loading, empty, error. Each looks different, so that
// waiting is never read as "nothing there".

import { button, h } from '../core/dom.ts';
import { t } from '../core/text.ts';

const SKELETON_AFTER_MS = 200;
const SLOW_AFTER_MS = 5_000;

export interface Loading {
  node: HTMLElement;
  stop: () => void;
}

/** A skeleton after 200 ms (a flash helps nobody), "still loading" with Cancel after 5 s. */
export function loading(words: { now: string; slow: string }, rows: number, onCancel: (() => void) | null): Loading {
  const node = h('div', { class: 'state state-loading', 'aria-busy': 'true' }, h('p', { class: 'visually-hidden', role: 'status' }, words.now));
  const skeleton = setTimeout(() => {
    node.append(...Array.from({ length: rows }, () => h('div', { class: 'skeleton', 'aria-hidden': 'true' })));
  }, SKELETON_AFTER_MS);
  const slow = setTimeout(() => {
    const cancel = onCancel === null ? null : button(t('cancel'), onCancel);
    node.prepend(h('p', { class: 'state-words', role: 'status' }, words.slow), cancel ?? '');
  }, SLOW_AFTER_MS);
  return {
    node,
    stop() {
      clearTimeout(skeleton);
      clearTimeout(slow);
      node.remove();
    },
  };
}

export function empty(title: string, lead: string | null, action: Node | null = null): HTMLElement {
  return h(
    'div',
    { class: 'state state-empty' },
    h('p', { class: 'state-title' }, title),
    lead === null ? null : h('p', { class: 'muted' }, lead),
    action,
  );
}

export function failure(words: string, onRetry: () => void): HTMLElement {
  return h('div', { class: 'state state-error' }, h('p', { role: 'alert' }, words), button(t('retry'), onRetry));
}
