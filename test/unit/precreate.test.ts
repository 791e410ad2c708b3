import { existsSync, mkdirSync, readFileSync, statSync, truncateSync } from 'node:fs';
import { createServer, type Socket } from 'node:net';
import { dirname, join } from 'node:path';
import { describe, expect, onTestFinished, test } from 'vitest';
import { type Ended, program, start, temporaryDirectory } from './native/programs.js';

const SPEC = JSON.stringify({
  ociVersion: '1.2.0',
  process: { args: ['/bin/sh'], rlimits: [{ type: 'RLIMIT_NOFILE', hard: 10, soft: 5 }] },
  annotations: { 'sockswitch/enable': 'true' },
});
const REQUIRED = SPEC.replace('"annotations":{', '"annotations":{"sockswitch/required":"T",');

function hook(socket: string, spec: string | Buffer, timeoutMs = 2000): Promise<Ended> {
  const args = ['--socket', socket, '--timeout-ms', String(timeoutMs)];
  return start(program('sockswitch-precreate'), args, spec).ended;
}

/** A daemon that reads the whole spec and then does with the connection what the test says. */
async function daemon(serve: (connection: Socket, spec: string) => void): Promise<string> {
  const path = join(temporaryDirectory(), 'hook.sock');
  const server = createServer({ allowHalfOpen: true }, (connection) => {
    const chunks: Buffer[] = [];
    connection.on('error', () => {});
    connection.on('data', (chunk) => chunks.push(chunk));
    connection.on('end', () => serve(connection, Buffer.concat(chunks).toString()));
    onTestFinished(() => {
      connection.destroy();
    });
  });
  await new Promise<void>((resolve) => server.listen(path, resolve));
  onTestFinished(() => {
    server.close();
  });
  return path;
}

function refusal(stdout: string): string {
  const spec = JSON.parse(stdout);
  return spec.process.rlimits[0].type;
}

