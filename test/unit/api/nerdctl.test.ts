import { lstatSync, mkdirSync, mkdtempSync, readlinkSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeEach, expect, test } from 'vitest';
import type { Mapping } from '../../../src/addon/addon.js';
import { NerdctlContainers, nerdctlServer } from '../../../src/api/nerdctl.js';
import { UserError } from '../../../src/base/errors.js';
import { mappingText } from '../../../src/policy/publish.js';

const ID = 'a'.repeat(64);
const directory = mkdtempSync(join(tmpdir(), 'sockswitch-nerdctl-'));
const file = join(directory, 'nerdctl.json');
let reserved: Map<string, string[]>;
let problems: string[];
let containers: NerdctlContainers;

afterAll(() => rmSync(directory, { recursive: true }));
beforeEach(() => {
  rmSync(file, { force: true, recursive: true });
  reserved = new Map();
  problems = [];
  containers = made();
});

function made(): NerdctlContainers {
  return new NerdctlContainers({
    listenerSocket: '/r/listener.sock',
    file,
    reserve: (id: string, mappings: readonly Mapping[]) => {
      if (mappings.some(({ hostPort }) => hostPort === 99)) throw new UserError('port 99 is taken');
      reserved.set(id, mappings.map(mappingText));
    },
    release: (id) => void reserved.delete(id),
    onProblem: (problem) => void problems.push(problem),
  });
}

/** A request as nerdctl writes it. */
function body(more: object = {}): object {
  return {
    id: ID,
    socketPath: join(directory, 'c.sock'),
    pidFilePath: join(directory, 'c.pid'),
    logFilePath: join(directory, 'c.log'),
    portMapping: [
      { protos: ['tcp'], parentIP: '0.0.0.0', parentPort: 8080, childIP: '', childPort: 80 },
      { protos: ['tcp', 'udp'], parentIP: '', parentPort: 53, childIP: '', childPort: 53 },
    ],
    ignoreSubnets: ['127.0.0.0/8', 'auto', 'fd00::/8'],
    ignoreBind: false,
    ...more,
  };
}

async function call(method: 'GET' | 'POST' | 'DELETE', path: string, payload?: unknown) {
  const text = typeof payload === 'string' ? payload : JSON.stringify(payload);
  const { statusCode, body: answer } = await nerdctlServer(containers).inject({
    method,
    url: path,
    ...(payload === undefined ? {} : { payload: text }),
  });
  return { status: statusCode, answer: answer === '' ? undefined : JSON.parse(answer) };
}

test('a container comes, again, is listed, and goes', async () => {
  const posted = await call('POST', '/v1/bypass', body());
  expect(posted).toEqual({
    status: 201,
    answer: { id: ID, pid: process.pid, spec: body() },
  });
  expect(readlinkSync(join(directory, 'c.sock'))).toBe('/r/listener.sock');
  expect(reserved.get(ID)).toEqual(['0.0.0.0:8080:80/tcp', '53:53/tcp', '53:53/udp']);
  expect(containers.requestOf(ID)).toMatchObject({
    enabled: true,
    ignore: ['127.0.0.0/8', 'fd00::/8'],
  });
  expect((await call('POST', '/v1/bypass', body())).status).toBe(201);
  expect(await call('GET', '/v1/bypass')).toEqual({ status: 200, answer: [posted.answer] });
  expect(await call('DELETE', `/v1/bypass/${ID}`)).toEqual({ status: 200, answer: undefined });
  expect(lstatSync(join(directory, 'c.sock'), { throwIfNoEntry: false })).toBeUndefined();
  expect(reserved.size).toBe(0);
  expect(await call('GET', '/v1/bypass')).toEqual({ status: 200, answer: [] });
  expect((await call('DELETE', '/v1/bypass/unknown')).status).toBe(200);
});

test('null means none, and ignoreBind publishes nothing', async () => {
  await call('POST', '/v1/bypass', body({ portMapping: null, ignoreSubnets: null }));
  expect(reserved.get(ID)).toEqual([]);
  await call('POST', '/v1/bypass', body({ ignoreBind: true }));
  expect(reserved.get(ID)).toEqual([]);
});

test('the next daemon knows what was registered', async () => {
  await call('POST', '/v1/bypass', body());
  expect(made().requestOf(ID)).toEqual(containers.requestOf(ID));
  expect(problems).toEqual([]);
});

test.each(['rubbish', '[{"id":"../x"}]'])(
  'a file that is %s: told, and nothing is registered',
  (text) => {
    writeFileSync(file, text);
    expect(made().list()).toEqual([]);
    expect(problems).toEqual([expect.stringContaining(`cannot read "${file}"`)]);
  },
);

test('a file that cannot be written: told once, and all goes on', async () => {
  mkdirSync(join(file, 'in-the-way'), { recursive: true });
  expect(await call('POST', '/v1/bypass', body())).toMatchObject({ status: 201 });
  await call('POST', '/v1/bypass', body());
  expect(problems).toEqual([expect.stringMatching(/^cannot write ".*" \(E\w+\): .*remove it$/)]);
  rmSync(file, { recursive: true });
  await call('POST', '/v1/bypass', body());
  expect(made().list()).toHaveLength(1);
});

test.each([
  ['{', 'not JSON'],
  ['[]', 'body'],
  [body({ id: '../x' }), '"id"'],
  [body({ id: undefined }), '"id"'],
  [body({ socketPath: 'c.sock' }), '"socketPath"'],
  [body({ socketPath: `/${'x'.repeat(107)}` }), '"socketPath"'],
  [body({ socketPath: '/no/such/directory/c.sock' }), 'its directory must exist'],
  [body({ socketPath: '/etc/passwd' }), 'is no socket'],
  [body({ ignoreSubnets: ['10.0.0.0/99'] }), '"10.0.0.0/99"'],
  [body({ portMapping: [{ protos: ['sctp'], parentPort: 1, childPort: 1 }] }), 'protos'],
  [body({ portMapping: [{ protos: ['tcp'], parentPort: 0, childPort: 1 }] }), 'parentPort'],
  [body({ portMapping: [{ parentIP: 'x', parentPort: 1, childPort: 1 }] }), '"x" is no address'],
  [body({ portMapping: [{ parentPort: 99, childPort: 1 }] }), 'port 99 is taken'],
])('a bad request is refused: %j', async (request, part) => {
  const { status, answer } = await call('POST', '/v1/bypass', request);
  expect(status).toBe(400);
  expect(answer).toEqual({ message: expect.stringContaining(part) });
  expect(reserved.size, 'nothing is left behind').toBe(0);
  expect(containers.list()).toEqual([]);
});

test('other paths', async () => {
  expect((await call('GET', '/v1/other')).status).toBe(404);
});
