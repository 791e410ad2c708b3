import { expect, test } from 'vitest';
import type { Status } from '../../../src/api/protocol.js';
import { scrape } from '../../../src/daemon/metrics.js';
import { containerRow, socketRow } from '../api/rows.js';

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
  counts: { switched: 5, fallback: 2, refused: 0, passed: 9 },
  reasons: [
    { outcome: 'switched', kind: 'switched', text: '', count: 5 },
    { outcome: 'ignored', kind: 'fallback', text: '', count: 2 },
  ],
});
const socket = (bytesSent: number) => socketRow({ container: 'abc', bytesSent, bytesReceived: 7 });

async function samples(): Promise<string[]> {
  const text = await scrape({
    status: () => STATUS,
    containers: () => [CONTAINER],
    latencyOf: () => ({ bounds: [0.00002, 0.1], counts: [3, 1, 1], sum: 1.5 }),
    sockets: () => [socket(10), socket(20)],
  });
  return text.split('\n').filter((line) => line !== '' && !line.startsWith('#'));
}

test('counters, gauges and a cumulative histogram', async () => {
  const lines = await samples();
  for (const line of [
    'sockswitch_info{version="1.2.3",kernel="6.1"} 1',
    'sockswitch_keeper_connected 1',
    'sockswitch_calls_total{container="abc",kind="switched",outcome="switched"} 5',
    'sockswitch_calls_total{container="abc",kind="fallback",outcome="ignored"} 2',
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

test('a second scrape counts nothing twice', async () => {
  expect((await samples()).filter((line) => !line.startsWith('process_'))).toEqual(
    (await samples()).filter((line) => !line.startsWith('process_')),
  );
});
