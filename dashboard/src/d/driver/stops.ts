// The stop table: plan and fact of each stop, the status as shape and word.

import { h, svg } from '../../core/dom.ts';
import { clockTime, distance, NONE, signed } from '../../core/fmt.ts';
import { type Key, t } from '../../core/text.ts';
import type { StopStatus } from '../../core/wire.ts';
import type { Difference, StopRow } from './model.ts';

export function differenceWord(difference: Difference): string {
  switch (difference.kind) {
    case 'late':
      return t('diff.late', { n: signed(difference.minutes) });
    case 'early':
      return t('diff.early', { n: signed(difference.minutes) });
    case 'in_window':
      return t('diff.in_window', { n: signed(difference.minutes) });
    case 'on_time':
      return t('diff.on_time');
    case 'none':
      return NONE;
  }
}

function statusWord(status: StopStatus): string {
  switch (status) {
    case 'visited':
    case 'missed':
    case 'unknown':
    case 'pending':
      return t(`stop.${status}`);
    default:
      return status;
  }
}

/** The same four signs as the map's stops: filled, hollow with ×, hollow with ?, plain. */
function statusIcon(status: StopStatus): SVGElement {
  const icon = svg('svg', { class: `stop-icon stop-${status}`, viewBox: '0 0 16 16', 'aria-hidden': 'true', focusable: 'false' });
  icon.append(svg('circle', { cx: 8, cy: 8, r: 6 }));
  if (status === 'visited') {
    icon.append(svg('path', { d: 'M5 8.2l2.2 2.2L11.2 6' }));
  } else if (status === 'missed') {
    icon.append(svg('path', { d: 'M5.6 5.6l4.8 4.8M10.4 5.6l-4.8 4.8' }));
  } else if (status === 'unknown') {
    icon.append(svg('path', { d: 'M6.2 6.4a1.9 1.9 0 113 1.6c-.8.5-1.2.8-1.2 1.4M8 11.3v.6' }));
  }
  return icon;
}

/** A dash for the eye, "not known" for the ear; never a zero. */
export function orNone(text: string | null): Node {
  if (text !== null && text !== NONE) {
    return document.createTextNode(text);
  }
  return h('span', {}, h('span', { 'aria-hidden': 'true' }, NONE), h('span', { class: 'visually-hidden' }, t('unknown')));
}

function time(ms: number | null, zone: string): Node {
  return orNone(ms === null ? null : clockTime(ms, zone));
}

function cell(label: Key, value: Node): HTMLElement {
  return h('td', { role: 'cell', class: 'time', 'data-label': t(label) }, value);
}

/** Nearer than this is "there": a metre more or less at a visited stop tells nobody anything. */
const AWAY_MIN_M = 50;

function tableRow(row: StopRow, zone: string): HTMLTableRowElement {
  const away = row.distanceM === null || row.distanceM < AWAY_MIN_M ? null : h('div', { class: 'small muted' }, t('stop.distance', { distance: distance(row.distanceM) }));
  const order = row.actualNumber === null ? null : h('div', { class: 'small order' }, t('stop.order', { n: row.actualNumber }));
  return h(
    'tr',
    // Roles are named since the cards of small screens take the table's display, and with it its meaning.
    { role: 'row', 'data-testid': 'stop-row', 'data-stop-id': row.stopId, 'data-status': row.status },
    h('td', { role: 'cell', class: 'number' }, String(row.number)),
    h('th', { role: 'rowheader', scope: 'row' }, row.name, away, order),
    cell('stop.planned', time(row.plannedMs, zone)),
    cell('stop.actual', time(row.arrivedMs, zone)),
    cell('stop.difference', orNone(differenceWord(row.difference))),
    h('td', { role: 'cell' }, h('span', { class: 'status' }, statusIcon(row.status), statusWord(row.status))),
  );
}

export function stopTable(rows: readonly StopRow[], zone: string): HTMLElement {
  const heads = (['stop.number', 'stop.name', 'stop.planned', 'stop.actual', 'stop.difference', 'stop.status'] as const).map((key) => h('th', { role: 'columnheader', scope: 'col' }, t(key)));
  const table = h(
    'table',
    { role: 'table', class: 'stops', 'data-testid': 'stop-table' },
    h('caption', { class: 'visually-hidden' }, t('route.stops')),
    h('thead', { role: 'rowgroup' }, h('tr', { role: 'row' }, ...heads)),
    h('tbody', { role: 'rowgroup' }, ...rows.map((row) => tableRow(row, zone))),
  );
  // Scrolls inside its own named region where a narrow screen or large text needs it.
  return h('div', { class: 'table-scroll', role: 'region', tabindex: 0, 'aria-label': t('route.stops') }, table);
}
