// The typed client of /v1. Texts shown to people are chosen by `code` (core/text.ts), never here.

import type {
  CompanyRef,
  DriverView,
  ErasureRequest,
  ErasureStarted,
  LiveSnapshot,
  Page,
  PlanFactReport,
  Problem,
  RouteSummary,
  RouteView,
  SessionView,
} from './wire.ts';

const TIMEOUT_MS = 20_000;

export class ApiError extends Error {
  override readonly name = 'ApiError';
  /** 0 when no answer came at all. */
  readonly status: number;
  readonly code: string;
  readonly problem: Problem;

  constructor(status: number, problem: Problem) {
    super(problem.title ?? `HTTP ${status}`);
    this.status = status;
    this.code = problem.code ?? (status === 0 ? 'no-connection' : `http-${status}`);
    this.problem = problem;
  }

  get companies(): CompanyRef[] {
    return this.problem.companies ?? [];
  }
}

export function isAbort(error: unknown): boolean {
  return error instanceof DOMException && error.name === 'AbortError';
}

export function asApiError(error: unknown): ApiError {
  return error instanceof ApiError ? error : new ApiError(0, {});
}

interface Call {
  body?: unknown;
  signal?: AbortSignal | undefined;
}

async function problemOf(answer: Response): Promise<Problem> {
  try {
    const body: unknown = await answer.json();
    return typeof body === 'object' && body !== null ? body : {};
  } catch {
    return {};
  }
}

export class Api {
  /** Called when a session that was there is not there any more. */
  onSessionLost: () => void = () => undefined;

  login(login: string, password: string, companyId: string | null): Promise<SessionView> {
    const body = { login, password, transport: 'cookie', ...(companyId === null ? {} : { company_id: companyId }) };
    return this.#send('POST', '/v1/session', { body });
  }

  session(): Promise<SessionView> {
    return this.#send('GET', '/v1/session', {});
  }

  async logout(): Promise<void> {
    await this.#send('DELETE', '/v1/session', {});
  }

  live(signal?: AbortSignal): Promise<LiveSnapshot> {
    return this.#get('/v1/live', signal);
  }

  driver(driverId: string, signal?: AbortSignal): Promise<DriverView> {
    return this.#get(`/v1/drivers/${encodeURIComponent(driverId)}`, signal);
  }

  routes(driverId: string, date: string, signal?: AbortSignal): Promise<Page<RouteSummary>> {
    const query = new URLSearchParams({ driver_id: driverId, date });
    return this.#get(`/v1/routes?${query.toString()}`, signal);
  }

  route(routeId: string, signal?: AbortSignal): Promise<RouteView> {
    return this.#get(`/v1/routes/${encodeURIComponent(routeId)}`, signal);
  }

  planFact(routeId: string, signal?: AbortSignal): Promise<PlanFactReport> {
    return this.#get(`/v1/routes/${encodeURIComponent(routeId)}/plan-fact`, signal);
  }

  requestErasure(driverId: string): Promise<ErasureStarted> {
    return this.#call('POST', '/v1/erasure-requests', { body: { driver_id: driverId, reason_code: 'left_company' } });
  }

  erasure(requestId: string, signal?: AbortSignal): Promise<ErasureRequest> {
    return this.#get(`/v1/erasure-requests/${encodeURIComponent(requestId)}`, signal);
  }

  erasures(state: string, signal?: AbortSignal): Promise<Page<ErasureRequest>> {
    return this.#get(`/v1/erasure-requests?${new URLSearchParams({ state }).toString()}`, signal);
  }

  #get<T>(path: string, signal: AbortSignal | undefined): Promise<T> {
    return this.#call('GET', path, { signal });
  }

  async #call<T>(method: string, path: string, call: Call): Promise<T> {
    try {
      return await this.#send<T>(method, path, call);
    } catch (error) {
      if (error instanceof ApiError && error.status === 401) {
        this.onSessionLost();
      }
      throw error;
    }
  }

  async #send<T>(method: string, path: string, { body, signal }: Call): Promise<T> {
    const headers: Record<string, string> = { Accept: 'application/json' };
    const init: RequestInit = { method, headers, credentials: 'same-origin', cache: 'no-store' };
    if (body !== undefined) {
      headers['Content-Type'] = 'application/json';
      init.body = JSON.stringify(body);
    }
    const timeout = AbortSignal.timeout(TIMEOUT_MS);
    init.signal = signal === undefined ? timeout : AbortSignal.any([signal, timeout]);
    let answer: Response;
    try {
      answer = await fetch(path, init);
    } catch (error) {
      if (isAbort(error)) {
        throw error;
      }
      throw new ApiError(0, {});
    }
    if (!answer.ok) {
      throw new ApiError(answer.status, await problemOf(answer));
    }
    // One unchecked step from the wire to its type: the server's own tests keep the two equal.
    return (answer.status === 204 ? undefined : await answer.json()) as T;
  }
}