describe('a daemon that answers', () => {
  test('OK: the new spec is printed', async () => {
    const socket = await daemon((connection, spec) => {
      connection.end(`OK\n${spec.replace('/bin/sh', '/bin/true')}`);
    });
    expect(await hook(socket, SPEC)).toEqual({
      status: 0,
      stdout: SPEC.replace('/bin/sh', '/bin/true'),
      stderr: '',
    });
  });

  test('OK: a spec of many megabytes goes through in both directions', async () => {
    const socket = await daemon((connection, spec) => connection.end(`OK\n${spec}`));
    const large = SPEC.replace('/bin/sh', 'x'.repeat(15 * 1024 * 1024));
    const { status, stdout } = await hook(socket, large, 9000);
    expect(status).toBe(0);
    expect(stdout === large).toBe(true);
  });

  test('REJECT: the message stands where a resource limit is expected, before all others', async () => {
    const message = 'bad value "10.0.0.0/99" for sockswitch/ignore; ünïcode \\ stays';
    const socket = await daemon((connection, spec) => {
      connection.end(`REJECT ${message}\n${spec}`);
    });
    const { status, stdout, stderr } = await hook(socket, SPEC);
    const original = JSON.parse(SPEC);
    expect(status).toBe(0);
    expect(JSON.parse(stdout)).toEqual({
      ...original,
      process: {
        ...original.process,
        rlimits: [
          { type: `sockswitch: ${message}`, hard: 0, soft: 0 },
          ...original.process.rlimits,
        ],
      },
    });
    expect(stderr).toContain(message);
  });

  test.each([
    ['no limits', '{"process":{"args":[]}}'],
    ['no limits, empty process', '{"process":{ }}'],
    ['empty limits', '{"process":{"rlimits":[ ],"args":[]}}'],
    ['null limits', '{"process":{"rlimits":null}}'],
    ['space everywhere', ' { "process" : { "rlimits" : [ {"type":"RLIMIT_CPU"} ] } } '],
    [
      'decoys',
      '{"x":{"process":{"rlimits":[]}},"y":"\\"process\\":{","process":{"args":["rlimits"]}}',
    ],
  ])('REJECT: %s', async (_, spec) => {
    const socket = await daemon((connection) => connection.end('REJECT no\n'));
    const { status, stdout } = await hook(socket, spec);
    expect(status).toBe(0);
    expect(refusal(stdout)).toBe('sockswitch: no');
  });

  test('REJECT: a message is one line and short enough for crun', async () => {
    const socket = await daemon((connection) => {
      connection.end(`REJECT a\tb\u001b[1m${'é'.repeat(1000)}\n`);
    });
    const message = refusal((await hook(socket, SPEC)).stdout);
    expect(message).toMatch(/^sockswitch: a b \[1mé+\.\.\.$/);
    expect(Buffer.byteLength(message)).toBeLessThan(450);
  });

  test('REJECT: a spec that cannot be made to fail fails the hook', async () => {
    const socket = await daemon((connection) => connection.end('REJECT no\n'));
    for (const spec of ['{"root":{}}', '{"process":[]}', 'null', '{"process":{', '']) {
      const { status, stdout, stderr } = await hook(socket, spec);
      expect({ status, stdout }).toEqual({ status: 1, stdout: '' });
      expect(stderr).toContain('sockswitch: no');
    }
  });

  test('an answer that comes before all of the spec was read counts', async () => {
    const path = join(temporaryDirectory(), 'hook.sock');
    const server = createServer((connection) => {
      connection.on('error', () => {});
      connection.end('REJECT too long\n');
    });
    await new Promise<void>((resolve) => server.listen(path, resolve));
    onTestFinished(() => {
      server.close();
    });
    const large = SPEC.replace('/bin/sh', 'x'.repeat(4 * 1024 * 1024));
    expect(refusal((await hook(path, large)).stdout)).toBe('sockswitch: too long');
  });
});

describe('no usable answer', () => {
  const bad: [string, (connection: Socket, spec: string) => void][] = [
    ['nothing', (connection) => connection.end()],
    ['a crash', (connection) => connection.destroy()],
    ['garbage', (connection) => connection.end('hello\n{}')],
    ['half a spec', (connection, spec) => connection.end(`OK\n${spec.slice(0, -5)}`)],
    ['a spec and more', (connection, spec) => connection.end(`OK\n${spec}}`)],
    ['no object', (connection) => connection.end('OK\n[]')],
    ['OK alone', (connection) => connection.end('OK\n')],
    ['half a REJECT', (connection) => connection.end('REJECT because')],
    ['binary', (connection) => connection.end(Buffer.from([0, 1, 2, 255, 254]))],
    ['too much', (connection) => connection.end(`OK\n${' '.repeat(17 * 1024 * 1024)}{}`)],
  ];

  test.each(bad)('%s: the container starts on its fallback network', async (_, serve) => {
    const { status, stdout, stderr } = await hook(await daemon(serve), SPEC);
    expect({ status, stdout }).toEqual({ status: 0, stdout: SPEC });
    expect(stderr).toContain('fallback network');
  });

  test.each(bad)('%s: refused where switching is required', async (_, serve) => {
    const socket = await daemon(serve);
    const { status, stdout } = await hook(socket, REQUIRED);
    expect(status).toBe(0);
    expect(refusal(stdout)).toContain(
      `sockswitch/required is set, but no daemon answers at ${socket}`,
    );
  });

  test('a daemon that hangs is waited for until the time is over', async () => {
    const socket = await daemon(() => {});
    const began = Date.now();
    expect((await hook(socket, SPEC, 300)).stdout).toBe(SPEC);
    expect(Date.now() - began).toBeGreaterThanOrEqual(300);
    expect(refusal((await hook(socket, REQUIRED, 50)).stdout)).toContain(
      'no complete answer in time',
    );
  });

  test('a daemon that drips is cut off, too', async () => {
    const socket = await daemon((connection) => {
      connection.write('OK\n');
      const timer = setInterval(() => connection.write(' '), 20);
      connection.on('close', () => clearInterval(timer));
    });
    expect((await hook(socket, SPEC, 200)).stdout).toBe(SPEC);
  });

  test('no daemon: the spec stays byte for byte', async () => {
    const odd = Buffer.concat([Buffer.from(`  ${SPEC}\n`), Buffer.from([0xff, 0x00, 0x0a])]);
    const socket = join(temporaryDirectory(), 'none.sock');
    const { status, stdout } = await hook(socket, odd);
    expect(status).toBe(0);
    expect(stdout).toBe(odd.toString());
  });

  test.each(['1', 't', 'T', 'true', 'TRUE', 'True'])('required=%s refuses', async (value) => {
    const spec = REQUIRED.replace('"T"', JSON.stringify(value));
    const { stdout } = await hook(join(temporaryDirectory(), 'none.sock'), spec);
    expect(refusal(stdout)).toMatch(/systemctl --user start sockswitch, or sockswitch daemon$/);
  });

  test('published ports refuse, too', async () => {
    const spec = REQUIRED.replace('sockswitch/required":"T"', 'sockswitch/publish":"8080:80"');
    const { stdout } = await hook(join(temporaryDirectory(), 'none.sock'), spec);
    expect(refusal(stdout)).toContain('sockswitch/publish is set, but no daemon answers');
  });

  test.each(['0', 'false', '', 'yes', 'TrUe', ' true'])('required=%j does not', async (value) => {
    const spec = REQUIRED.replace('"T"', JSON.stringify(value));
    expect((await hook(join(temporaryDirectory(), 'none.sock'), spec)).stdout).toBe(spec);
  });
});

describe('the record of a start without the daemon', () => {
  const CGROUP = `user.slice:libpod:${'a'.repeat(64)}`;
  const spec = (annotations: object, more: object = { linux: { cgroupsPath: CGROUP } }) =>
    JSON.stringify({ process: {}, annotations, ...more });
  const socketIn = (directory: string) => join(directory, 'sockswitch', 'hook.sock');
  const records = (socket: string) =>
    readFileSync(join(dirname(socket), 'missed-starts'), 'utf8')
      .split('\n')
      .filter((line) => line !== '')
      .map((line) => JSON.parse(line));

  test('says when, which container and why, in a directory of its own', async () => {
    const socket = socketIn(temporaryDirectory());
    const before = Math.floor(Date.now() / 1000);
    await hook(socket, spec({ 'sockswitch/enable': 'true' }));
    await hook(
      socket,
      spec(
        { 'nerdctl/bypass4netns': '1' },
        {
          mounts: [
            { destination: '/etc/hosts', source: '/c/userdata/hosts' },
            { destination: '/etc/hostname', source: '/c/userdata/hostname' },
          ],
          hostname: 'we"b',
        },
      ),
    );
    const [first, second] = records(socket);
    expect(first).toEqual({
      time: expect.any(Number),
      container: [CGROUP],
      reason: 'connect: ENOENT',
    });
    expect(first.time).toBeGreaterThanOrEqual(before);
    expect(second.container).toEqual(['/c/userdata/hostname', 'we"b']);
    expect(statSync(dirname(socket)).mode & 0o777).toBe(0o700);
    expect(statSync(join(dirname(socket), 'missed-starts')).mode & 0o777).toBe(0o600);
  });

  test.each([
    [{ 'sockswitch/enable': 'false', 'nerdctl/bypass4netns': 'true' }],
    [{ 'sockswitch/ignore': '10.0.0.0/8' }],
    [{ 'sockswitch/enable': 'true', 'sockswitch/required': 'true' }],
  ])('%j leaves none', async (annotations) => {
    const socket = socketIn(temporaryDirectory());
    await hook(socket, spec(annotations));
    expect(existsSync(dirname(socket))).toBe(false);
  });

  test('hooks that end at once leave a whole line each', async () => {
    const socket = socketIn(temporaryDirectory());
    await Promise.all(
      Array.from({ length: 20 }, () => hook(socket, spec({ 'sockswitch/enable': 'true' }))),
    );
    expect(records(socket)).toHaveLength(20);
  });

  test('a name that is too long is left out, and a full file takes no more', async () => {
    const socket = socketIn(temporaryDirectory());
    const enable = { 'sockswitch/enable': 'true' };
    await hook(socket, spec(enable, { hostname: 'x'.repeat(2000) }));
    expect(records(socket)[0].container).toEqual([]);
    const file = join(dirname(socket), 'missed-starts');
    truncateSync(file, 70_000);
    await hook(socket, spec(enable));
    expect(statSync(file).size).toBe(70_000);
  });

  test('the container starts also where none can be written', async () => {
    const directory = join(temporaryDirectory(), 'sockswitch');
    mkdirSync(join(directory, 'missed-starts'), { recursive: true });
    const text = spec({ 'sockswitch/enable': 'true' });
    const { status, stdout, stderr } = await hook(join(directory, 'hook.sock'), text);
    expect({ status, stdout }).toEqual({ status: 0, stdout: text });
    expect(stderr).toContain('no record of it');
    expect((await hook('/proc/none/hook.sock', text)).status).toBe(0);
  });
});

describe('bad input', () => {
  test('a spec of more than 16 MiB fails the hook', async () => {
    const socket = await daemon((connection, spec) => connection.end(`OK\n${spec}`));
    const large = SPEC.replace('/bin/sh', 'x'.repeat(16 * 1024 * 1024));
    const { status, stdout, stderr } = await hook(socket, large);
    expect({ status, stdout }).toEqual({ status: 1, stdout: '' });
    expect(stderr).toContain('File too large');
  });

  test.each([
    [[]],
    [['--socket']],
    [['--socket', 'relative']],
    [['--socket', '/x', '--timeout-ms', '5s']],
    [['--socket', '/x', 'more']],
    [['--help']],
  ])('%j: usage', async (args) => {
    const { status, stdout, stderr } = await start(program('sockswitch-precreate'), args).ended;
    expect({ status, stdout }).toEqual({ status: 2, stdout: '' });
    expect(stderr).toMatch(/^usage: /);
  });

  test('a socket path that is too long is no daemon', async () => {
    const { status, stdout } = await hook(`/${'x'.repeat(200)}`, SPEC);
    expect({ status, stdout }).toEqual({ status: 0, stdout: SPEC });
  });
});
