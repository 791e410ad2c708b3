/** `sockswitch tunnels [CONTAINER]`. */
import { ControlClient } from '../api/client.js';
import type { TunnelRow } from '../api/protocol.js';
import { endpoint, problemsOf } from '../api/tunnel-summary.js';
import { runtimePaths } from '../base/paths.js';
import { askNames, containerId, shortId } from './container.js';
import { ago, bytes, print, printJson, printTable } from './output.js';

export async function tunnels(
  container: string | undefined,
  options: { readonly json?: boolean },
): Promise<void> {
  const client = new ControlClient(runtimePaths().controlSocket);
  const id = container === undefined ? undefined : await containerId(client, container);
  const list = await client.tunnels(id);
  if (options.json === true) {
    printJson(list);
    return;
  }
  if (list.tunnels.length === 0) {
    print('No accelerated container has a tunnel.');
    return;
  }
  const names = await askNames(client);
  printTable(
    [
      ...['CONTAINER', 'PEER', 'STATE', 'SINCE', 'SENT', 'PAYLOADS', 'DROPPED', 'RTT'],
      ...['RECEIVED', 'REASON'],
    ],
    list.tunnels.flatMap((row) => rows(row, names.get(row.container))),
  );
}

/** A row for each peer, one for each that only sends, and one for what is wrong with all. */
export function rows(tunnel: TunnelRow, name: string | undefined): string[][] {
  const who = name ?? shortId(tunnel.container);
  const peers = new Set(tunnel.peers.map(({ address }) => address));
  const received = (address: string): string => {
    const from = tunnel.sources.filter((source) => source.address === address);
    return bytes(from.reduce((sum, { receivedBytes }) => sum + receivedBytes, 0));
  };
  return [
    ...tunnel.peers.map((peer) => [
      who,
      endpoint(peer.address, peer.port),
      peer.state,
      ago(peer.since),
      bytes(peer.sentBytes),
      String(peer.sentPayloads),
      String(peer.dropped),
      peer.state === 'up' ? `${(peer.roundTripMicroseconds / 1000).toFixed(2)} ms` : '',
      received(peer.address),
      peer.reason,
    ]),
    ...tunnel.sources
      .filter(({ address }) => !peers.has(address))
      .map((source) => [
        ...[who, endpoint(source.address, source.port), 'receiving', ago(source.since)],
        ...['', '', String(source.dropped), '', bytes(source.receivedBytes), ''],
      ]),
    ...problemsOf(tunnel).map((problem) => [who, '', 'fallback', '', '', '', '', '', '', problem]),
  ];
}
