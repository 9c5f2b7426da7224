// The route of today in the details: plan and fact, refreshed while open. The driven line is held only here
// and on the map, and both are emptied the moment the driver stops sharing.

import { type ApiError, asApiError, isAbort } from '../../core/api.ts';
import { button, h, setText } from '../../core/dom.ts';
import { clockTime, dayOf, distance, isoDate, parseMs } from '../../core/fmt.ts';
import type { Context } from '../../core/session.ts';
import { reasonText, t } from '../../core/text.ts';
import { hashOf } from '../../core/url.ts';
import type { PlanFactReport, RouteSummary, RouteView } from '../../core/wire.ts';
import type { Line, RouteDrawing } from '../../map/features.ts';
import { lonLat } from '../../map/features.ts';
import { empty, failure, loading, type Loading } from '../../ui/states.ts';
import { countStatus, type StopRow, stopRows } from './model.ts';
import { orNone, stopTable } from './stops.ts';

export interface RouteOptions {
  ctx: Context;
  driverId: string;
  /** The route the person asked for; null for the one being driven. */
  routeId: string | null;
  /** Null while nothing is known; a drawing without lines where there is no route. */
  onDrawing: (drawing: RouteDrawing | null) => void;
  /** The person asked to see the route on the map. */
  onFit: () => void;
}

const TICK_MS = 4_000;
/** Without a new position there is little to compare anew. */
const QUIET_REFRESH_MS = 20_000;
const NO_DRAWING: RouteDrawing = { plan: [], fact: [], deviations: [], stops: [] };

export class RoutePart {
  readonly node = h('section', { class: 'route', 'aria-labelledby': 'route-title' });
  readonly #options: RouteOptions;
  readonly #title = h('h3', { id: 'route-title' }, t('route.title'));
  readonly #links = h('div');
  readonly #fit: HTMLButtonElement;
  readonly #notice = h('div');
  readonly #content = h('div', { class: 'route-content' });
  readonly #timer: ReturnType<typeof setInterval>;
  #loading: Loading | null = null;
  #abort = new AbortController();
  #busy = false;
  #loadedMs = -Infinity;
  /** What the live feed says is being driven, and the time of the last position. */
  #live: { routeId: string | null; fixMs: number | null } = { routeId: null, fixMs: null };
  #moved = false;
  #routes: RouteSummary[] | null = null;
  #route: RouteView | null = null;
  #report: PlanFactReport | null = null;

  constructor(options: RouteOptions) {
    this.#options = options;
    this.#fit = button(t('route.fit'), options.onFit, { hidden: true, 'data-testid': 'fit-route' });
    this.node.append(h('div', { class: 'route-head' }, this.#title, this.#fit), this.#links, this.#notice, this.#content);
    this.#timer = setInterval(() => { this.#tick(); }, TICK_MS);
    void this.#load();
  }

  /** Told with every tick: another route than the one on screen may have begun. */
  follow(routeId: string | null, fixMs: number | null): void {
    const other = routeId !== null && routeId !== this.#live.routeId;
    this.#moved ||= fixMs !== null && fixMs !== this.#live.fixMs;
    // A shift that ended names no route any more; what was driven stays on screen.
    this.#live = { routeId: routeId ?? this.#live.routeId, fixMs };
    if (other && this.#options.routeId === null && this.#routes !== null && this.#route?.route_id !== routeId) {
      this.#restart();
    }
  }

  /** The driver stopped sharing: what was driven leaves screen and memory before anything is asked again. */
  dropTrack(): void {
    this.#abort.abort();
    this.#abort = new AbortController();
    this.#busy = false;
    this.#report = null;
    if (this.#route !== null) {
      this.#draw(this.#route, null);
    }
    void this.#load();
  }

  destroy(): void {
    clearInterval(this.#timer);
    this.#loading?.stop();
    this.#abort.abort();
    this.#options.onDrawing(null);
  }

  async #load(): Promise<void> {
    if (this.#busy) {
      return;
    }
    this.#busy = true;
    this.#moved = false;
    this.#loadedMs = performance.now();
    const { signal } = this.#abort;
    this.#showLoading();
    try {
      await this.#fetch(signal);
      this.#content.classList.remove('dimmed');
      this.#notice.replaceChildren(...this.#noticeOf(this.#report));
    } catch (error) {
      if (signal.aborted && isAbort(error)) {
        return;
      }
      this.#failed(asApiError(error));
    } finally {
      if (!signal.aborted) {
        this.#busy = false;
        this.#loading?.stop();
        this.#loading = null;
      }
    }
  }

  #tick(): void {
    const due = performance.now() - this.#loadedMs > QUIET_REFRESH_MS;
    const moved = this.#moved && this.#route?.route_id === this.#live.routeId;
    if (!document.hidden && this.#routes !== null && (due || moved)) {
      void this.#load();
    }
  }

  #restart(): void {
    this.#abort.abort();
    this.#abort = new AbortController();
    this.#busy = false;
    this.#routes = this.#route = this.#report = null;
    this.#links.replaceChildren();
    this.#content.replaceChildren();
    this.#fit.hidden = true;
    this.#options.onDrawing(null);
    void this.#load();
  }

