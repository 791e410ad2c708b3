import { expect, test } from 'vitest';
import { bytes } from '../../../src/commands/output.js';
import { rows } from '../../../src/commands/top.js';
import { containerRow, socketRow } from '../api/rows.js';

const container = (switched: number) =>
  containerRow({ counts: { switched, fallback: 0, passed: 0 } });
const socket = (local: string, bytesSent: number) => socketRow({ local, remote: 'r', bytesSent });

test('rates between two looks', () => {
  const before = {
    at: 0,
    containers: [container(10)],
    sockets: [socket('1', 1000), socket('2', 5)],
  };
  const now = {
    at: 2000,
    containers: [container(30)],
    sockets: [socket('1', 5000), socket('3', 96)],
  };
  expect(rows(before, now, new Map())).toEqual([
    ['aaaaaaaaaaaa', '10.0', '0.0', '2', '2.0 KiB', '0 B'],
  ]);
  const restarted = { at: 4000, containers: [container(1)], sockets: [] };
  expect(rows(now, restarted, new Map())[0]?.slice(1, 2), 'never negative').toEqual(['0.0']);
});

test("tunnels' bytes are a container's", () => {
  const sample = (at: number, sentBytes: number, socketBytes: number) => ({
    at,
    containers: [
      containerRow({ tunnels: { up: 1, fallback: 0, reasons: [], sentBytes, receivedBytes: 0 } }),
    ],
    sockets: [socket('1', socketBytes)],
  });
  const sent = (before: ReturnType<typeof sample>, now: ReturnType<typeof sample>) =>
    rows(before, now, new Map())[0]?.[4];
  expect(sent(sample(0, 1024, 0), sample(1000, 3072, 1024))).toBe('3.0 KiB');
  expect(sent(sample(0, 9999, 0), sample(1000, 0, 1024)), 'a peer has gone').toBe('1.0 KiB');
});

test('amounts', () => {
  expect([0, 1023, 1024, 1536, 20 * 2 ** 30].map(bytes)).toEqual([
    ...['0 B', '1023 B', '1.0 KiB', '1.5 KiB', '20.0 GiB'],
  ]);
});
