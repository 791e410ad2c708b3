/**
 * In the place of bypass4netnsd: the requests that nerdctl sends, in its order, and a container whose profile has
 * the rule that nerdctl writes. (nerdctl itself needs containerd and is not in the lab.)
 */
import { afterAll, beforeAll, expect, test } from 'vitest';
import { startDaemon, stopDaemon } from './support/daemon.js';
import { describeOnLab, eventually, HOST1, HOST2, host1, host2, REMOTE } from './support/lab.js';
import { ps } from './support/podman.js';
import { ask, service } from './support/published.js';

const SOCKET = '$XDG_RUNTIME_DIR/bypass4netnsd.sock';
const CONFIG = '.config/sockswitch/config.toml';
/** What nerdctl traps: more than we need. */
const CALLS = ['bind', 'close', 'connect', 'setsockopt', 'fcntl', 'exit_group', 'getpeername'];

async function api(method: string, path: string, body?: object) {
  return send(method, path, body === undefined ? undefined : JSON.stringify(body));
}

/** Any body. */
async function send(method: string, path: string, stdin?: string) {
  const data = stdin === undefined ? '' : '--data-binary @-';
  const { stdout } = await host1.sh(
    `curl -sS --unix-socket "${SOCKET}" -X "$1" ${data} -w '\\n%{http_code}' "http://x$2"`,
    [method, path],
    stdin === undefined ? {} : { stdin },
  );
  const lines = stdout.split('\n');
  const status = Number(lines.pop());
  const text = lines.join('\n');
  return { status, answer: text === '' ? undefined : JSON.parse(text) };
}

