import { closeSync, openSync } from 'node:fs';
import { beforeEach, expect, test } from 'vitest';
import { UserError } from '../../../../src/base/errors.js';
import { Publications } from '../../../../src/daemon/publish/publications.js';
import type { Life } from '../../../../src/podman/inspect.js';
import { parsePublish } from '../../../../src/policy/publish.js';
import { FakeEngine } from '../fake-engine.js';

let engine: FakeEngine;
let kept: Map<number, { fd: number; text: string }>;
let life: Life;
let holders: { inode: number; uid: number }[];
let ports: Publications;

beforeEach(() => {
  engine = new FakeEngine();
  kept = new Map();
  life = 'there';
  holders = [];
  ports = made();
});

function made(): Publications {
  return new Publications({
    engine,
    portHolders: () => holders,
    keeper: () => ({
      keep: (id, fd, text) => void kept.set(id, { fd, text }),
      drop: (id) => void kept.delete(id),
    }),
    look: () => Promise.resolve(life),
    networkOf: (path) => ({ '/proc/7/ns/net': 'pod', '/proc/8/ns/net': 'pod' })[path],
    lookEveryMs: 1,
  });
}
const list = (text: string) => parsePublish(text, 'publish');
const failing = (code: string) => Object.assign(new Error(`bind: ${code}`), { code });

test('reserved, kept, listed, and released at the end', () => {
  ports.reserve('a', list('8080:80 53:53/udp'));
  expect(engine.ports.size).toBe(2);
  expect([...kept.values()].map(({ text }) => JSON.parse(text).owner)).toEqual(['a', 'a']);
  expect(ports.begin('a', list('8080:80 53:53/udp'), 0)).toEqual([]);
  expect(ports.textsOf('a')).toEqual(['8080:80/tcp', '53:53/udp']);
  expect(ports.numbersOf('a')).toEqual([...engine.ports.keys()]);
  ports.end('a');
  expect([engine.ports.size, kept.size]).toEqual([0, 0]);
});

test('lost datagrams are summed over the UDP ports', () => {
  ports.reserve('a', list('8080:80 53:53/udp 54:54/udp'));
  ports.reserve('b', list('8081:80'));
  const numbers = ports.numbersOf('a').slice(1);
  expect(ports.lostDatagramsOf('a')).toBe(10 * numbers.reduce((sum, number) => sum + number, 0));
  expect(ports.lostDatagramsOf('b')).toBeUndefined();
});

test('a start that fails leaves nothing behind', () => {
  ports.reserve('other', list('8081:80'));
  expect(() => ports.reserve('a', list('8080:80 8081:81'))).toThrow(
    'host port 8081/tcp is published by container other already: choose another host port',
  );
  expect(ports.numbersOf('a')).toEqual([]);
  expect(engine.ports.size).toBe(1);
});

test.each([
  ['EADDRINUSE', '8080:80', /^host port 8080\/tcp is taken: .*published with -p as well/],
  ['EACCES', '80:80', /^host port 80\/tcp is below \d+, .*choose a higher one/],
  ['EADDRNOTAVAIL', '10.9.9.9:80:80', /on 10\.9\.9\.9 cannot be published: 10\.9\.9\.9 is no addr/],
  ['EMFILE', '8080:80', /cannot be published: bind: EMFILE/],
])('%s is told as a user can understand it', (code, text, message) => {
  engine.failure = failing(code);
  expect(() => ports.reserve('a', list(text))).toThrow(UserError);
  expect(() => ports.reserve('a', list(text))).toThrow(message);
});

test('who holds a port is told as far as it is known', () => {
  engine.failure = failing('EADDRINUSE');
  holders = [{ inode: 1, uid: 1234 }];
  expect(() => ports.reserve('a', list('8080:80'))).toThrow('taken by a process of user 1234');
});

test('a container that never begins is looked for, and released when it is gone', async () => {
  ports.reserve('a', list('8080:80'));
  await new Promise((resolve) => setTimeout(resolve, 20));
  expect(engine.ports.size).toBe(1);
  life = 'gone';
  await expect.poll(() => engine.ports.size).toBe(0);
});

test('a restart keeps its ports, whatever order the news comes in', () => {
  ports.reserve('a', list('8080:80 8081:81'));
  ports.begin('a', list('8080:80 8081:81'), 0);
  const [first] = ports.numbersOf('a');
  ports.reserve('a', list('8080:80'));
  ports.end('a'); // of the old life
  ports.begin('a', list('8080:80'), 0);
  expect(ports.numbersOf('a')).toEqual([first]);
  ports.end('a');
  expect(engine.ports.size).toBe(0);
});

test('containers of one network namespace share', () => {
  ports.reserve('infra', list('8080:80'));
  ports.begin('infra', list('8080:80'), 7);
  ports.reserve('member', list('8080:80'), 'pod');
  expect(ports.begin('member', list('8080:80'), 8)).toEqual([]);
  expect(engine.ports.size).toBe(1);
  ports.end('infra');
  expect([...kept.values()].map(({ text }) => JSON.parse(text).owner)).toEqual(['member']);
  ports.end('member');
  expect([engine.ports.size, kept.size]).toEqual([0, 0]);
});

test('the next daemon takes over what the keeper kept', () => {
  ports.reserve('a', list('[::1]:8080:80'));
  const next = made();
  for (const [id, { text }] of kept) next.adopt({ id, fd: 5, text });
  expect(next.begin('a', list('[::1]:8080:80'), 0)).toEqual([]);
  expect(next.textsOf('a')).toEqual(['[::1]:8080:80/tcp']);
  next.end('a');
  expect(kept.size).toBe(0);
});

test.each(['', '{}', '{"owner":"a","mapping":{"protocol":"tcp","hostPort":0,"containerPort":1}}'])(
  'the keeper keeps no rubbish: %j',
  (text) => {
    kept.set(1, { fd: 5, text });
    const fd = openSync('/dev/null', 'r');
    expect(() => ports.adopt({ id: 1, fd, text })).toThrow(UserError);
    expect(() => closeSync(fd), 'closed').toThrow('EBADF');
    expect(kept.size).toBe(0);
  },
);

test('without a hook, ports are reserved when the listener comes, and failing is no end', () => {
  expect(ports.begin('a', list('8080:80'), 0)).toEqual([]);
  engine.failure = failing('EADDRINUSE');
  expect(ports.begin('b', list('8081:80'), 0)).toEqual([
    expect.stringContaining('host port 8081/tcp is taken'),
  ]);
});
