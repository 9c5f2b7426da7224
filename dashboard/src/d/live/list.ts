// The list of drivers: the equivalent of the map in words. A listbox with one focus stop; arrows move, Enter
// opens. Rows are kept and changed in place, so that neither the eye nor a screen reader loses its place.

import { button, h, patchList, setAttr, setText } from '../../core/dom.ts';
import { type Key, t } from '../../core/text.ts';
import type { LinkState } from '../../core/wire.ts';
import { empty } from '../../ui/states.ts';
import { type Shape, shapeIcon, shapeOf } from '../../ui/shapes.ts';
import { countByLink, type Filter, matches, NO_FILTER, type Shown } from './filter.ts';
import { ageWord, stateWord, vehicleWord } from './words.ts';

export interface ListOptions {
  /** `byKey` tells whether focus should follow into the details. */
  onOpen: (driverId: string, byKey: boolean) => void;
  onFilter: () => void;
}

const FILTERS: readonly (readonly [LinkState | null, Key])[] = [
  [null, 'filter.all'],
  ['live', 'filter.live'],
  ['stale', 'filter.stale'],
  ['lost', 'filter.lost'],
  ['not_shared', 'filter.not_shared'],
  ['off_shift', 'filter.off_shift'],
];

interface Row extends HTMLLIElement {
  parts: { shape: Shape | null; icon: HTMLElement; name: HTMLElement; state: HTMLElement; vehicle: HTMLElement; age: HTMLElement };
}

export class DriverList {
  readonly node: HTMLElement;
  filter: Filter = NO_FILTER;
  readonly #options: ListOptions;
  readonly #search = h('input', { type: 'search', id: 'driver-search', placeholder: t('live.search'), 'aria-label': t('live.search'), autocomplete: 'off' });
  readonly #chips = new Map<LinkState | null, { node: HTMLButtonElement; count: HTMLElement }>();
  readonly #count = h('span', { class: 'muted' });
  readonly #list = h('ul', { class: 'rows', role: 'listbox', tabindex: 0, id: 'driver-list', 'aria-label': t('live.list'), 'data-testid': 'driver-list' });
  readonly #noMatchWords = h('p', { class: 'state-title' });
  readonly #noMatch: HTMLElement;
  readonly #tools: HTMLElement;
  readonly #keys = h('p', { class: 'keys muted', 'aria-hidden': 'true' }, t('live.keys'));
  readonly #empty = empty(t('live.empty'), t('live.empty_lead'));
  readonly #rows = new Map<string, Row>();
  #shown: readonly Shown[] = [];
  #activeId: string | null = null;
  #selectedId: string | null = null;

