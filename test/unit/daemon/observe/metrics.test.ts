import { expect, test } from 'vitest';
import type { Status } from '../../../../src/api/protocol.js';
import { scrape } from '../../../../src/daemon/observe/metrics.js';
import { containerRow, socketRow, tunnelPeer, tunnelRow, tunnelSource } from '../../api/rows.js';

const STATUS: Status = {
  pid: 1,
  version: '1.2.3',
  startedAt: '2026-11-22T00:00:00.000Z',
  uptimeSeconds: 1,
  kernel: {
    release: '6.1',
    syncWakeUp: true,
    waitKillable: true,
    pidfdThread: true,
    kcmp: true,
    socketGuard: true,
  },
  waitKillable: true,
  keeper: { connected: true, socket: '/k' },
  config: { path: '/c', present: false },
  podmanNetworks: [],
  containers: 1,
  listeners: 2,
};
const CONTAINER = containerRow({
  id: 'abc',
  lostDatagrams: 4,
  kubernetes: { namespace: 'default', pod: 'web', container: 'nginx' },
  counts: { switched: 5, fallback: 2, passed: 9 },
  reasons: [
    { outcome: 'switched', kind: 'switched', text: '', count: 5 },
    { outcome: 'ignored', kind: 'fallback', text: '', count: 2 },
  ],
});
const SENT = { sentBytes: 1400, sentPayloads: 2 };
const socket = (bytesSent: number) => socketRow({ container: 'abc', bytesSent, bytesReceived: 7 });

async function samples(): Promise<string[]> {
  const text = await scrape({
    status: () => STATUS,
    containers: () => [CONTAINER],
    latencyOf: () => ({ bounds: [0.00002, 0.1], counts: [3, 1, 1], sum: 1.5 }),
    sockets: () => [socket(10), socket(20)],
    tunnels: () => [
      tunnelRow({
        container: 'abc',
        peers: [
          tunnelPeer({ ...SENT, dropped: 3, roundTripMicroseconds: 250 }),
          tunnelPeer({ ...SENT, address: 'fd77::12', state: 'fallback' }),
          tunnelPeer({ address: '192.0.2.3', state: 'fallback' }),
        ],
        sources: [
          tunnelSource({ receivedBytes: 5, receivedPayloads: 1 }),
          tunnelSource({ receivedBytes: 6, receivedPayloads: 1, dropped: 2 }),
        ],
      }),
    ],
  });
  return text.split('\n').filter((line) => line !== '' && !line.startsWith('#'));
}

test('counters, gauges and a cumulative histogram', async () => {
  const lines = await samples();
  for (const line of [
    'sockswitch_info{version="1.2.3",kernel="6.1"} 1',
    'sockswitch_keeper_connected 1',
    'sockswitch_container_info{container="abc",namespace="default",pod="web",name="nginx"} 1',
    'sockswitch_calls_total{container="abc",kind="switched",outcome="switched"} 5',
    'sockswitch_calls_total{container="abc",kind="fallback",outcome="ignored"} 2',
    'sockswitch_published_datagrams_lost_total{container="abc"} 4',
    'sockswitch_open_sockets{container="abc"} 2',
    'sockswitch_open_sockets_bytes{container="abc",direction="sent"} 30',
    'sockswitch_connect_duration_seconds_bucket{container="abc",le="0.00002"} 3',
    'sockswitch_connect_duration_seconds_bucket{container="abc",le="0.1"} 4',
    'sockswitch_connect_duration_seconds_bucket{container="abc",le="+Inf"} 5',
    'sockswitch_connect_duration_seconds_sum{container="abc"} 1.5',
    'sockswitch_connect_duration_seconds_count{container="abc"} 5',
  ]) {
    expect(lines).toContain(line);
  }
});

test('tunnels: peers by state, and series for those that have proved themselves', async () => {
  const lines = (await samples()).filter((line) => line.startsWith('sockswitch_tunnel_'));
  const of = (peer: string, direction: string) =>
    `{container="abc",peer="${peer}:8472",direction="${direction}"}`;
  expect(lines.sort()).toEqual(
    [
      'sockswitch_tunnel_peers{container="abc",state="up"} 1',
      'sockswitch_tunnel_peers{container="abc",state="fallback"} 2',
      `sockswitch_tunnel_bytes_total${of('192.0.2.1', 'sent')} 1400`,
      `sockswitch_tunnel_bytes_total${of('[fd77::12]', 'sent')} 1400`,
      `sockswitch_tunnel_bytes_total${of('192.0.2.1', 'received')} 11`,
      `sockswitch_tunnel_payloads_total${of('192.0.2.1', 'sent')} 2`,
      `sockswitch_tunnel_payloads_total${of('[fd77::12]', 'sent')} 2`,
      `sockswitch_tunnel_payloads_total${of('192.0.2.1', 'received')} 2`,
      `sockswitch_tunnel_dropped_total${of('192.0.2.1', 'sent')} 3`,
      `sockswitch_tunnel_dropped_total${of('[fd77::12]', 'sent')} 0`,
      `sockswitch_tunnel_dropped_total${of('192.0.2.1', 'received')} 2`,
      'sockswitch_tunnel_round_trip_seconds{container="abc",peer="192.0.2.1:8472"} 0.00025',
    ].sort(),
  );
});

test('a second scrape counts nothing twice', async () => {
  expect((await samples()).filter((line) => !line.startsWith('process_'))).toEqual(
    (await samples()).filter((line) => !line.startsWith('process_')),
  );
});
