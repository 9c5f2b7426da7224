// What every screen of a logged-in dispatcher needs; made once after log-in, dropped at log-out.

import type { Announcer } from '../ui/announce.ts';
import type { Api } from './api.ts';
import type { ServerClock } from './clock.ts';
import type { SessionView } from './wire.ts';

export interface Context {
  readonly api: Api;
  readonly session: SessionView;
  readonly clock: ServerClock;
  readonly announcer: Announcer;
  readonly logOut: () => void;
}
