// The route of today in the details: plan and fact, refreshed while open. The driven line is held only here
// and on the map, and both are emptied the moment the driver stops sharing.

import { type ApiError, asApiError, isAbort } from '../../core/api.ts';
import { h, setText } from '../../core/dom.ts';
import { clockTime, distance, isoDate, parseMs } from '../../core/fmt.ts';
import type { Context } from '../../core/session.ts';
import { reasonText, t } from '../../core/text.ts';
import { hashOf } from '../../core/url.ts';
import type { PlanFactReport, RouteSummary, RouteView } from '../../core/wire.ts';
import type { Line, RouteDrawing } from '../../map/features.ts';
import { lonLat } from '../../map/features.ts';
import { empty, failure, loading, type Loading } from '../../ui/states.ts';
import { countStatus, type StopRow, stopRows } from './model.ts';
import { stopTable } from './stops.ts';

export interface RouteOptions {
  ctx: Context;
  driverId: string;
  routeId: string | null;
  onDrawing: (drawing: RouteDrawing | null) => void;
  /** The person asked to see the route on the map. */
  onFit: () => void;
}

const REFRESH_MS = 10_000;

export class RoutePart {
  readonly node = h('section', { class: 'route', 'aria-labelledby': 'route-title' });
  readonly #options: RouteOptions;
  readonly #title = h('h3', { id: 'route-title' }, t('route.title'));
  readonly #links = h('ul', { class: 'route-links' });
  readonly #notice = h('div');
  readonly #content = h('div', { class: 'route-content' });
  readonly #timer: ReturnType<typeof setInterval>;
  #loading: Loading | null = null;
  #abort = new AbortController();
  #busy = false;
  #routes: RouteSummary[] = [];
  #route: RouteView | null = null;
  #report: PlanFactReport | null = null;

  constructor(options: RouteOptions) {
    this.#options = options;
    this.node.append(this.#title, this.#links, this.#notice, this.#content);
    this.#timer = setInterval(() => {
      if (this.#route !== null && !document.hidden) {
        void this.#load();
      }
    }, REFRESH_MS);
    void this.#load();
  }

  /** The driver stopped sharing: what was driven leaves screen and memory before anything is asked again. */
  dropTrack(): void {
    this.#abort.abort();
    this.#abort = new AbortController();
    this.#busy = false;
    this.#report = null;
    if (this.#route !== null) {
      this.#draw(this.#route, null);
      void this.#load();
    }
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

  #showLoading(): void {
    if (this.#route === null && this.#loading === null) {
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
    if (this.#route === null) {
      const date = isoDate(nowMs, ctx.session.company.time_zone);
      this.#routes = (await ctx.api.routes(driverId, date, signal)).items;
      setText(this.#title, t('route.today', { date }));
      const chosen = this.#routes.find(({ route_id: id }) => id === this.#options.routeId) ?? this.#routes[0];
      if (chosen === undefined) {
        this.#content.replaceChildren(empty(t('route.none'), t('route.none_lead')));
        return;
      }
      this.#drawLinks(chosen.route_id);
      const route = await ctx.api.route(chosen.route_id, signal);
      this.#route = route;
      // The plan is worth seeing while the comparison is still computed.
      this.#draw(route, null);
    }
    let route = this.#route;
    const report = await ctx.api.planFact(route.route_id, signal);
    if (report.plan_version !== route.plan_version) {
      route = await ctx.api.route(route.route_id, signal);
    }
    this.#route = route;
    this.#report = report;
    this.#draw(route, report);
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
      return [h('div', { class: 'notice', 'data-testid': 'not-shared' }, h('strong', {}, t('route.not_shared')), h('p', {}, t('route.not_shared_lead')))];
    }
    return [h('p', { class: 'notice' }, t('route.no_positions'))];
  }

  #drawLinks(currentId: string): void {
    const items = this.#routes.map((route) => {
      const current = route.route_id === currentId;
      const href = hashOf({ driverId: this.#options.driverId, routeId: route.route_id });
      const link = h('a', { href, 'aria-current': current ? 'true' : null, 'data-testid': 'route-link', title: t('route.fit') }, route.name);
      if (current) {
        link.addEventListener('click', (event) => {
          event.preventDefault();
          this.#options.onFit();
        });
      }
      return h('li', {}, link);
    });
    this.#links.replaceChildren(...items);
  }

  #draw(route: RouteView, report: PlanFactReport | null): void {
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
  const visited = countStatus(rows, 'visited');
  return h(
    'dl',
    { class: 'figures', 'data-testid': 'totals' },
    figure(t('route.distance'), part(planned, t('route.plan')), part(actual, t('route.fact'))),
    figure(t('route.visited'), t('route.visited_value', { n: visited, all: rows.length })),
    figure(t('route.missed'), String(countStatus(rows, 'missed'))),
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
