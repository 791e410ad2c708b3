import { expect, test } from 'vitest';
import { nodeLines, tunnelLines, tunnels } from '../../../src/commands/ps.js';
import { containerRow } from '../api/rows.js';

const row = (up: number, fallback: number, reasons: string[] = []) =>
  containerRow({ tunnels: { up, fallback, reasons, sentBytes: 0, receivedBytes: 0 } });

test('tunnels in short', () => {
  expect(tunnels(containerRow())).toBe('');
  expect(tunnels(row(1, 0))).toBe('1 up');
  expect(tunnels(row(2, 1))).toBe('2 up, 1 fallback');
  expect(tunnels(row(0, 0, ['not published']))).toBe('fallback');
  expect(tunnels(row(0, 0))).toBe('no peers');
});

test('why tunnels are on the fallback network', () => {
  const shorten = (id: string) => id.slice(0, 2);
  const many = row(0, 9, ['a', 'b\n', 'c', 'd']);
  expect(tunnelLines(many, true, shorten)).toEqual(['  aa: a', '  aa: b\\n', '  aa: c', '  aa: …']);
  expect(tunnelLines(many, false, shorten)).toHaveLength(4);
  expect(tunnelLines(containerRow(), true, shorten)).toEqual([]);
});

test('what is told of nodes', () => {
  const shorten = (id: string) => id.slice(0, 2);
  const node = (id: string, more: Parameters<typeof containerRow>[0]) =>
    containerRow({ id, ...more });
  expect(nodeLines([containerRow()], shorten)).toEqual([]);
  const lines = nodeLines(
    [
      node('b1', { nested: { networks: 2, connects: 3 } }),
      node('b2', { nested: { networks: 2, connects: 0 }, unlistedService: '172.20.0.1' }),
    ],
    shorten,
  );
  expect(lines.filter((line) => line.startsWith('  b'))).toEqual([
    '  b1: 3 connections of 2 namespaces',
    '  b2: 2 namespaces',
    expect.stringContaining('  b2: the service address 172.20.0.1, which'),
  ]);
  expect(lines.at(-1)).toContain('--service-cidr');
});