  #showLoading(): void {
    if (this.#routes === null && this.#loading === null) {
      this.#notice.replaceChildren();
      this.#loading = loading({ now: t('route.loading'), slow: t('route.loading_slow') }, 3, () => { this.#cancel(); });
      this.node.append(this.#loading.node);
    }
  }

  #cancel(): void {
    this.#abort.abort();
    this.#abort = new AbortController();
    this.#busy = false;
    this.#loading?.stop();
    this.#loading = null;
    this.#notice.replaceChildren(failure(t('driver.cancelled'), () => void this.#load()));
  }

  async #fetch(signal: AbortSignal): Promise<void> {
    const { ctx, driverId } = this.#options;
    const nowMs = ctx.clock.now();
    if (nowMs === null) {
      throw new Error('details are opened from a list, and the list brings the server time');
    }
    const today = isoDate(nowMs, ctx.session.company.time_zone);
    let route = this.#route;
    if (route === null) {
      const routes = (await ctx.api.routes(driverId, today, signal)).items;
      this.#routes = routes;
      const chosen = this.#chosen(routes);
      if (chosen === null) {
        this.#content.replaceChildren(empty(t('route.none'), t('route.none_lead')));
        this.#options.onDrawing(NO_DRAWING);
        return;
      }
      route = await ctx.api.route(chosen, signal);
      this.#route = route;
      this.#drawLinks(route);
      // The plan is worth seeing while the comparison is still computed.
      this.#draw(route, null);
    }
    // Told anew each time: a night shift's route turns into yesterday's.
    setText(this.#title, route.date === today ? t('route.title') : t('route.other_day', { date: dayOf(route.date) }));
    const report = await ctx.api.planFact(route.route_id, signal);
    if (report.plan_version !== route.plan_version) {
      route = await ctx.api.route(route.route_id, signal);
    }
    this.#route = route;
    this.#report = report;
    this.#draw(route, report);
  }

  /** The route asked for, else the one being driven (begun yesterday perhaps), else the newest of today. */
  #chosen(routes: readonly RouteSummary[]): string | null {
    const asked = routes.find(({ route_id: id }) => id === this.#options.routeId);
    return asked?.route_id ?? this.#live.routeId ?? routes[0]?.route_id ?? null;
  }

  #failed(error: ApiError): void {
    // Old figures stay readable, but look old.
    this.#content.classList.add('dimmed');
    this.#notice.replaceChildren(failure(t('route.error', { reason: reasonText(error) }), () => void this.#load()));
  }

  #noticeOf(report: PlanFactReport | null): Node[] {
    if (report === null || report.availability === 'full') {
      return [];
    }
    if (report.availability === 'not_shared') {
      return [h('p', { class: 'notice', 'data-testid': 'not-shared' }, t('route.not_shared'))];
    }
    return [h('p', { class: 'notice' }, t('route.no_positions'))];
  }

  #drawLinks(shown: RouteSummary): void {
    const zone = this.#options.ctx.session.company.time_zone;
    const routes = this.#routes ?? [];
    const all = routes.some(({ route_id: id }) => id === shown.route_id) ? routes : [shown, ...routes];
    const link = (route: RouteSummary): HTMLElement => {
      const current = route.route_id === shown.route_id;
      const href = hashOf({ driverId: this.#options.driverId, routeId: route.route_id });
      const anchor = h('a', { href, 'aria-current': current ? 'true' : null, 'data-testid': 'route-link' }, route.name);
      if (current) {
        anchor.addEventListener('click', (event) => {
          event.preventDefault();
          this.#options.onFit();
        });
      }
      // A driver may have the same round several times a day: its planned times tell which.
      const [from, to] = [parseMs(route.starts_at), parseMs(route.ends_at)];
      const times = from === null || to === null ? '' : t('route.times', { from: clockTime(from, zone), to: clockTime(to, zone) });
      return h('p', {}, anchor, ' ', h('span', { class: 'muted route-times' }, times));
    };
    const others = all.filter(({ route_id: id }) => id !== shown.route_id);
    const list = h('ul', { class: 'route-links' }, ...others.map((route) => h('li', {}, link(route))));
    const more = h('details', { class: 'route-others' }, h('summary', {}, t('route.others', { n: others.length })), list);
    this.#links.replaceChildren(link(shown), ...(others.length === 0 ? [] : [more]));
  }

  #draw(route: RouteView, report: PlanFactReport | null): void {
    this.#fit.hidden = false;
    const zone = report?.display_time_zone ?? this.#options.ctx.session.company.time_zone;
    const rows = stopRows(route, report);
    const scrolled = this.#content.querySelector('.table-scroll')?.scrollLeft ?? 0;
    const hadFocus = this.#content.contains(document.activeElement);
    this.#content.replaceChildren(figures(route, report, rows), stopTable(rows, zone), footer(report, zone));
    const region = this.#content.querySelector<HTMLElement>('.table-scroll');
    if (region !== null) {
      region.scrollLeft = scrolled;
      if (hadFocus) {
        region.focus({ preventScroll: true });
      }
    }
    this.#options.onDrawing(drawingOf(route, report, rows));
  }
}

