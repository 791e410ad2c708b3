/** What a user sees of running containers: sockets, events, top, metrics, doctor; and a changed configuration. */
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { z } from 'zod';
import { daemonPid } from './support/daemon.js';
import { FreshUser } from './support/fresh-user.js';
import { describeOnLab, eventually, host1, host2, REMOTE } from './support/lab.js';
import { type Container, ENABLED, eventuallyCounters, startContainer } from './support/podman.js';
import { curl } from './support/programs.js';

const CONFIG = '.config/sockswitch/config.toml';

const socketList = z.object({
  sockets: z.array(
    z.object({
      container: z.string(),
      state: z.string(),
      local: z.string(),
      remote: z.string(),
      bytesSent: z.int(),
      bytesReceived: z.int(),
      roundTripMicroseconds: z.int(),
    }),
  ),
});
const doctorReport = z.object({
  problems: z.int(),
  findings: z.array(
    z.object({
      id: z.string(),
      severity: z.string(),
      message: z.string(),
      remedy: z.string().optional(),
    }),
  ),
});

/** A connection that stays, and has sent 5 bytes and got them back. */
const HOLD = `
import socket, sys, time
s = socket.create_connection((sys.argv[1], 7))
s.sendall(b'marco')
assert s.recv(5) == b'marco'
time.sleep(1000)
`;