  constructor(options: ListOptions) {
    this.#options = options;
    const clear = button(t('live.clear'), () => { this.#setFilter(NO_FILTER); this.#search.value = ''; this.focus(); });
    this.#noMatch = h('div', { class: 'state state-empty', hidden: true, role: 'status' }, this.#noMatchWords, clear);
    const chips = h('div', { class: 'chips', role: 'group', 'aria-label': t('live.filters') }, ...FILTERS.map(([link, key]) => this.#chip(link, key)));
    const head = h('div', { class: 'list-head' }, h('h2', {}, t('live.list')), this.#count);
    this.#tools = h('div', { class: 'list-tools' }, this.#search, chips);
    this.node = h('div', { class: 'list' }, head, this.#tools, this.#noMatch, this.#empty, this.#list, this.#keys);
    this.#search.addEventListener('input', () => { this.#setFilter({ ...this.filter, search: this.#search.value }); });
    this.#list.addEventListener('keydown', (event) => { this.#key(event); });
    this.#list.addEventListener('focus', () => {
      // Not for a pointer: scrolling between its press and its release would move the row away from under it.
      if (this.#list.matches(':focus-visible')) {
        this.#setActive(this.#activeId ?? this.#selectedId ?? this.#shown[0]?.driver.driverId ?? null);
      }
    });
    this.#list.addEventListener('click', (event) => {
      const row = event.target instanceof Element ? event.target.closest<HTMLElement>('[data-driver-id]') : null;
      const id = row?.dataset['driverId'];
      if (id !== undefined) {
        this.#setActive(id);
        options.onOpen(id, false);
      }
    });
  }

  focus(): void {
    this.#list.focus();
  }

  focusSearch(): void {
    this.#search.focus();
  }

  select(driverId: string | null): void {
    this.#selectedId = driverId;
    this.#activeId = driverId ?? this.#activeId;
    for (const [id, row] of this.#rows) {
      setAttr(row, 'aria-selected', id === driverId ? 'true' : 'false');
    }
    this.#setActive(this.#activeId);
  }

  /** Draws the rows that pass the filter and gives them back for the map. */
  update(all: readonly Shown[], nowMs: number | null): readonly Shown[] {
    const counts = countByLink(all);
    for (const [link, chip] of this.#chips) {
      setText(chip.count, String(link === null ? all.length : (counts.get(link) ?? 0)));
    }
    this.#shown = all.filter((row) => matches(row, this.filter));
    const filtered = { shown: this.#shown.length, all: all.length };
    setText(this.#count, t('live.count', filtered));
    const none = all.length === 0;
    this.#empty.hidden = !none;
    // Nothing to search, to filter or to count.
    this.#tools.hidden = this.#keys.hidden = this.#count.hidden = none;
    this.#noMatch.hidden = none || this.#shown.length > 0;
    this.#list.hidden = this.#shown.length === 0;
    setText(this.#noMatchWords, t('live.no_match', filtered));
    patchList(this.#list, this.#rows, this.#shown, {
      key: ({ driver }) => driver.driverId,
      create: ({ driver }) => this.#create(driver.driverId),
      update: (row, shown, index) => { this.#update(row, shown, index, nowMs); },
    });
    if (this.#activeId !== null && !this.#rows.has(this.#activeId)) {
      this.#setActive(null);
    }
    return this.#shown;
  }

  #chip(link: LinkState | null, key: Key): HTMLButtonElement {
    const count = h('span', { class: 'chip-count' });
    const node = h('button', { type: 'button', class: 'chip', 'aria-pressed': link === null ? 'true' : 'false', 'data-filter': link ?? 'all' }, `${t(key)} `, count);
    node.addEventListener('click', () => { this.#setFilter({ ...this.filter, link }); });
    this.#chips.set(link, { node, count });
    return node;
  }

  #setFilter(filter: Filter): void {
    this.filter = filter;
    for (const [link, { node }] of this.#chips) {
      setAttr(node, 'aria-pressed', link === filter.link ? 'true' : 'false');
    }
    this.#options.onFilter();
  }

  #create(driverId: string): Row {
    const parts: Row['parts'] = {
      shape: null,
      icon: h('span', { class: 'row-icon' }),
      name: h('span', { class: 'row-name' }),
      state: h('span', { class: 'row-state' }),
      vehicle: h('span', { class: 'row-vehicle' }),
      age: h('span', { class: 'row-age' }),
    };
    const row = h('li', { class: 'row', role: 'option', id: `driver-${driverId}`, 'data-testid': 'driver-row', 'data-driver-id': driverId, 'aria-selected': driverId === this.#selectedId ? 'true' : 'false' });
    row.append(parts.icon, parts.name, parts.age, h('span', { class: 'row-more' }, parts.state, parts.vehicle));
    return Object.assign(row, { parts });
  }

  #update(row: Row, { driver, link }: Shown, index: number, nowMs: number | null): void {
    const { parts } = row;
    const shape = shapeOf(link, driver.work);
    if (parts.shape !== shape) {
      parts.shape = shape;
      parts.icon.replaceChildren(shapeIcon(shape));
    }
    setText(parts.name, driver.name);
    setText(parts.state, stateWord(link, driver.work));
    setText(parts.vehicle, vehicleWord(driver));
    setText(parts.age, ageWord(driver, nowMs));
    setAttr(row, 'data-link', link);
    setAttr(row, 'aria-posinset', index + 1);
    setAttr(row, 'aria-setsize', this.#shown.length);
  }

  #setActive(driverId: string | null): void {
    const row = driverId === null ? undefined : this.#rows.get(driverId);
    if (this.#activeId !== null) {
      this.#rows.get(this.#activeId)?.classList.remove('active');
    }
    this.#activeId = row === undefined ? null : driverId;
    setAttr(this.#list, 'aria-activedescendant', row?.id ?? null);
    row?.classList.add('active');
    row?.scrollIntoView({ block: 'nearest' });
  }

  #key(event: KeyboardEvent): void {
    const last = this.#shown.length - 1;
    const at = this.#shown.findIndex(({ driver }) => driver.driverId === this.#activeId);
    const goal: Record<string, number> = { ArrowDown: at + 1, ArrowUp: Math.max(at, 0) - 1, Home: 0, End: last, PageDown: at + 8, PageUp: at - 8 };
    if (event.key === 'Enter' || event.key === ' ') {
      if (this.#activeId !== null) {
        this.#options.onOpen(this.#activeId, true);
      }
    } else if (event.key in goal) {
      const index = Math.min(Math.max(goal[event.key] ?? 0, 0), last);
      this.#setActive(this.#shown[index]?.driver.driverId ?? null);
    } else {
      return;
    }
    event.preventDefault();
  }
}
