/** `sockswitch top`: what containers do now, refreshed until it is ended. */
import { setTimeout as sleep } from 'node:timers/promises';
import { ControlClient } from '../api/client.js';
import type { ContainerRow, SocketRow } from '../api/protocol.js';
import { UserError } from '../base/errors.js';
import { runtimePaths } from '../base/paths.js';
import { quote } from '../base/text.js';
import { containerNames } from '../podman/container-names.js';
import { shortId, shownNames } from './container.js';
import { bytes, printTable } from './output.js';

const CLEAR = '\u001b[H\u001b[2J';

export interface TopOptions {
  /** Seconds. */
  readonly interval: string;
  readonly once?: boolean;
}

interface Sample {
  readonly at: number;
  readonly containers: readonly ContainerRow[];
  readonly sockets: readonly SocketRow[];
}

export async function top(options: TopOptions): Promise<void> {
  const interval = Number(options.interval);
  if (!(interval >= 0.1 && interval <= 3600)) {
    throw new UserError(
      `--interval is ${quote(options.interval)}: write a number of seconds from 0.1 to 3600`,
    );
  }
  const client = new ControlClient(runtimePaths().controlSocket);
  const podmans = await containerNames();
  let before = await sample(client);
  for (;;) {
    await sleep(interval * 1000);
    const now = await sample(client);
    if (process.stdout.isTTY && options.once !== true) process.stdout.write(CLEAR);
    printTable(
      ['CONTAINER', 'SWITCHED/S', 'FALLBACK/S', 'SOCKETS', 'SENT/S', 'RECEIVED/S'],
      rows(before, now, shownNames(now.containers, podmans)),
    );
    if (options.once === true) return;
    before = now;
  }
}

async function sample(client: ControlClient): Promise<Sample> {
  const [{ containers }, { sockets }] = await Promise.all([client.containers(), client.sockets()]);
  return { at: performance.now(), containers, sockets };
}

/** A row for each container of `now`, in what changed a second. */
export function rows(before: Sample, now: Sample, names: ReadonlyMap<string, string>): string[][] {
  const seconds = (now.at - before.at) / 1000;
  const perSecond = (amount: number) => Math.max(0, amount) / seconds;
  return now.containers.map(({ id, counts, tunnels }) => {
    const old = before.containers.find((row) => row.id === id);
    const rate = (kind: 'switched' | 'fallback') =>
      perSecond(counts[kind] - (old?.counts[kind] ?? 0)).toFixed(1);
    const open = now.sockets.filter(({ container }) => container === id);
    const amount = (what: 'sentBytes' | 'receivedBytes', ofSockets: number) =>
      bytes(perSecond(ofSockets) + perSecond((tunnels?.[what] ?? 0) - (old?.tunnels?.[what] ?? 0)));
    return [
      names.get(id) ?? shortId(id),
      ...[rate('switched'), rate('fallback')],
      String(open.length),
      amount('sentBytes', carried(open, before.sockets, 'bytesSent')),
      amount('receivedBytes', carried(open, before.sockets, 'bytesReceived')),
    ];
  });
}

/** What sockets that are open have carried since then; of those that closed meanwhile nothing is known. */
function carried(
  open: readonly SocketRow[],
  then: readonly SocketRow[],
  what: 'bytesSent' | 'bytesReceived',
): number {
  const key = ({ local, remote }: SocketRow) => `${local} ${remote}`;
  const old = new Map(then.map((socket) => [key(socket), socket[what]]));
  return open.reduce((sum, socket) => sum + socket[what] - (old.get(key(socket)) ?? 0), 0);
}
