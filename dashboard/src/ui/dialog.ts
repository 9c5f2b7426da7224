// A modal on the browser's own <dialog>: focus stays inside, Escape closes, focus returns to the opener.

import { button, h } from '../core/dom.ts';
import { t } from '../core/text.ts';

export interface Dialog {
  body: HTMLElement;
  actions: HTMLElement;
  setTitle: (title: string) => void;
  /** Puts focus on the title, so that a changed content is read from its start. */
  focusTitle: () => void;
  close: () => void;
}

let count = 0;

export function openDialog(title: string, options: { testId: string; fallbackFocus: () => void; onClose?: () => void }): Dialog {
  count += 1;
  const titleId = `dialog-title-${count}`;
  const heading = h('h2', { id: titleId, tabindex: -1 }, title);
  const body = h('div', { class: 'dialog-body' });
  const actions = h('div', { class: 'dialog-actions' });
  const dismiss = button('×', () => { node.close(); }, { class: 'button button-icon', 'aria-label': t('close') });
  const node = h(
    'dialog',
    { class: 'dialog', 'aria-labelledby': titleId, 'data-testid': options.testId },
    h('div', { class: 'dialog-head' }, heading, dismiss),
    body,
    actions,
  );
  node.addEventListener('close', () => {
    node.remove();
    options.onClose?.();
    // The browser gives focus back to the opener, unless that went with the driver it belonged to.
    if (document.activeElement === null || document.activeElement === document.body) {
      options.fallbackFocus();
    }
  });
  document.body.append(node);
  node.showModal();
  heading.focus();
  return {
    body,
    actions,
    setTitle: (text) => {
      heading.textContent = text;
    },
    focusTitle: () => {
      heading.focus();
    },
    close: () => {
      node.close();
    },
  };
}