function figure(label: string, ...values: (Node | string | null)[]): HTMLElement {
  return h('div', { class: 'figure' }, h('dt', {}, label), h('dd', {}, ...values));
}

function figures(route: RouteView, report: PlanFactReport | null, rows: readonly StopRow[]): HTMLElement {
  const planned = report?.totals?.planned_m ?? route.planned_m;
  const actual = report?.availability === 'full' ? report.totals?.actual_m : null;
  const part = (value: number | null | undefined, word: string): HTMLElement => h('span', { class: 'figure-part' }, distance(value), ' ', h('span', { class: 'figure-word' }, word));
  // What is not shared is not known; "0 visited" would be a statement about the driver.
  const known = report?.availability !== 'not_shared';
  const count = (value: string): Node => orNone(known ? value : null);
  return h(
    'dl',
    { class: 'figures', 'data-testid': 'totals' },
    figure(t('route.distance'), part(planned, t('route.plan')), part(actual, t('route.fact'))),
    figure(t('route.visited'), count(t('route.visited_value', { n: countStatus(rows, 'visited'), all: rows.length }))),
    figure(t('route.missed'), count(String(countStatus(rows, 'missed')))),
  );
}

function footer(report: PlanFactReport | null, zone: string): HTMLElement {
  const computed = parseMs(report?.computed_at);
  if (report === null || computed === null) {
    return h('p', { class: 'small muted' });
  }
  return h('p', { class: 'small muted' }, t('route.version', { n: report.plan_version, time: clockTime(computed, zone), zone }));
}

function drawingOf(route: RouteView, report: PlanFactReport | null, stops: readonly StopRow[]): RouteDrawing {
  const shared = report?.availability === 'full';
  const deviations = shared ? (report.deviations ?? []) : [];
  return {
    plan: route.line ?? stops.map(lonLat),
    fact: shared ? (report.fact?.segments ?? []).map(({ line }) => line) : [],
    deviations: deviations.flatMap(({ line }): Line[] => (line === null || line === undefined ? [] : [line])),
    stops,
  };
}
