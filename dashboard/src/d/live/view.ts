// The live screen: list, map and details around one fleet. This module only connects them.

import type { ApiError } from '../../core/api.ts';
import { button, h, setAttr, setText } from '../../core/dom.ts';
import type { Context } from '../../core/session.ts';
import { Cleanup } from '../../core/store.ts';
import { reasonText, t } from '../../core/text.ts';
import { hashOf, readSelection, type Selection } from '../../core/url.ts';
import { failure, loading } from '../../ui/states.ts';
import { DriverPanel } from '../driver/view.ts';
import { openErase } from '../erase/view.ts';
import { Feed } from './feed.ts';
import { inOrder, type Shown } from './filter.ts';
import { Fleet, shownLink } from './fleet.ts';
import { Header } from './header.ts';
import { DriverList } from './list.ts';
import { MapPane } from './mapPane.ts';
import { openMembers } from './members.ts';

const TICK_MS = 1_000;
/** As long as the announcer keeps quiet: drivers that left in this time are told in one sentence. */
const TOLD_TOGETHER_MS = 30_000;

export function mountLive(el: HTMLElement, ctx: Context): { destroy: () => void } {
  const screen = new LiveScreen(el, ctx);
  return { destroy: () => { screen.cleanup.run(); } };
}

class LiveScreen {
  readonly cleanup = new Cleanup();
  readonly #ctx: Context;
  readonly #fleet = new Fleet();
  readonly #header: Header;
  readonly #list: DriverList;
  readonly #map: MapPane;
  readonly #feed: Feed;
  readonly #side = h('section', { class: 'side', 'aria-label': t('live.list'), 'data-testid': 'list-pane' });
  readonly #trouble = h('div', { class: 'trouble' });
  readonly #main: HTMLElement;
  readonly #tabs = new Map<'map' | 'list', HTMLButtonElement>();
  readonly #loading: ReturnType<typeof loading>;
  #panel: DriverPanel | null = null;
  #selection: Selection = readSelection(location.hash);
  #loaded = false;
  #frame = 0;
  #stopped = 0;
  #stoppedMs = -Infinity;

