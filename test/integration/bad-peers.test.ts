/** What nobody should send to our sockets: refused and told of, while containers go on as if nothing were. */
import { afterEach, beforeEach, expect, test } from 'vitest';
import { daemonPid, keeperPid, logSince, logSize } from './support/daemon.js';
import { describeOnLab, eventually, host1, REMOTE } from './support/lab.js';
import { countersOf } from './support/matrix.js';
import { PEER } from './support/peer.js';
import { ENABLED, ps, startContainer } from './support/podman.js';
import { curl } from './support/programs.js';

const STATE = '{"ociVersion":"1.0.2","fds":["seccompFd"],"pid":1,"state":{"id":"x"}}';

describeOnLab('a bad peer', () => {
  let daemon: number;
  let keeper: number;
  let logStart: number;
  beforeEach(async () => {
    [daemon, keeper, logStart] = [await daemonPid(), await keeperPid(), await logSize()];
  });

  afterEach(async () => {
    expect(await daemonPid(), 'the same daemon').toBe(daemon);
    expect(await keeperPid(), 'the same keeper').toBe(keeper);
  });

  /** Containers start and are accelerated. */
  async function expectService(): Promise<void> {
    const container = await startContainer({ annotations: ENABLED });
    expect((await container.exec(curl(REMOTE.v4))).stdout).toBe('hello from remote\n');
    expect(await countersOf(container)).toMatchObject({ switched: 1 });
    expect((await ps()).containers.map(({ id }) => id)).toEqual([container.id]);
    await container.remove();
  }

  /** Runs one line of peer.ts on host1; returns what the peer got back. */
  async function send(script: string): Promise<string> {
    return host1.output(['python3', '-c', `${PEER}\n${script}`]);
  }

  /** Something in the log after this test began. */
  async function logged(pattern: RegExp): Promise<void> {
    await eventually(`"${pattern.source}" in the log`, async () =>
      pattern.test(await logSince(logStart)) ? true : undefined,
    );
  }

  test.each([
    ['rubbish', "send('listener', b'rubbish')", /not one JSON object/],
    ['binary rubbish', "send('listener', bytes(range(256)) * 16)", /not one JSON object/],
    ['nothing', "send('listener', b'')", /left without sending anything/],
    ['half a state', `send('listener', b'${STATE.slice(0, 40)}')`, /before it was complete/],
    ['a state without a descriptor', `send('listener', b'${STATE}')`, /without a descriptor/],
    ['two descriptors', `send('listener', b'${STATE}', fds=[0, 1])`, /two descriptors/],
    ['a hundred descriptors', `send('listener', b'${STATE}', fds=[0] * 100)`, /descriptors/],
    ['a descriptor that is no listener', `send('listener', b'${STATE}', fds=[0])`, /no seccomp/],
    ['an endless state', `send('listener', b'{"a":"' + b'x' * (8 << 20))`, /too long/],
  ])('sends %s to listener.sock', async (_, script, pattern) => {
    await send(script);
    await logged(pattern);
    const incident = (await ps()).incidents.at(-1);
    expect(incident).toMatchObject({ kind: 'listener' });
    expect(incident?.message).toMatch(pattern);
  });

  test('has not hurt the keeper', expectService);

  test.each([
    ['rubbish', "send('hook', b'rubbish')", /^REJECT the hook's input is not a JSON document/],
    ['bytes that are no UTF-8', "send('hook', bytes(range(256)))", /^REJECT the spec is not UTF-8/],
    [
      'JSON that is no spec',
      "send('hook', b'[1, 2]')",
      /^REJECT the hook's input is not an OCI spec/,
    ],
    [
      'an annotation of 10 MiB',
      `send('hook', b'{"annotations":{"sockswitch/enable":"true","sockswitch/ignore":"' + b'1' * (10 << 20) + b'"}}')`,
      /^REJECT annotation sockswitch\/ignore is 10485760 bytes long: keep it to 65536/,
    ],
    ['nothing', "send('hook', b'')", /^REJECT /],
    ['17 MiB', "send('hook', b' ' * (17 << 20))", /^REJECT the spec is larger|^$/],
    ['half a spec', `send('hook', b'{"annotations": {"sockswitch/ena')`, /^REJECT /],
    [
      'deeply nested JSON',
      `send('hook', b'{"a":' * 200000 + b'1' + b'}' * 200000)`,
      /^(REJECT|OK)/,
    ],
    [
      'a spec whose seccomp section is none',
      `send('hook', b'{"annotations":{"sockswitch/enable":"true"},"linux":{"namespaces":[{"type":"network"}],"seccomp":7}}')`,
      /^REJECT linux.seccomp of the container's spec is not what/,
    ],
  ])('sends %s to hook.sock', async (_, script, answer) => {
    expect(await send(script)).toMatch(answer);
  });

  test('has not hurt the hook', expectService);

  test.each([
    ['rubbish', "send('control', b'rubbish\\r\\n\\r\\n')", /400 Bad Request/],
    ['TLS', "send('control', b'\\x16\\x03\\x01' + bytes(200))", /400 Bad Request/],
    ['an unknown path', "request('GET', '/v1/nothing')", /404 .*"not-found"/s],
    ['another method', "request('DELETE', '/v1/containers')", /404 /],
    ['no JSON', "request('POST', '/v1/explain', '{')", /400 .*"bad-request"/s],
    ['a wrong body', `request('POST', '/v1/explain', '{"container": 1}')`, /400 .*"bad-request"/s],
    [
      'a container that is not there',
      `request('POST', '/v1/explain', '{"container": "x", "address": "10.0.0.1", "port": 1}')`,
      /404 .*no accelerated container/s,
    ],
    [
      'half a request',
      `send('control', b'POST /v1/explain HTTP/1.1\\r\\nHost: daemon\\r\\nContent-Type: application/json\\r\\nContent-Length: 9\\r\\n\\r\\n{', more=True)`,
      /408 /,
    ],
    ['half a header', `send('control', b'GET /v1/status HT', more=True)`, /408 /],
    ['a large body', "request('POST', '/v1/explain', ' ' * (4 << 20))", /413 |400 |^$/],
  ])('sends %s to control.sock', async (_, script, answer) => {
    expect(await send(script)).toMatch(answer);
  });

  test.each([
    ['rubbish', "send('metrics', b'rubbish\\r\\n\\r\\n')", /400 Bad Request/],
    ['half a header', "send('metrics', b'GET /metrics HT', more=True)", /408 /],
  ])('sends %s to metrics.sock', async (_, script, answer) => {
    expect(await send(script)).toMatch(answer);
  });

  test('sends rubbish to keeper.sock', async () => {
    await send("send('keeper', b'rubbish', kind=socket.SOCK_SEQPACKET)");
    await expectService();
  });

  /** While the peer does what `script` says. */
  async function meanwhile(script: string, body: () => Promise<void>): Promise<void> {
    await host1.serve(['python3', '-u', '-c', `${PEER}\n${script}`], 'test -e /tmp/peer-is-there');
    try {
      await body();
    } finally {
      await host1.stopServers();
      await host1.run(['rm', '-f', '/tmp/peer-is-there']);
    }
  }

  test('hangs on all sockets without a word', () => meanwhile('hang(20)', expectService));

  test('asks as fast as it can', () => meanwhile('flood()', expectService));

  test('holds more connections than are served at once', async () => {
    const container = await startContainer({ annotations: ENABLED });
    await meanwhile('hang(100)', async () => {
      expect((await container.exec(curl(REMOTE.v4))).stdout).toBe('hello from remote\n');
      await eventually('an answer on control.sock', async () =>
        (await host1.run(['sockswitch', 'ps'])).status === 0 ? true : undefined,
      );
      expect(await countersOf(container)).toMatchObject({ switched: 1 });
      await container.remove();
      await expectService();
    });
  });
});
