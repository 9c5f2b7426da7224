// The wire types of /v1, written by hand from the contract until schema.d.ts is generated from
// /openapi.json. This is the one place; nothing else in the app spells a field of an answer's type.

export type LinkState = 'live' | 'stale' | 'lost' | 'not_shared' | 'off_shift';
export type WorkState = 'driving' | 'at_stop' | 'idle' | 'break';
export type Role = 'main_user' | 'dispatcher' | 'driver';
export type ConsentState =
  | 'not_asked'
  | 'requested'
  | 'given'
  | 'declined'
  | 'withdrawn'
  | 'expired'
  | 'superseded'
  | 'invalidated';
export type AccountState = 'invited' | 'active' | 'blocked' | 'offboarded' | 'grace' | 'erasing' | 'erased';

export interface CompanyRef {
  company_id: string;
  name: string;
}

export interface SessionView {
  token: string | null;
  expires_at: string;
  member: { member_id: string; name: string; role: Role; locale: string };
  company: CompanyRef & { time_zone: string };
}

export interface Page<T> {
  items: T[];
  next_cursor: string | null;
}

export interface Problem {
  type?: string;
  title?: string;
  status?: number;
  code?: string;
  detail?: string;
  fields?: { path: string; code: string; detail?: string }[];
  retry_after_s?: number;
  companies?: CompanyRef[];
}

export interface VehicleRef {
  name: string;
  plate: string;
}

export interface LiveDriver {
  driver_id: string;
  name: string;
  vehicle: VehicleRef | null;
  link: LinkState;
  work: WorkState | null;
  route_id: string | null;
  lat?: number | null;
  lon?: number | null;
  fix_at?: string | null;
  speed_mps?: number | null;
  heading_deg?: number | null;
  accuracy_m?: number | null;
  epoch: number;
}

export interface LiveSnapshot {
  server_now: string;
  drivers: LiveDriver[];
}

export type PosEntry = Omit<LiveDriver, 'name' | 'vehicle'>;

export interface HelloEvent {
  stream_id: string;
  server_now: string;
  heartbeat_s: number;
}

export interface PosEvent {
  server_now: string;
  drivers: PosEntry[];
}

export interface StateEvent {
  driver_id: string;
  link: LinkState;
  work: WorkState | null;
  route_id: string | null;
  epoch: number;
}

export interface GoneEvent {
  driver_id: string;
  epoch: number;
}

export interface UndrivenEvent {
  driver_id: string;
}

export interface ErasureEvent {
  driver_id: string;
  state: ErasureState;
}

export interface DriverView {
  driver_id: string;
  name: string;
  phone_masked: string | null;
  state: AccountState;
  locale: string;
  consents: Partial<
    Record<'location' | 'dispatch_tracking' | 'plan_fact' | 'customer_link', ConsentState>
  >;
  shift: 'off' | 'on' | 'paused';
  created_at: string;
}

export interface RouteSummary {
  route_id: string;
  name: string;
  date: string;
  driver_id: string | null;
  vehicle_id: string | null;
  starts_at: string;
  ends_at: string;
  stop_count: number;
  planned_m: number | null;
  plan_version: number;
}

export interface RouteStop {
  stop_id: string;
  seq: number;
  name: string;
  lat: number;
  lon: number;
  radius_m?: number;
  service_s?: number;
  planned_arrival?: string | null;
  window_start?: string | null;
  window_end?: string | null;
}

export interface RouteView extends RouteSummary {
  stops: RouteStop[];
  line: [number, number][] | null;
}

export type StopStatus = 'visited' | 'missed' | 'unknown' | 'pending';

export interface StopFact {
  stop_id: string;
  name: string;
  planned_sequence: number;
  actual_sequence: number | null;
  status: StopStatus;
  confidence: number | null;
  planned_arrival: string | null;
  window_start: string | null;
  window_end: string | null;
  arrived_at: string | null;
  departed_at: string | null;
  arrival_uncertainty_s: number | null;
  window_status: 'early' | 'on_time' | 'late' | 'none' | null;
  early_s: number | null;
  late_s: number | null;
  distance_m: number | null;
}

export interface PlanFactReport {
  route_id: string;
  plan_version: number;
  algorithm_version: string | number;
  computed_at: string;
  display_time_zone: string;
  availability: 'full' | 'no_positions' | 'not_shared';
  stops: StopFact[];
  unplanned?: { lat: number; lon: number; from: string; to: string; dwell_s: number }[];
  deviations?: { kind: string; from: string; to: string; length_m: number; max_m: number; line?: [number, number][] | null }[];
  totals?: { planned_m?: number | null; actual_m?: number | null };
  live?: {
    along_m: number | null;
    length_m: number;
    deviation_s: number | null;
    next_stop: number | null;
    eta: { planned_sequence: number; p10_at: string; p50_at: string; p90_at: string }[];
  };
  fact?: { segments: { from: string; to: string; line: [number, number][] }[] };
}

export type ErasureState = 'open' | 'refused' | 'cancelled' | 'grace' | 'erasing' | 'erased';

export interface ErasureStarted {
  request_id: string;
  driver_id: string;
  state: ErasureState;
  grace_until: string | null;
  tracking_stopped_at: string | null;
}

export interface ErasureRequest {
  request_id: string;
  driver_id: string;
  state: ErasureState;
  requested_at: string;
  grace_until: string | null;
  steps: { step: string; done_at: string | null }[];
  erased_at: string | null;
}
