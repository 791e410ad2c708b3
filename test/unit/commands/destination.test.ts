import { expect, test } from 'vitest';
import { parseDestination } from '../../../src/commands/destination.js';
import { sentence } from '../../../src/commands/explain.js';
import { ago, duration } from '../../../src/commands/output.js';
import { UserError } from '../../../src/errors.js';

test.each([
  ['192.0.2.1', '192.0.2.1', true, 443],
  ['192.0.2.1:80', '192.0.2.1', true, 80],
  ['2001:db8::1', '2001:db8::1', true, 443],
  ['[2001:db8::1]:80', '2001:db8::1', true, 80],
  ['[::1]', '::1', true, 443],
  ['example.org', 'example.org', false, 443],
  ['example.org:65535', 'example.org', false, 65535],
])('%s', (text, host, numeric, port) => {
  expect(parseDestination(text)).toEqual({ host, numeric, port });
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
])('%j is refused', (text) => expect(() => parseDestination(text)).toThrow(UserError));

test('an explanation is a sentence', () => {
  const common = { container: 'c', port: 443, outcome: 'switched' };
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

test('times for people', () => {
  expect(duration(0.2)).toBe('0 seconds');
  expect(duration(1)).toBe('1 second');
  expect(duration(7_300)).toBe('2 hours');
  expect(ago('2026-01-01T00:00:00Z', Date.parse('2026-01-03T12:00:00Z'))).toBe('2 days ago');
});
