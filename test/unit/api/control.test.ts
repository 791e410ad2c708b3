import { mkdtempSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { FastifyInstance } from 'fastify';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { ControlClient, NoDaemonError } from '../../../src/api/client.js';
import { ApiError, type ContainerList, type Status } from '../../../src/api/protocol.js';
import { type ControlApi, controlServer } from '../../../src/api/server.js';

const STATUS: Status = {
  pid: 7,
  version: '1.2.3',
  startedAt: '2026-01-01T00:00:00.000Z',
  uptimeSeconds: 5,
  kernel: {
    release: '6.18',
    syncWakeUp: true,
    waitKillable: true,
    pidfdThread: false,
    kcmp: true,
    socketGuard: false,
  },
  waitKillable: false,
  keeper: { connected: true, socket: '/k' },
  config: { path: '/c', present: false },
  podmanNetworks: ['10.88.0.0/16'],
  containers: 1,
  listeners: 2,
};
const LIST: ContainerList = { containers: [], incidents: [] };

let path: string;
let server: FastifyInstance | undefined;
let defects: unknown[];

beforeEach(() => {
  path = join(mkdtempSync(join(tmpdir(), 'sockswitch-')), 'control.sock');
  defects = [];
});
afterEach(async () => {
  await server?.close();
});

async function serve(more: Partial<ControlApi> = {}): Promise<ControlClient> {
  const api: ControlApi = {
    status: () => STATUS,
    containers: () => LIST,
    explain: (request) => ({
      ...request,
      kind: 'switched',
      outcome: 'switched',
      text: 'Yes.',
      detail: '',
    }),
    stopKeeper: () => {},
    stop: () => {},
    sockets: () => ({ sockets: [] }),
    tunnels: () => ({ tunnels: [] }),
    events: () => ({ events: [] }),
    follow: () => () => {},
    ...more,
  };
  server = controlServer(api, (error) => defects.push(error));
  await server.listen({ path });
  return new ControlClient(path);
}

test('both sides understand each other', async () => {
  const client = await serve();
  expect(await client.status()).toEqual(STATUS);
  expect(await client.containers()).toEqual(LIST);
  await client.stopKeeper();
  const asked = { container: 'abc', address: '::1', port: 443 };
  expect(await client.explain(asked)).toMatchObject({ ...asked, protocol: 'tcp' });
  expect(await client.explain({ ...asked, protocol: 'udp' })).toMatchObject({ protocol: 'udp' });
});

test('bad requests are answered with a reason', async () => {
  const client = await serve();
  for (const [address, port] of [
    ['example.org', 1],
    ['fe80::1%eth0', 1],
    ['::1', 65536],
    ['::1', -1],
    ['::1', 1.5],
  ] as const) {
    const refused = expect(client.explain({ container: 'a', address, port })).rejects;
    await refused.toThrow(expect.objectContaining({ code: 'bad-request' }));
  }
  const raw = await server?.inject({ method: 'POST', url: '/v1/explain', payload: 'x' });
  expect(raw?.json()).toMatchObject({ error: { code: 'bad-request' } });
  const unknown = await server?.inject({ method: 'GET', url: '/v2' });
  expect(unknown?.statusCode).toBe(404);
  expect(unknown?.json()).toMatchObject({ error: { code: 'not-found' } });
  expect(defects).toEqual([]);
});

test('errors keep their code and message', async () => {
  const client = await serve({
    explain: () => {
      throw new ApiError('ambiguous', '2 containers');
    },
    status: () => {
      throw new Error('boom');
    },
  });
  await expect(client.explain({ container: 'a', address: '::1', port: 1 })).rejects.toThrow(
    new ApiError('ambiguous', '2 containers'),
  );
  await expect(client.status()).rejects.toThrow(expect.objectContaining({ code: 'internal' }));
  expect(defects).toHaveLength(1);
});

test('no daemon', async () => {
  await expect(new ControlClient(path).status()).rejects.toThrow(NoDaemonError);
  await expect(new ControlClient(path).status()).rejects.toThrow('sockswitch daemon');
});

test('a leftover socket is no daemon', async () => {
  const { spawnSync } = await import('node:child_process');
  const script = `require('net').createServer().listen(${JSON.stringify(path)}, () => process.kill(process.pid, 9))`;
  spawnSync(process.execPath, ['-e', script]);
  await expect(new ControlClient(path).status()).rejects.toThrow(NoDaemonError);
});

test('something else on the socket', async () => {
  const other = createServer((socket) =>
    socket.end('HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}'),
  );
  await new Promise<void>((resolve) => other.listen(path, resolve));
  await expect(new ControlClient(path).status()).rejects.toThrow('not understood');
  other.close();
});
