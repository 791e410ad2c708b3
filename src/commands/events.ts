/** `sockswitch events`. */
import { ControlClient } from '../api/client.js';
import type { JournalEvent } from '../api/protocol.js';
import { runtimePaths } from '../base/paths.js';
import { escapeControl } from '../base/text.js';
import { shortId } from './container.js';
import { EXIT, print } from './output.js';

export interface EventsOptions {
  readonly json?: boolean;
  readonly follow?: boolean;
}

export async function events(options: EventsOptions): Promise<void> {
  const client = new ControlClient(runtimePaths().controlSocket);
  const show = (event: JournalEvent) =>
    print(options.json === true ? JSON.stringify(event) : line(event));
  const past = await client.events();
  for (const event of past.events) show(event);
  if (options.follow !== true) return;
  const shown = past.events.at(-1)?.time ?? '';
  for await (const event of client.follow(() => {})) {
    if (event.time > shown) show(event);
  }
  process.stderr.write('sockswitch: the daemon has ended\n');
  process.exitCode = EXIT.notRunning;
}

/** `2026-11-22T01:02:03.456Z container-started 3f2a...: message` */
export function line({ time, type, container, message }: JournalEvent): string {
  const who = container === undefined ? '' : ` ${shortId(container)}`;
  return escapeControl(`${time} ${type}${who}: ${message}`);
}
