import { expect, test } from 'vitest';
import { explainPeer, problemsOf, summaryOf } from '../../../src/api/tunnel-summary.js';
import { tunnelPeer, tunnelRow, tunnelSource } from './rows.js';

const BUSY = { hostPort: 8472, containerPort: 8472, problem: 'EADDRINUSE' };

test('a summary: peers by state, each reason once, bytes together', () => {
  const tunnel = tunnelRow({
    listening: [BUSY, { ...BUSY, problem: '' }],
    peers: [
      tunnelPeer({ sentBytes: 5 }),
      tunnelPeer({ address: 'fd77::12', state: 'fallback', reason: 'refused', sentBytes: 2 }),
      tunnelPeer({ address: '192.0.2.3', state: 'connecting' }),
    ],
    sources: [tunnelSource({ receivedBytes: 3 }), tunnelSource({ receivedBytes: 4 })],
  });
  expect(summaryOf(tunnel)).toEqual({
    up: 1,
    fallback: 2,
    reasons: ['cannot accept peers on TCP port 8472: EADDRINUSE', '[fd77::12]:8472: refused'],
    sentBytes: 7,
    receivedBytes: 7,
  });
  expect(problemsOf(tunnelRow())).toEqual([]);
  expect(problemsOf(tunnelRow({ reason: 'off' }))).toEqual(['off']);
});

test('the way to one peer', () => {
  const peers = [tunnelPeer({ address: 'fd77::12', since: 's' }), tunnelPeer({ state: 'proving' })];
  const tunnel = tunnelRow({ peers });
  const devices = ['flannel.1 (vxlan)'];
  expect(explainPeer(tunnel, 'FD77:0::12', 8472)).toEqual({
    ...{ devices, state: 'up', reason: '', since: 's' },
  });
  expect(explainPeer(tunnel, '::ffff:192.0.2.1', 8472)).toMatchObject({ state: 'proving' });
  expect(explainPeer(tunnel, '192.0.2.1', 53), 'no tunnel has that port').toBeUndefined();
  expect(explainPeer(tunnel, '192.0.2.9', 8472)).toEqual({
    devices,
    state: 'fallback',
    reason: 'it is no remote of a tunnel of the container that is carried',
  });
  const off = tunnelRow({ reason: 'sockswitch/tunnels is false', devices: [] });
  expect(explainPeer(off, '192.0.2.1', 8472)).toEqual({
    ...{ devices: [], state: 'fallback', reason: 'sockswitch/tunnels is false' },
  });
});
