/**
 * The program that loads socket filters is killed, and then cannot be had any more: sockets are guarded or not
 * given out, and containers keep their network.
 */
import { readFileSync } from 'node:fs';
import { dirname } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import {
  daemonStatus,
  GUARD_PROGRAM,
  setGuard,
  startDaemon,
  stopDaemon,
} from './support/daemon.js';
import { describeOnLab, FAR, HOST1, HOST2, host1, host2, REMOTE } from './support/lab.js';
import { type Container, ENABLED, logged, podmanRun, startContainer } from './support/podman.js';
import { curl } from './support/programs.js';
import { ask, listening, publish, service } from './support/published.js';

const OTHER_FAMILY = readFileSync(new URL('./probes/other_family.py', import.meta.url), 'utf8');
const CONFIG = '.config/sockswitch/config.toml';
const PAGE = 'hello from remote\n';

const guardPid = async (): Promise<string> =>
  (await host1.run(['pgrep', '--exact', 'sockswitch-guar'])).stdout.trim(); // 15 characters are kept
const kill = () => host1.output(['pkill', '-KILL', '--exact', 'sockswitch-guar'], { root: true });

describeOnLab('the socket guard', () => {
  let client: Container;
  beforeAll(async () => {
    client = await startContainer({ annotations: ENABLED });
    expect(await client.output(curl(REMOTE.v4))).toBe(PAGE);
  });
  afterAll(async () => {
    await setGuard(true);
    await host1.output(['rm', '-f', CONFIG]);
    await stopDaemon();
    await startDaemon();
  });

  /** A service that begins now, and who its client is to it: itself, or the host where it comes by the relay. */
  async function clientOf(hostPort: number): Promise<string> {
    const command = service('tcp', '0.0.0.0', '80');
    const container = await startContainer({ annotations: publish(`${hostPort}:80`), command });
    await listening(container);
    const seen = await ask(host2, 'tcp', HOST1.v4, hostPort);
    await container.remove();
    return seen;
  }

  // The other way round the kernel itself sends nothing: what has been an IPv4 connection once stays one (Linux 6.18).
  test.each([
    { network: 'pasta', answer: 'reached\n' },
    { network: 'pasta:--ipv6-only', answer: 'timed out\n' },
  ])('keeps a dual-stack socket to the families that $network carries', async (row) => {
    const { network, answer } = row;
    const open = `import socket, time
s = socket.socket(socket.AF_INET6)
s.connect(("${REMOTE.v6}", 80))
print("connected", flush=True)
time.sleep(600)`;
    const command = ['python3', '-c', open];
    const container = await startContainer({ network, annotations: ENABLED, command });
    await logged(container, 'connected');
    expect((await container.counters())?.switched).toBe(1);
    const inspect = ['podman', 'inspect', '--format', '{{.State.Pid}}', container.id];
    const pid = (await host1.output(inspect)).trim();
    const take = ['podman', 'unshare', 'python3', '-', pid, `::ffff:${FAR.v4}`, '80'];
    expect(await host1.output(take, { stdin: OTHER_FAMILY })).toBe(answer);
    await container.remove();
  });

  test('is started again when it was killed', async () => {
    const before = await guardPid();
    await kill();
    expect(await clientOf(8141)).toBe(HOST2.v4);
    const after = await guardPid();
    expect(after).toMatch(/^\d+$/);
    expect(after).not.toBe(before);
  });

  test('that does not come back gives out no socket that takes a new filter', async () => {
    await setGuard(false);
    await kill();
    expect(await clientOf(8142), 'over the relay').toBe(HOST1.v4);
    expect(await client.output(curl(REMOTE.v4)), 'with a filter that is there').toBe(PAGE);
    expect(await client.counters()).toMatchObject({ switched: 2 });
  });

  test('that is not there when the daemon starts: nothing is accelerated, and everything has its network', async ({
    skip,
  }) => {
    await stopDaemon();
    await startDaemon();
    const { kernel, unaccelerated } = await daemonStatus();
    if (kernel.socketGuard) skip('this kernel lets everybody attach a filter');
    expect(unaccelerated).toContain(`sudo setcap cap_bpf=ep ${GUARD_PROGRAM}`);
    expect(unaccelerated).toContain('require_guard = false');
    const doctor = await host1.run(['sockswitch', 'doctor']);
    expect(doctor.stdout).toContain(`-> run "sudo setcap cap_bpf=ep ${GUARD_PROGRAM}"`);
    expect(doctor.status).toBe(4);
    expect(await host1.output(['sockswitch', 'install'])).toContain('Nothing is accelerated yet');

    expect(await client.output(curl(REMOTE.v4)), 'of a container that runs').toBe(PAGE);
    const counters = await client.counters();
    expect(counters).toMatchObject({ switched: 0, fallback: 1, reasons: { unguarded: 1 } });
    const explain = ['sockswitch', 'explain', client.id, `${REMOTE.v4}:80`];
    expect(await host1.output(explain)).toContain('require_guard');
    expect(await clientOf(8143), 'over the relay').toBe(HOST1.v4);

    const next = await startContainer({ annotations: ENABLED });
    expect(await next.output(curl(REMOTE.v4)), 'of one that starts').toBe(PAGE);
    expect(await next.counters(), 'its calls are not reported').toBeUndefined();
    expect(await host1.output(['sockswitch', 'ps', '--no-trunc'])).toContain('CAP_BPF');
    await next.remove();
    const annotations = { ...ENABLED, 'sockswitch/required': 'true' };
    const required = await podmanRun({ annotations, command: ['true'] });
    expect(required.status).not.toBe(0);
    expect(required.stderr).toContain('sockswitch/required');
  });

  test('that is not there and need not be: connections are switched all the same', async ({
    skip,
  }) => {
    await stopDaemon();
    await host1.output(['mkdir', '-p', dirname(CONFIG)]);
    await host1.output(['tee', CONFIG], { stdin: 'require_guard = false\n' });
    await startDaemon();
    const { kernel, unaccelerated } = await daemonStatus();
    if (kernel.socketGuard) skip('this kernel lets everybody attach a filter');
    expect(unaccelerated).toBeUndefined();
    const doctor = await host1.run(['sockswitch', 'doctor']);
    expect(doctor.stdout).toContain(`-> run "sudo setcap cap_bpf=ep ${GUARD_PROGRAM}"`);
    expect(doctor.status).toBe(0);
    expect(await host1.output(['sockswitch', 'install'])).not.toContain('accelerated');
    expect(await client.output(curl(REMOTE.v4))).toBe(PAGE);
    expect((await client.counters())?.switched, 'by this daemon').toBe(1);
  });
});