describeOnLab('the API of bypass4netnsd', () => {
  let runtime: string;

  beforeAll(async () => {
    runtime = (await host1.sh('printf %s "$XDG_RUNTIME_DIR"')).stdout;
    await stopDaemon();
    await host1.sh(`mkdir -p "$(dirname "$1")" && echo 'nerdctl_api = true' >"$1"`, [CONFIG]);
    await startDaemon();
  });
  afterAll(async () => {
    await stopDaemon();
    await host1.run(['rm', '-f', CONFIG]);
    await startDaemon();
  });

  test('a container from its creation to its end', async () => {
    const socketPath = `${runtime}/nerdctl-test.sock`;
    const profile = {
      defaultAction: 'SCMP_ACT_ALLOW',
      listenerPath: socketPath,
      syscalls: [{ names: CALLS, action: 'SCMP_ACT_NOTIFY' }],
    };
    await host1.run(['tee', 'nerdctl.json'], { stdin: JSON.stringify(profile) });
    const id = (
      await host1.output([
        ...['podman', 'create', '--network', 'slirp4netns'],
        ...['--security-opt', 'seccomp=nerdctl.json', 'localhost/lab'],
        ...service('tcp', '0.0.0.0', '80'),
      ])
    ).trim();
    const request = {
      id,
      socketPath,
      pidFilePath: `${runtime}/nerdctl-test.pid`,
      logFilePath: `${runtime}/nerdctl-test.log`,
      portMapping: [
        { protos: ['tcp'], parentIP: '0.0.0.0', parentPort: 8070, childIP: '', childPort: 80 },
      ],
      ignoreSubnets: ['127.0.0.0/8', '10.99.0.0/16', 'auto'],
      ignoreBind: false,
    };
    expect(await api('POST', '/v1/bypass', request)).toMatchObject({
      status: 201,
      answer: { id, spec: request },
    });
    expect((await api('POST', '/v1/bypass', request)).status, 'again').toBe(201);
    await host1.output(['podman', 'start', id]);
    await eventually('the service to answer', async () =>
      (await ask(host2, 'tcp', HOST1.v4, 8070)) === HOST2.v4 ? true : undefined,
    );
    const inside = (...words: string[]) => host1.run(['podman', 'exec', id, ...words]);
    expect(await inside('curl', '-s', `http://${REMOTE.v4}/ip`)).toMatchObject({
      stdout: `${HOST1.v4}\n`,
    });
    expect(await inside('bash', '-c', 'exec 9</dev/null; exec 9<&-; true')).toMatchObject({
      status: 0,
    });
    const row = (await ps()).containers.find((container) => container.id === id);
    expect(row?.reasons).toContainEqual({ outcome: 'published', count: 1 });
    expect(row?.reasons).toContainEqual({ outcome: 'switched', count: 1 });
    expect(await inside('curl', '-s', 'http://10.99.0.1/')).toMatchObject({ status: 0 });
    const later = (await ps()).containers.find((container) => container.id === id);
    expect(later?.reasons).toContainEqual({ outcome: 'ignored', count: 1 });

    await stopDaemon();
    await startDaemon();
    const listed = expect.objectContaining({ id });
    expect((await api('GET', '/v1/bypass')).answer).toContainEqual(listed);
    expect(await inside('curl', '-s', `http://${REMOTE.v4}/ip`)).toMatchObject({
      stdout: `${HOST1.v4}\n`,
    });
    expect(await ask(host1, 'tcp', '127.0.0.1', 8070)).not.toMatch(/Error/);

    await host1.output(['podman', 'rm', '-f', '-t', '0', id]);
    expect(await api('DELETE', `/v1/bypass/${id}`)).toEqual({ status: 200, answer: undefined });
    expect((await api('DELETE', `/v1/bypass/${id}`)).status, 'again').toBe(200);
    expect((await host1.sh(`test -e "$1"`, [socketPath])).status).toBe(1);
    expect(await ask(host2, 'tcp', HOST1.v4, 8070)).toBe('ConnectionRefusedError');
    expect((await api('GET', '/v1/bypass')).answer).not.toContainEqual(listed);
  });

  const port = { protos: ['tcp'], parentPort: 8071, childPort: 80 };
  const whole = () => ({ id: 'x', socketPath: `${runtime}/x.sock`, portMapping: [port] });
  test.each<[string, () => string, RegExp]>([
    ['no body', () => '', /./],
    ['no JSON', () => '{"id": "x", ', /not JSON/],
    ['no object', () => '[]', /object/],
    ['no id', () => JSON.stringify({ ...whole(), id: undefined }), /id/],
    ['an id that is a path', () => JSON.stringify({ ...whole(), id: '../x' }), /id/],
    ['no socketPath', () => JSON.stringify({ ...whole(), socketPath: undefined }), /socketPath/],
    [
      'a mapping without ports',
      () => JSON.stringify({ ...whole(), portMapping: [port, { protos: ['tcp'] }] }),
      /portMapping/,
    ],
    [
      'a protocol that nobody knows',
      () => JSON.stringify({ ...whole(), portMapping: [port, { ...port, protos: ['sctp'] }] }),
      /portMapping/,
    ],
    ['a port twice', () => JSON.stringify({ ...whole(), portMapping: [port, port] }), /twice/],
    [
      'a port that is not to be had',
      () =>
        JSON.stringify({
          ...whole(),
          portMapping: [port, { ...port, parentPort: 80, childPort: 81 }],
        }),
      /below 1024/,
    ],
    [
      'a socketPath that is taken by a directory',
      () => JSON.stringify({ ...whole(), socketPath: runtime }),
      /./,
    ],
    [
      'more than anybody needs',
      () => JSON.stringify({ ...whole(), ignoreSubnets: Array(200_000).fill('10.0.0.0/8') }),
      /too large/,
    ],
  ])('%s is refused in its form, and leaves nothing behind', async (_, body, message) => {
    const { status, answer } = await send('POST', '/v1/bypass', body());
    expect([400, 413]).toContain(status);
    expect(answer).toEqual({ message: expect.stringMatching(message) });
    expect((await api('GET', '/v1/bypass')).answer).toEqual([]);
    expect(await canBind(8071), 'the port is free').toBe(true);
    expect((await host1.sh(`test -L "$1"`, [`${runtime}/x.sock`])).status).toBe(1);
  });
});

async function canBind(port: number): Promise<boolean> {
  const script = "import socket, sys; socket.socket().bind(('', int(sys.argv[1])))";
  return (await host1.run(['python3', '-c', script, String(port)])).status === 0;
}
