// The members of a cluster as a list: vehicles parked on one spot never separate on a map.

import { button, h } from '../../core/dom.ts';
import { t } from '../../core/text.ts';
import { openDialog } from '../../ui/dialog.ts';
import { shapeIcon, shapeOf } from '../../ui/shapes.ts';
import type { Shown } from './filter.ts';
import { ageWord, stateWord } from './words.ts';

export function openMembers(rows: readonly Shown[], nowMs: number | null, options: { onOpen: (driverId: string) => void; fallbackFocus: () => void }): void {
  const dialog = openDialog(t('members.title', { n: rows.length }), { testId: 'members', fallbackFocus: options.fallbackFocus });
  const items = rows.map(({ driver, link }) => {
    const item = button(
      null,
      () => {
        dialog.close();
        options.onOpen(driver.driverId);
      },
      { class: 'member', 'data-driver-id': driver.driverId },
    );
    item.append(shapeIcon(shapeOf(link, driver.work)), h('span', { class: 'row-name' }, driver.name), h('span', { class: 'muted' }, stateWord(link, driver.work)), h('span', { class: 'row-age' }, ageWord(driver, nowMs)));
    return h('li', {}, item);
  });
  dialog.body.append(h('p', { class: 'muted' }, t('members.lead')), h('ul', { class: 'members' }, ...items));
}