describeOnLab('what a user sees', () => {
  let container: Container;

  beforeAll(async () => {
    const command = ['python3', '-c', HOLD, REMOTE.v4];
    container = await startContainer({ annotations: ENABLED, command });
    await eventuallyCounters(container, ({ switched }) => switched === 1);
  });
  afterAll(async () => {
    await host1.run(['rm', '-f', CONFIG]);
  });

  const metrics = (from: string) =>
    host1.output(['sh', '-c', `curl -sS --max-time 20 ${from}/metrics`]);
  const unix = '--unix-socket "$XDG_RUNTIME_DIR/sockswitch/metrics.sock" http://daemon';

  test('sockets: the open connection, as the host has it', async () => {
    const words = ['sockswitch', 'sockets', container.name, '--json'];
    const { sockets } = await eventually('the answered connection', async () => {
      const list = socketList.parse(JSON.parse(await host1.output(words)));
      return list.sockets[0]?.bytesReceived === 5 ? list : undefined;
    });
    expect(sockets).toHaveLength(1);
    expect(sockets[0]).toMatchObject({
      container: container.id,
      state: 'ESTAB',
      local: expect.stringMatching(/^10\.77\.0\.11:/),
      remote: `${REMOTE.v4}:7`,
      bytesSent: 5,
      bytesReceived: 5,
    });
    expect(await host1.output(['sockswitch', 'sockets'])).toContain(container.name);
    const wrong = await host1.run(['sockswitch', 'sockets', 'nobody']);
    expect(wrong).toMatchObject({ status: 1, stderr: expect.stringContaining('nobody') });
  });

  test('events: what was, and what comes while one waits', async () => {
    const follow = await host1.serve(['sockswitch', 'events', '--follow'], 'true');
    await eventually('the past', async () =>
      follow.output().includes(`container-started ${container.id.slice(0, 12)}`) ? true : undefined,
    );
    const other = await startContainer({ annotations: ENABLED });
    await other.remove();
    await eventually('the end of another container', async () =>
      follow.output().includes(`container-stopped ${other.id.slice(0, 12)}`) ? true : undefined,
    );
    await follow.stop();
  });

  test('top: one table', async () => {
    const table = await host1.output(['sockswitch', 'top', '--once', '--interval', '0.2']);
    const row = table.split('\n').find((line) => line.startsWith(container.name));
    expect(row?.split(/\s{2,}/).slice(0, 4)).toEqual([container.name, '0.0', '0.0', '1']);
    const bad = await host1.run(['sockswitch', 'top', '--interval', 'x']);
    expect(bad).toMatchObject({ status: 1, stderr: expect.stringContaining('--interval is "x"') });
  });

  test('metrics: on the socket always, on a port when the configuration says so', async () => {
    const text = await metrics(unix);
    const id = container.id;
    for (const line of [
      `sockswitch_calls_total{container="${id}",kind="switched",outcome="switched"} 1`,
      `sockswitch_open_sockets{container="${id}"} 1`,
      `sockswitch_connect_duration_seconds_count{container="${id}"} 1`,
      'sockswitch_keeper_connected 1',
    ]) {
      expect(text.split('\n')).toContain(line);
    }
    await host1.sh(`printf '[metrics]\\nport = 19469\\n' >${CONFIG}`);
    await eventually('metrics on the port', async () =>
      (await host1.run(curl('127.0.0.1', '/metrics', 19469))).status === 0 ? true : undefined,
    );
    // Not for containers, accelerated or not.
    for (const address of ['127.0.0.1', '10.77.0.11']) {
      const inside = await container.exec(curl(address, '/metrics', 19469));
      expect(inside.status, address).not.toBe(0);
    }
  });

  test('a changed configuration holds for running containers, a bad one for none', async () => {
    const before = await daemonPid();
    await host1.sh(`printf 'ignore = ["${REMOTE.v4}"]\\n' >${CONFIG}`);
    const ask = ['sockswitch', 'explain', container.name, `${REMOTE.v4}:80`];
    await eventually('the rule', async () =>
      (await host1.output(ask)).includes('Rule: ignored') ? true : undefined,
    );
    await host1.sh(`printf 'ignore = []\\nmetrics = { prot = 1 }\\n' >${CONFIG}`);
    await eventually('the refusal', async () =>
      /configuration-refused: .*"metrics\.prot": did you mean "port"/.test(
        await host1.output(['sockswitch', 'events']),
      )
        ? true
        : undefined,
    );
    expect(await host1.output(ask)).toContain('Rule: ignored');
    // A storm of SIGHUPs is no harm.
    await host1.sh(`rm ${CONFIG}; for n in $(seq 500); do kill -HUP ${before}; done`);
    await eventually('no rule', async () =>
      (await host1.output(ask)).includes('Rule: switched') ? true : undefined,
    );
    expect(await daemonPid()).toBe(before);
  });

  describe('doctor', () => {
    const problems = (json: string) =>
      doctorReport
        .parse(JSON.parse(json))
        .findings.filter(({ severity }) => severity === 'problem')
        .map(({ id }) => id);

    test('finds nothing where all is well', async () => {
      const result = await host1.run(['sockswitch', 'doctor', '--json']);
      expect(problems(result.stdout)).toEqual([]);
      expect(result.status).toBe(0);
      const tunnels = doctorReport
        .parse(JSON.parse(result.stdout))
        .findings.find(({ id }) => id === 'tunnels.segments');
      expect(tunnels?.message).toMatch(/hands over tunnels' packets/);
    });

    test('finds what is missing and undone, with a remedy each', async () => {
      const user = new FreshUser(host2, 'doctor');
      await user.create();
      const bare = await user.run(['sockswitch', 'doctor', '--json']);
      expect(bare.status).toBe(4);
      expect(problems(bare.stdout)).toEqual([
        ...['install.sockswitch.json', 'install.sockswitch.conf', 'install.sockswitch.service'],
        ...['install.sockswitch-keeper.service', 'install.sockswitch-guard.socket'],
        ...['install.sockswitch-guard@.service', 'install.sockswitch-names.socket'],
        ...['install.sockswitch-names@.service', 'install.sockswitch-repin.socket'],
        ...['install.sockswitch-repin@.service', 'daemon', 'hook.dry-run'],
      ]);
      await user.output(['sockswitch', 'install']);
      const rival = '.config/containers/containers.conf.d/zz.conf';
      await user.run(['sh', '-c', `printf '[engine]\\nhooks_dir = ["/none"]\\n' >${rival}`]);
      const undone = await user.run(['sockswitch', 'doctor', '--json']);
      expect(problems(undone.stdout)).toEqual(['podman.precedence', 'daemon', 'hook.dry-run']);
      for (const { severity, remedy } of doctorReport.parse(JSON.parse(undone.stdout)).findings) {
        if (severity === 'problem') expect(remedy).toBeTruthy();
      }
      await user.remove();
    });
  });
});
