// Every word the dispatcher reads. Russian and Kazakh are added as further tables of the same keys: a table
// with a key missing or too many does not compile.

const en = {
  'app.name': 'Jolda',
  'app.staff_only': 'This page is for dispatchers. Your log-in is a driver’s.',
  'app.checking': 'Checking your log-in',
  'skip.list': 'Skip to the list of drivers',
  'skip.past_map': 'Skip past the map',

  'login.title': 'Log in',
  'login.lead': 'Dispatcher dashboard',
  'login.login': 'E-mail or phone',
  'login.password': 'Password',
  'login.submit': 'Log in',
  'login.busy': 'Logging in…',
  'login.wait': 'Log in (wait {time})',
  'login.company': 'Company',
  'login.company_lead': 'You work for several companies. Choose one to go on.',
  'login.company_back': 'Use another log-in',
  'login.ended': 'Your session has ended. Log in again to go on.',
  'login.not_out': 'The server could not be told that you logged out. This browser may still be logged in: log in and out again when you are online.',
  'login.need_login': 'Enter your e-mail or phone.',
  'login.need_password': 'Enter your password.',
  'login.need_company': 'Choose a company.',
  'login.summary': 'You are not logged in',
  'title.error': 'Error: {title}',

  'error.login-failed': 'The log-in or the password is not right.',
  'error.too-many-attempts': 'Too many attempts. You can try again in a moment.',
  'error.no-connection': 'The server cannot be reached. Check your connection and try again.',
  'error.forbidden': 'You may not do this.',
  'error.not-found': 'This is not there any more.',
  'error.other': '{title} (code {code})',

  'header.logout': 'Log out',
  'header.time': 'Server time, {zone}',
  'header.user': 'Logged in as {name}',

  'link.connecting': 'Connecting…',
  'link.live': 'Live',
  'link.waiting': 'Live paused, retry in {n} s',
  'link.retry': 'Retry now',
  'bar.paused': 'No connection since {since}. The map shows {shown}.',
  'bar.paused_bare': 'No connection. Nothing is shown yet.',
  'say.paused': 'Connection lost. Positions are getting older.',
  'say.live': 'Connection restored.',
  'say.stopped': '{n} driver is not sharing any more.',
  'say.stopped_many': '{n} drivers are not sharing any more.',

  'live.title': 'Live map',
  'live.list': 'Drivers',
  'live.search': 'Search drivers',
  'live.filters': 'Show drivers by state',
  'live.loading': 'Loading drivers',
  'live.loading_slow': 'Still loading drivers',
  'live.empty': 'No drivers',
  'live.empty_lead': 'Drivers appear here once they have accepted their invitation.',
  'live.no_match': '{shown} of {all} match.',
  'live.clear': 'Clear filters',
  'live.count': '{shown} of {all}',
  'live.error': 'Could not load drivers ({reason})',
  'live.keys': '↑ ↓ move · Enter details · / search',
  'live.tab_map': 'Map',
  'live.tab_list': 'List',
  'live.tab_details': 'Details',
  'live.views': 'Map or list',

  'filter.all': 'All',
  'filter.live': 'Live',
  'filter.stale': 'Delayed',
  'filter.lost': 'No signal',
  'filter.not_shared': 'Not sharing',
  'filter.off_shift': 'Off shift',

  'state.live': 'Live',
  'state.stale': 'Signal delayed',
  'state.lost': 'No signal',
  'state.not_shared': 'Not sharing',
  'state.off_shift': 'Off shift',
  'state.driving': 'Driving',
  'state.at_stop': 'At a stop',
  'state.idle': 'Standing',
  'state.break': 'On a break',
  'row.no_vehicle': 'No vehicle',

  'map.title': 'Map of drivers. The list beside it tells the same in words.',
  'map.loading': 'Loading the map',
  'map.error': 'The map could not be loaded. The list works without it.',
  'map.no_webgl': 'This browser cannot draw the map (no WebGL). The list works without it.',
  'map.fit': 'Show all drivers',
  'map.fit_short': 'All drivers',
  'map.zoom_in': 'Zoom in',
  'map.zoom_out': 'Zoom out',
  'map.no_streets': 'No street map installed. Grid: {size}',
  'map.source': 'Coastlines and borders: Natural Earth',
  'map.none': 'No position to show now.',
  'map.legend': 'Legend',
  'map.legend_plan': 'Planned',
  'map.legend_fact': 'Driven',
  'map.legend_off': 'Off route',

  'members.title': '{n} drivers here',
  'members.lead': 'Choose a driver to open the details.',
  'close': 'Close',
  'retry': 'Retry',
  'cancel': 'Cancel',
  'unknown': 'not known',

  'driver.back': 'Back to the list',
  'driver.close': 'Close details',
  'driver.show_on_map': 'Show on the map',
  'driver.loading': 'Loading details',
  'driver.loading_slow': 'Still loading details',
  'driver.error': 'Could not load details ({reason})',
  'driver.cancelled': 'Loading was stopped.',
  'driver.vehicle': 'Vehicle',
  'driver.speed': 'Speed',
  'driver.age': 'Last position',
  'driver.age_value': '{age} ago',
  'driver.accuracy': 'Accuracy',
  'driver.accuracy_value': '± {distance}',
  'driver.phone': 'Phone',
  'driver.account': 'Account',
  'driver.delete': 'Delete driver…',
  'driver.delete_progress': 'Show the progress of deletion',
  'driver.actions': 'Account',

  'account.invited': 'Invited',
  'account.active': 'Active',
  'account.blocked': 'Blocked',
  'account.offboarded': 'Offboarded',
  'account.grace': 'Deletion is waiting',
  'account.erasing': 'Being deleted',
  'account.erased': 'Deleted',

  'route.title': 'Route of today',
  'route.other_day': 'Route of {date}',
  'route.times': '{from}–{to}',
  'route.others': 'Other routes of the day ({n})',
  'route.none': 'No route planned for today',
  'route.none_lead': 'There is no plan to compare with.',
  'route.loading': 'Loading the route',
  'route.loading_slow': 'Still loading the route',
  'route.error': 'Could not load the route ({reason})',
  'route.not_shared': 'The driven line is not shared. The plan is shown without it.',
  'route.no_positions': 'Waiting for the first position',
  'route.fit': 'Show whole route',
  'route.distance': 'Distance',
  'route.plan': 'plan',
  'route.fact': 'driven',
  'route.visited': 'Visited',
  'route.visited_value': '{n} of {all}',
  'route.missed': 'Missed',
  'route.version': 'Plan version {n}. Compared at {time}. Times: {zone}.',
  'route.stops': 'Stops: plan and fact',

  'stop.number': '#',
  'stop.name': 'Stop',
  'stop.planned': 'Plan',
  'stop.actual': 'Actual',
  'stop.difference': 'Diff., min',
  'stop.status': 'Status',
  'stop.distance': '{distance} away',
  'stop.order': 'visited as no. {n}',
  'stop.visited': 'visited',
  'stop.missed': 'missed',
  'stop.unknown': 'unknown',
  'stop.pending': 'pending',
  'diff.late': '{n} late',
  'diff.early': '{n} early',
  'diff.on_time': 'on time',
  'diff.in_window': '{n} in\u00a0window',

  'erase.title': 'Delete {name}?',
  'erase.stops': 'Tracking of this driver stops now.',
  'erase.unreadable': 'The name, the phone number and the track are deleted, and the keys to them destroyed.',
  'erase.final': 'After the waiting time of your company, if it has one, this cannot be undone.',
  'erase.rest': 'Routes stay, without the person.',
  'erase.confirm': 'Delete driver',
  'erase.keep': 'Keep driver',
  'erase.busy': 'Asking…',
  'erase.failed': 'The driver was not deleted: {reason}',
  'erase.progress_title': 'Deleting the driver',
  'erase.progress_named': 'Deleting {name}',
  'erase.done_title': 'The driver is deleted',
  'erase.stopped_at': 'Tracking stopped at {time}.',
  'erase.grace_until': 'Waiting time until {time}. Everything becomes unreadable after that.',
  'erase.erasing': 'Deleting has begun. It cannot be undone.',
  'erase.done_at': 'Everything was made unreadable at {time}.',
  'erase.refused': 'The request was refused.',
  'erase.cancelled': 'The request was cancelled. Tracking stays off until the driver agrees again.',
  'erase.open': 'The request is waiting for a decision.',
  'erase.poll_failed': 'The progress cannot be read now ({reason}). Deleting goes on; asking again.',
  'erase.step_done': 'done {time}',
  'erase.step_waiting': 'waiting',
  'erase.missing': 'The request for this driver was not found.',
  'step.close_gate': 'Stop tracking',
  'step.end_sessions': 'End log-ins and devices',
  'step.note_person': 'Note what to look for',
  'step.erase_links': 'End customer links',
  'step.erase_alerts': 'Erase alerts',
  'step.erase_stop_events': 'Erase what the driver said of stops',
  'step.erase_attestations': 'Delete what others stated',
  'step.erase_reports': 'Delete final reports',
  'step.erase_routes': 'Take driver off all routes',
  'step.erase_tracking': 'Delete positions',
  'step.erase_devices': 'Delete device notices',
  'step.erase_controllers': 'Delete agreements to a new company',
  'step.erase_consent': 'Delete consents and shifts',
  'step.erase_clarifications': 'Delete questions and answers',
  'step.erase_corrections': 'Delete what was corrected',
  'step.erase_policies': 'Delete accepted policies',
  'step.erase_notices': 'Delete notices',
  'step.erase_gate': 'Delete recording times',
  'step.erase_ledger': 'Unlink the ledger',
  'step.erase_account': 'Delete name and phone',
  'step.search': 'Look everywhere for the driver',
  'step.destroy_keys': 'Destroy keys',
  'step.verify': 'Check that nothing is left',

  'unit.s': '{n} s',
  'unit.min': '{n} min',
  'unit.h_min': '{h} h {min} min',
  'unit.m': '{n} m',
  'unit.km': '{n} km',
  'unit.kmh': '{n} km/h',
} as const;

export type Key = keyof typeof en;
export type Language = 'en';
type Table = Record<Key, string>;

const TABLES: Record<Language, Table> = { en };
const language: Language = 'en';

export function t(key: Key, values: Record<string, string | number> = {}): string {
  return TABLES[language][key].replace(/\{(\w+)\}/g, (whole, name: string) => String(values[name] ?? whole));
}

export function hasText(key: string): key is Key {
  return Object.hasOwn(en, key);
}

/** Words for an error by its code; the server's title only when the code is new to us. */
export function errorText(error: { code: string; status: number; message: string }): string {
  const key = `error.${error.code}`;
  if (hasText(key)) {
    return t(key);
  }
  if (error.status === 403) {
    return t('error.forbidden');
  }
  if (error.status === 404 || error.status === 410) {
    return t('error.not-found');
  }
  return t('error.other', { title: error.message, code: error.code });
}

/** Short words of an error, for use inside a sentence. */
export function reasonText(error: { code: string }): string {
  return `code ${error.code}`;
}
