/** `sockswitch sockets [CONTAINER]`. */
import { ControlClient } from '../api/client.js';
import type { SocketRow } from '../api/protocol.js';
import { runtimePaths } from '../base/paths.js';
import { askNames, containerId, shortId } from './container.js';
import { bytes, print, printJson, printTable } from './output.js';

export async function sockets(
  container: string | undefined,
  options: { readonly json?: boolean },
): Promise<void> {
  const client = new ControlClient(runtimePaths().controlSocket);
  const id = container === undefined ? undefined : await containerId(client, container);
  const list = await client.sockets(id);
  if (options.json === true) {
    printJson(list);
    return;
  }
  if (list.sockets.length === 0) {
    print('No switched sockets are open.');
    return;
  }
  const names = await askNames(client);
  printTable(
    ['CONTAINER', 'PID', 'FD', 'STATE', 'LOCAL', 'REMOTE', 'SENT', 'RECEIVED', 'RTT'],
    list.sockets.map((socket) => row(socket, names)),
  );
}

function row(socket: SocketRow, names: ReadonlyMap<string, string>): string[] {
  return [
    names.get(socket.container) ?? shortId(socket.container),
    String(socket.pid),
    String(socket.fd),
    socket.state,
    socket.local,
    socket.remote,
    bytes(socket.bytesSent),
    bytes(socket.bytesReceived),
    `${(socket.roundTripMicroseconds / 1000).toFixed(2)} ms`,
  ];
}
