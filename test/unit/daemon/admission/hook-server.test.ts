import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, writeFileSync } from 'node:fs';
import { connect, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { afterEach, beforeEach, expect, test } from 'vitest';
import {
  type HookReply,
  type HookServer,
  type HookServerOptions,
  serveHook,
} from '../../../../src/daemon/admission/hook-server.js';

let path: string;
let problems: string[];
let server: HookServer | undefined;

beforeEach(() => {
  path = join(mkdtempSync(join(tmpdir(), 'sockswitch-')), 'hook.sock');
  problems = [];
});
afterEach(async () => {
  await server?.close();
  server = undefined;
});

const LIMITS = { specBytes: 1_000_000, milliseconds: 300, connections: 4 };

async function serve(handle: (spec: string) => HookReply, more: Partial<HookServerOptions> = {}) {
  server = await serveHook({
    path,
    ownUser: 1000,
    peer: () => ({ pid: 1, uid: 1000, gid: 1000 }),
    handle,
    onProblem: (problem) => problems.push(problem),
    limits: LIMITS,
    ...more,
  });
}

function dial(): Socket {
  const socket = connect(path);
  socket.on('error', () => {}); // the server may close while the test still writes
  return socket;
}

function ask(spec: string | Buffer): Promise<string> {
  const socket = dial();
  socket.end(spec);
  return text(socket);
}

test('a spec goes in, the rewritten one comes out', async () => {
  await serve((spec) => ({ text: spec.toUpperCase() }));
  const large = 'ü'.repeat(400_000);
  expect(await ask(large)).toBe(`OK\n${'Ü'.repeat(400_000)}`);
  expect(await ask('')).toBe('OK\n');
  expect(problems).toEqual([]);
});

test('a refusal is one line, whatever the message holds', async () => {
  await serve((spec) => ({ text: spec, rejection: 'no\nway\u001b[31m' }));
  expect(await ask('{}')).toBe('REJECT no\\nway\\x1b[31m\n{}');
});

test('a defect rejects, and the server goes on', async () => {
  await serve((spec) => {
    if (spec === 'bad') throw new Error('boom');
    return { text: spec };
  });
  expect(await ask('bad')).toBe('REJECT internal error: boom\nbad');
  expect(await ask('good')).toBe('OK\ngood');
  expect(problems).toEqual(['internal error: boom']);
});

test('what is not UTF-8', async () => {
  await serve((spec) => ({ text: spec }));
  expect(await ask(Buffer.from([0x7b, 0xff, 0x7d]))).toBe('REJECT the spec is not UTF-8\n');
});

test('too large, also while the peer still writes', async () => {
  await serve((spec) => ({ text: spec }));
  expect(await ask('x'.repeat(LIMITS.specBytes + 1))).toMatch(/^REJECT the spec is larger/);
  expect(await ask('x'.repeat(LIMITS.specBytes))).toMatch(/^OK/);
});

test('too slow', async () => {
  await serve((spec) => ({ text: spec }));
  const socket = dial();
  socket.write('{');
  expect(await text(socket)).toMatch(/^REJECT the hook did not send a whole spec within 0\.3 s\n$/);
});

test('a peer that goes away', async () => {
  await serve((spec) => ({ text: spec }));
  const socket = dial();
  socket.write('{');
  await new Promise((resolve) => setTimeout(resolve, 20));
  socket.destroy();
  expect(await ask('x')).toBe('OK\nx');
  expect(problems).toEqual([]);
});

test("another user's connection is closed", async () => {
  await serve((spec) => ({ text: spec }), { peer: () => ({ pid: 1, uid: 1001, gid: 1001 }) });
  expect(await ask('x').catch(() => '')).toBe('');
  expect(problems).toEqual(['refused a hook connection of user 1001']);
});

test('more connections at once than the limit', async () => {
  await serve((spec) => ({ text: spec }));
  const idle = Array.from({ length: LIMITS.connections }, dial);
  await Promise.all(
    idle.map((socket) => new Promise((resolve) => socket.once('connect', resolve))),
  );
  expect(await ask('x').catch(() => '')).toBe('');
  for (const socket of idle) socket.destroy();
  await new Promise((resolve) => setTimeout(resolve, 20));
  expect(await ask('x')).toBe('OK\nx');
});

test('a leftover socket file is replaced', async () => {
  const bind = 'import socket, sys; socket.socket(socket.AF_UNIX).bind(sys.argv[1])';
  execFileSync('python3', ['-c', bind, path]);
  await serve((spec) => ({ text: spec }));
  expect(await ask('x')).toBe('OK\nx');
});

test('any other file is left alone', async () => {
  writeFileSync(path, 'precious');
  await expect(serve((spec) => ({ text: spec }))).rejects.toThrow('remove it, and start again');
  expect(readFileSync(path, 'utf8')).toBe('precious');
});
