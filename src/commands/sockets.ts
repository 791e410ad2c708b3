/** `sockswitch sockets [CONTAINER]`. */
import { ControlClient } from '../api/client.js';
import type { SocketRow } from '../api/protocol.js';
import { runtimePaths } from '../base/paths.js';
import { containerNames } from '../podman/container-names.js';
import { containerId } from './explain.js';
import { bytes, print, printJson, printTable } from './output.js';

const SHORT_ID = 12;

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
  const names = await containerNames();
  printTable(
    ['CONTAINER', 'PID', 'FD', 'STATE', 'LOCAL', 'REMOTE', 'SENT', 'RECEIVED', 'RTT'],
    list.sockets.map((socket) => row(socket, names)),
  );
}

function row(socket: SocketRow, names: ReadonlyMap<string, string>): string[] {
  return [
    names.get(socket.container) ?? socket.container.slice(0, SHORT_ID),
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