  constructor(el: HTMLElement, ctx: Context) {
    this.#ctx = ctx;
    this.#header = new Header(ctx, () => { this.#feed.retryNow(); });
    this.#list = new DriverList({
      onOpen: (driverId, byKey) => { this.#open({ driverId, routeId: null }, byKey); },
      onFilter: () => { this.#draw(); },
    });
    this.#map = new MapPane({
      onPick: (driverId) => { this.#open({ driverId, routeId: null }, false); },
      onMembers: (driverIds) => { this.#showMembers(driverIds); },
    });
    this.#loading = loading({ now: t('live.loading'), slow: t('live.loading_slow') }, 6, null);
    this.#list.node.hidden = true;
    this.#side.append(this.#trouble, this.#loading.node, this.#list.node);
    const title = h('h1', { class: 'visually-hidden', tabindex: -1 }, t('live.title'));
    const tabs = h('nav', { class: 'tabs', 'aria-label': t('live.views') }, this.#tab('map', t('live.tab_map')), this.#tab('list', t('live.tab_list')));
    this.#main = h('main', { class: 'live', id: 'main' }, title, this.#side, this.#map.node, tabs);
    el.append(...this.#skipLinks(), this.#header.node, this.#header.bar, this.#main);
    document.title = `${t('live.title')} – ${ctx.session.company.name} – ${t('app.name')}`;
    this.#setView('map');
    this.#feed = this.#startFeed();
    this.#listen();
    title.focus();
  }

  #startFeed(): Feed {
    const { api, clock } = this.#ctx;
    return new Feed({
      api,
      clock,
      fleet: this.#fleet,
      onChange: () => { this.#drawSoon(); },
      onRemoval: (driverId) => { this.#removed(driverId); },
      onUndriven: (driverId) => { this.#dropTrack(driverId); },
      onStream: (state) => {
        this.#header.setStream(state);
        this.#drawSoon();
      },
      onSnapshot: (error) => { this.#snapshot(error); },
      onSessionLost: () => { api.onSessionLost(); },
    });
  }

  #listen(): void {
    this.cleanup.every(TICK_MS, () => { this.#tick(); });
    this.cleanup.listen(window, 'hashchange', () => {
      const wanted = readSelection(location.hash);
      if (hashOf(wanted) !== hashOf(this.#selection)) {
        this.#open(wanted, false);
        this.#setView('map');
      }
    });
    this.cleanup.listen(this.#main, 'keydown', (event) => {
      if (event instanceof KeyboardEvent) {
        this.#key(event);
      }
    });
    this.cleanup.add(() => {
      cancelAnimationFrame(this.#frame);
      this.#loading.stop();
      this.#feed.close();
      this.#panel?.destroy();
      this.#map.destroy();
      this.#fleet.drivers.clear();
    });
  }

  #skipLinks(): HTMLElement[] {
    const link = (words: string, act: () => void): HTMLElement => {
      const node = h('a', { class: 'skip', href: '#main' }, words);
      node.addEventListener('click', (event) => {
        event.preventDefault();
        act();
      });
      return node;
    };
    const toList = link(t('skip.list'), () => {
      this.#setView('list');
      this.#list.focus();
    });
    return [toList, link(t('skip.past_map'), () => { (this.#panel ?? this.#list).focus(); })];
  }

  #tab(view: 'map' | 'list', words: string): HTMLButtonElement {
    const node = button(words, () => { this.#setView(view); }, { class: 'tab', 'data-testid': `tab-${view}` });
    this.#tabs.set(view, node);
    return node;
  }

  /** Only small screens show one at a time; the style sheet decides. */
  #setView(view: 'map' | 'list'): void {
    setAttr(this.#main, 'data-view', view);
    for (const [name, tab] of this.#tabs) {
      setAttr(tab, 'aria-current', name === view ? 'true' : null);
    }
  }

  #snapshot(error: ApiError | null): void {
    if (error === null) {
      this.#loading.stop();
      this.#loaded = true;
      this.#list.node.hidden = false;
      this.#trouble.replaceChildren();
    } else if (this.#trouble.childElementCount === 0) {
      this.#loading.stop();
      this.#trouble.replaceChildren(failure(t('live.error', { reason: reasonText(error) }), () => void this.#feed.load()));
    }
    this.#list.node.classList.toggle('dimmed', error !== null);
    this.#draw();
    if (this.#loaded && this.#panel === null && this.#selection.driverId !== null) {
      this.#open(this.#selection, false);
    }
  }

  /** A position must go now: drawn at once, not with the next frame (a hidden page has none). */
  #removed(driverId: string): void {
    const nowMs = performance.now();
    if (nowMs - this.#stoppedMs > TOLD_TOGETHER_MS) {
      this.#stopped = 0;
      this.#stoppedMs = nowMs;
    }
    this.#stopped += 1;
    this.#ctx.announcer.say(t(this.#stopped === 1 ? 'say.stopped' : 'say.stopped_many', { n: this.#stopped }));
    this.#dropTrack(driverId);
    this.#draw();
  }

  #dropTrack(driverId: string | null): void {
    if (driverId === null || driverId === this.#selection.driverId) {
      this.#panel?.dropTrack();
    }
  }

  #tick(): void {
    const now = this.#ctx.clock.now();
    this.#header.tick();
    const expired = now !== null && this.#fleet.expire(now);
    // While the stream is open only what it brings changes the map; ages alone change the list.
    this.#draw(expired || !this.#header.connected);
  }

  #drawSoon(): void {
    cancelAnimationFrame(this.#frame);
    this.#frame = requestAnimationFrame(() => { this.#draw(); });
  }

  #rows(): Shown[] {
    const now = this.#ctx.clock.now();
    const { connected } = this.#header;
    return inOrder([...this.#fleet.drivers.values()].map((driver) => ({ driver, link: shownLink(driver, now, connected) })));
  }

  #draw(withMap = true): void {
    if (!this.#loaded) {
      return;
    }
    const now = this.#ctx.clock.now();
    const rows = this.#rows();
    const shown = this.#list.update(rows, now);
    const { driverId } = this.#selection;
    const selected = rows.find(({ driver }) => driver.driverId === driverId);
    if (withMap) {
      // The selected driver stays on the map whatever the filter says: their details are open.
      const onMap = selected === undefined || shown.includes(selected) ? shown : [...shown, selected];
      this.#map.setFleet(onMap, driverId);
    }
    if (selected !== undefined) {
      this.#panel?.update(selected, now);
    } else if (this.#panel !== null) {
      this.#close();
    }
  }

  #open(selection: Selection, focus: boolean): void {
    const { driverId, routeId } = selection;
    if (driverId === null || !this.#fleet.drivers.has(driverId)) {
      this.#close();
      return;
    }
    this.#panel?.destroy();
    this.#select(selection);
    const panel = new DriverPanel({
      ctx: this.#ctx,
      driverId,
      routeId,
      onClose: () => { this.#close(); },
      onShowOnMap: () => { this.#showOnMap(driverId); },
      onDrawing: (drawing) => { this.#map.setRoute(drawing); },
      onFitRoute: () => {
        this.#setView('map');
        this.#map.setAim('route');
      },
      onDelete: (driver) => { this.#delete(driver); },
    });
    this.#panel = panel;
    this.#main.insertBefore(panel.node, this.#map.node.nextSibling);
    this.#setDetails(true);
    this.#setView('list');
    this.#map.setAim('route');
    this.#draw();
    // Where the list is covered by the details, its focus would be lost.
    if (focus || this.#side.offsetParent === null) {
      panel.focus();
    }
  }

  #setDetails(open: boolean): void {
    setAttr(this.#main, 'data-details', open ? 'open' : null);
    const tab = this.#tabs.get('list');
    if (tab !== undefined) {
      setText(tab, t(open ? 'live.tab_details' : 'live.tab_list'));
    }
  }

  #select(selection: Selection): void {
    this.#selection = selection;
    this.#list.select(selection.driverId);
    history.replaceState(null, '', location.pathname + location.search + hashOf(selection));
  }

  #close(): void {
    const hadFocus = this.#panel?.node.contains(document.activeElement) ?? false;
    if (this.#panel !== null) {
      // A route that is still loading must not move the map any more.
      this.#map.setAim(null);
      this.#panel.destroy();
      this.#panel = null;
    }
    this.#setDetails(false);
    this.#select({ driverId: null, routeId: null });
    this.#draw();
    if (hadFocus) {
      this.#list.focus();
    }
  }

  #showOnMap(driverId: string): void {
    const position = this.#fleet.drivers.get(driverId)?.position ?? null;
    if (position !== null) {
      this.#setView('map');
      this.#map.centreOn(position);
    }
  }

  #showMembers(driverIds: readonly string[]): void {
    const wanted = new Set(driverIds);
    const rows = this.#rows().filter(({ driver }) => wanted.has(driver.driverId));
    openMembers(rows, this.#ctx.clock.now(), {
      onOpen: (driverId) => { this.#open({ driverId, routeId: null }, true); },
      fallbackFocus: () => { this.#list.focus(); },
    });
  }

  #delete(driver: { driverId: string; name: string; running: boolean }): void {
    const { driverId } = driver;
    openErase({
      ctx: this.#ctx,
      driver,
      fallbackFocus: () => { this.#list.focus(); },
      onStarted: () => {
        this.#panel?.reload();
        void this.#feed.load();
      },
      onErasing: (state) => {
        this.#fleet.erasure({ driver_id: driverId, state });
        this.#draw();
      },
    });
  }

  #key(event: KeyboardEvent): void {
    const field = event.target instanceof HTMLInputElement;
    if (event.key === 'Escape' && this.#panel !== null) {
      this.#close();
      this.#list.focus();
    } else if (event.key === '/' && !field && !event.ctrlKey && !event.metaKey && !event.altKey) {
      event.preventDefault();
      this.#list.focusSearch();
    }
  }
}
