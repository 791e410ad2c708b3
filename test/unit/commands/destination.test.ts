import { expect, test } from 'vitest';
import type { TunnelExplanation } from '../../../src/api/protocol.js';
import { UserError } from '../../../src/base/errors.js';
import { parseDestination } from '../../../src/commands/destination.js';
import { sentence } from '../../../src/commands/explain.js';
import { ago, duration } from '../../../src/commands/output.js';

test.each([
  ['192.0.2.1', '192.0.2.1', true, 443],
  ['192.0.2.1:80', '192.0.2.1', true, 80],
  ['2001:db8::1', '2001:db8::1', true, 443],
  ['[2001:db8::1]:80', '2001:db8::1', true, 80],
  ['[::1]', '::1', true, 443],
  ['example.org', 'example.org', false, 443],
  ['example.org:65535', 'example.org', false, 65535],
])('%s', (text, host, numeric, port) => {
  expect(parseDestination(text)).toEqual({ host, numeric, port, protocol: 'tcp' });
});

test.each([
  ['192.0.2.1:8472/udp', { host: '192.0.2.1', numeric: true, port: 8472, protocol: 'udp' }],
  ['[2001:db8::1]:4789/udp', { host: '2001:db8::1', numeric: true, port: 4789, protocol: 'udp' }],
  ['node2:8472/udp', { host: 'node2', numeric: false, port: 8472, protocol: 'udp' }],
  ['192.0.2.1/tcp', { host: '192.0.2.1', numeric: true, port: 443, protocol: 'tcp' }],
])('%s', (text, destination) => {
  expect(parseDestination(text)).toEqual(destination);
});

test.each([
  '',
  ':80',
  'a:b',
  '1.2.3.4:',
  '1.2.3.4:99999',
  '[1.2.3.4]:80',
  '[::1',
  '::1]:80',
  'fe80::1%lo',
  '[fe80::1%lo]:1',
  'a b',
  'http://x/',
  '1.2.3.4:80:90',
  '1.2.3.4/udp',
  '2001:db8::1/udp',
  '1.2.3.4:80/sctp',
  '1.2.3.4:80/udp/udp',
  '/udp',
])('%j is refused', (text) => expect(() => parseDestination(text)).toThrow(UserError));

test('an explanation is a sentence', () => {
  const common = { container: 'c', port: 443, protocol: 'tcp', outcome: 'switched' } as const;
  expect(
    sentence({
      ...common,
      address: '2001:db8::1',
      kind: 'switched',
      text: 'Fine.',
      detail: 'default route',
      device: 'eth0',
    }),
  ).toBe(
    'A connection to [2001:db8::1]:443 would be switched to the host by eth0: Fine (default route). Rule: switched.',
  );
  expect(
    sentence({
      ...common,
      address: '10.0.0.1',
      kind: 'fallback',
      outcome: 'ignored',
      text: 'Ignored',
      detail: '',
    }),
  ).toBe(
    "A connection to 10.0.0.1:443 would go over the container's fallback network: Ignored. Rule: ignored.",
  );
});

test('an explanation of a tunnel', () => {
  const explained = (tunnel: TunnelExplanation) =>
    sentence({
      ...{ container: 'c', address: 'fd77::12', port: 8472, protocol: 'udp' },
      ...{ kind: 'fallback', outcome: 'socket-type', text: 'not a TCP socket', detail: '' },
      tunnel,
    });
  const since = '2026-01-01T00:00:00.000Z';
  const devices = ['flannel.1 (vxlan)'];
  expect(explained({ devices, state: 'up', reason: '', since })).toBe(
    `Tunnel packets of flannel.1 (vxlan) to UDP [fd77::12]:8472 are carried to the peer's daemon since ${since}.`,
  );
  expect(explained({ devices: [], state: 'proving', reason: '', since })).toBe(
    `Tunnel packets to UDP [fd77::12]:8472 go over the container's fallback network (on the way to up: proving) since ${since}.`,
  );
  expect(explained({ devices: [], state: 'fallback', reason: 'not\npublished' })).toBe(
    "Tunnel packets to UDP [fd77::12]:8472 go over the container's fallback network: not\\npublished.",
  );
});

test('times for people', () => {
  expect(duration(0.2)).toBe('0 seconds');
  expect(duration(1)).toBe('1 second');
  expect(duration(7_300)).toBe('2 hours');
  expect(ago('2026-01-01T00:00:00Z', Date.parse('2026-01-03T12:00:00Z'))).toBe('2 days ago');
});
