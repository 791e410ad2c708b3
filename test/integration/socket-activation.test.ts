/**
 * Sockets of the host that whoever starts a container hands in: a service manager that listens for it (systemd-socket-activate
 * here, a Quadlet unit in systemd.test.ts), or `podman run --preserve-fds`. They stay what they are, on every network.
 */
import { readFileSync } from 'node:fs';
import { afterEach, beforeAll, expect, test } from 'vitest';
import { describeOnLab, describeResult, host1, listens } from './support/lab.js';
import { ENABLED, ensureNetwork, podmanWords } from './support/podman.js';
import { publish } from './support/published.js';

const PROBE = readFileSync(new URL('./probes/handed_in.py', import.meta.url), 'utf8');
const NODE = `require('http').createServer((request, response) => response.end('node'))
  .listen({ fd: 3 })`;
const ASYNCIO = `
import asyncio, socket
async def answer(reader, writer):
    await reader.readline()
    writer.write(b'HTTP/1.0 200 OK\\r\\n\\r\\nasyncio')
    await writer.drain()
    writer.close()
async def main():
    server = await asyncio.start_server(answer, sock=socket.socket(fileno=3))
    await server.serve_forever()
asyncio.run(main())`;

const PLACES = [
  { network: 'none', runtime: 'crun' },
  { network: 'none', runtime: 'runc' },
  { network: 'pasta', runtime: 'crun' },
  { network: 'slirp4netns', runtime: 'crun' },
  { network: 'bridge', runtime: 'crun' },
] as const;
const NAME = 'handed-in';
const PORT = 9000;

describeOnLab('sockets that are handed in', () => {
  beforeAll(() => ensureNetwork(host1, 'bridge'));
  afterEach(async () => {
    await host1.run(['podman', 'rm', '--force', '--ignore', '--time', '0', NAME]);
    await host1.stopServers();
  });

  test.each([
    { ...PLACES[0], program: 'node', command: ['node', '-e', NODE] },
    { ...PLACES[1], program: 'asyncio', command: ['python3', '-c', ASYNCIO] },
    { ...PLACES[2], program: 'asyncio', command: ['python3', '-c', ASYNCIO] },
    { ...PLACES[3], program: 'node', command: ['node', '-e', NODE] },
    { ...PLACES[4], program: 'asyncio', command: ['python3', '-c', ASYNCIO] },
  ])('$program is started by systemd-socket-activate, $network and $runtime', async (row) => {
    const podman = podmanWords({ ...row, annotations: ENABLED }, ['--rm', '--name', NAME]);
    const command = [...podman, ...row.command];
    await host1.serve(['systemd-socket-activate', '-l', `${PORT}`, ...command], listens(PORT));
    const result = await host1.run(['curl', '-sS', '-m', '30', `http://127.0.0.1:${PORT}/`]);
    expect(result.stdout, describeResult(command, result)).toBe(row.program);
  });

  test.each(PLACES)(
    'every call on them says what it does without, $network and $runtime',
    async (place) => {
      const said = async (annotations: Readonly<Record<string, string>>) => {
        const podman = podmanWords({ ...place, annotations }, ['--rm', '--preserve-fds', '7']);
        const container = [...podman, 'python3', '-c', PROBE, 'calls'];
        const result = await host1.run(['python3', '-c', PROBE, 'give', ...container]);
        expect(result.status, describeResult(container, result)).toBe(0);
        return result.stdout;
      };
      const plain = await said({});
      expect(plain).toContain('listen on listening: ok');
      expect(plain).toContain('accept: True');
      expect(plain).toContain('name of server: 127.0.0.1');
      expect(plain).toContain("port of server is the host's: True");
      expect(await said(ENABLED)).toBe(plain);
      if (place.network !== 'none') expect(await said(publish('8080:80'))).toBe(plain);
    },
  );
});
